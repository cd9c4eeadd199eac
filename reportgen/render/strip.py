"""The strip of pictures on the first screen: one of a section, those first that tell most."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

View = dict[str, Any]

_MOST = 6
_SQUARE = 4  # a picture that is longer than this many times its other side is no thumbnail


def strip(sections: Iterable[tuple[View, Iterable[View]]]) -> list[View]:
    """At most six pictures that the sections show, each with a title and the ids it leads to.

    First what the network got wrong, then maps over images, pictures that were synthesised, what it
    was shown, and kernels or activations; of equal rank in the order of the sections. One section
    gives one picture; none comes twice, and none is made for it.

    Args:
      sections: the view of each, and those of all of its blocks.
    """
    found = []
    for section, blocks in sections:
        best = min(
            (candidate for block in blocks for candidate in _candidates(block)),
            key=lambda candidate: candidate[0],
            default=None,
        )
        if best is not None:
            rank, image, of, where = best
            alt = f"{section['title']}: {of}"
            item = {"image": {**image, "alt": alt}, "title": section["title"], "of": of}
            found.append((rank, {**item, "id": where, "section": section["id"]}))
    ranked = [item for _, item in sorted(found, key=lambda ranked: ranked[0])]
    once = {item["image"]["src"]: item for item in reversed(ranked)}
    return [item for item in ranked if once[item["image"]["src"]] is item][:_MOST]


def _candidates(block: View) -> list[tuple[int, View, str, str]]:
    """Rank, picture, what it is of, and the id of its figure."""
    choose = _CHOICES.get(block["type"])
    return [] if choose is None else [found for found in choose(block) if _drawable(found[1])]


def _drawable(image: View) -> bool:
    sides = sorted((image["width"], image["height"]))
    return bool(sides[0] * _SQUARE >= sides[1] > 1)


def _gallery(block: View) -> list[tuple[int, View, str, str]]:
    found = []
    for entry in block["entries"]:
        wrong = entry["mark"] == "wrong"
        taken = f"taken for {entry['bars'][0]['label']}" if wrong and entry["bars"] else ""
        words = " · ".join(filter(None, (taken, entry["subtitle"], entry["title"])))
        found.append((0 if wrong else 3, entry["image"], words, block["id"]))
    return found


def _heatmap(block: View) -> list[tuple[int, View, str, str]]:
    return [
        (1, image, block["title"], block["id"])
        for image in block["images"]
        if image["label"] == "overlay"
    ]


def _montage(block: View) -> list[tuple[int, View, str, str]]:
    pictures = block["range"]["name"] in ("", "gray")  # not values in false colours
    return [(2 if pictures else 4, block["images"][0], block["title"], block["id"])]


_CHOICES: dict[str, Callable[[View], list[tuple[int, View, str, str]]]] = {
    "gallery": _gallery,
    "heatmap": _heatmap,
    "montage": _montage,
}
