"""One method across all images: the overlays of a section beside each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

View = dict[str, Any]

_PREDICTED, _TRUE = "predicted class", "true class"


def contact_sheet(groups: Sequence[View]) -> list[View]:
    """The overlay of each group of a section, with where it stands; empty unless all have one.

    Args:
      groups: views of the section's groups.

    Returns:
      Dictionaries of ``image`` (the picture of the group's first map, no new file), the ``id`` and
      ``title`` of the group, its ``subtitle``, and ``mark``: ``correct`` or ``wrong`` where the
      predicted and the true class are known, else ``none``.
    """
    found = [_entry(group) for group in groups]
    entries = [entry for entry in found if entry is not None]
    return entries if len(entries) == len(found) > 1 else []


def _entry(group: View) -> View | None:
    heatmap = next((block for block in _blocks(group) if block["type"] == "heatmap"), None)
    if heatmap is None:
        return None
    facts = {fact["name"]: fact["value"] for fact in heatmap["facts"]}
    mark = "none"
    if _PREDICTED in facts and _TRUE in facts:
        mark = "correct" if facts[_PREDICTED] == facts[_TRUE] else "wrong"
    return {
        "image": heatmap["images"][-1],
        "id": group["id"],
        "title": group["title"],
        "subtitle": group["subtitle"],
        "mark": mark,
    }


def _blocks(group: View) -> Iterator[View]:
    for row in group["rows"]:
        yield from row["main"]
        yield from row["side"]
