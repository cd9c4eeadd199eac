"""Cards of units as plain data for the templates: every picture a place on a sheet."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from reportgen.core.units import Units
from reportgen.render import numbers, sheets
from reportgen.render.assets import Assets
from reportgen.render.sketches import sketches
from reportgen.render.text import Names, shorten

View = dict[str, Any]

_BINS = 32  # of a card's histogram, at the most
HISTOGRAM = (100, 24)  # its width and height
_SHOWN = 112  # CSS pixels that a card's pictures are wide, about
_NAMES = 400  # letters of the names of images


def units_view(block: Units, name: str, assets: Assets, ids: Names) -> View:
    """The sheets of a layer, and a card for each unit in the block's order.

    Args:
      name: that files and ids begin with.
    """
    drawn = iter(sketches(block))
    found: list[View] = []
    cards: dict[int, View] = {}
    shares = sheets.shares(block)
    for rows in shares:
        kinds = ["crops", *_present(block)]
        here = {kind: len(found) + place for place, kind in enumerate(kinds)}
        for kind in kinds:
            picture = assets.picture(f"{name}-{kind}", next(drawn), f"{block.layer}: {kind}")
            found.append({"id": ids.take(f"{name}-{kind}"), **picture})
        for position, row in enumerate(rows.tolist()):
            at = _At(block, here, len(rows), position)
            cards[row] = {
                "id": ids.take(f"{name}-{block.indices[row]}"),
                **_card(block, row, at),
            }
    return {
        "layer": block.layer,
        "sheets": found,
        "cards": [cards[row] for row in range(len(block.indices))],
        "kinds": _kinds(block),
        "printed": sorted(shares[0].tolist()) if shares else [],
        "summary": _summary(block),
        "legend": _legend(block),
        "histogram": list(HISTOGRAM),
    }


def _present(block: Units) -> Iterator[str]:
    if block.pictures is not None:
        yield "pictures"
    if block.kernels is not None:
        yield "kernels"


def _kinds(block: Units) -> list[str]:
    """What cards have besides crops, and which pictures are enlarged pixel by pixel."""
    kinds = list(_present(block))
    if sheets.grids(block.crops, 1)[0].width < _SHOWN:
        kinds.append("crisp-crops")
    if block.pictures is not None and block.pictures.shape[2] < _SHOWN:
        kinds.append("crisp-pictures")
    return kinds


@dataclass(frozen=True)
class _At:
    """Where a card's pictures are: the sheet of each kind by its number, and the place on these."""

    block: Units
    sheets: dict[str, int]
    count: int
    position: int

    def tile(self, kind: str, tiles: np.ndarray, alt: str) -> View:
        outer, _ = sheets.grids(tiles, self.count)
        return {
            "sheet": self.sheets[kind],
            "box": list(outer.box(self.position)),
            "alt": alt,
        }


def _card(block: Units, row: int, at: _At) -> View:
    unit = int(block.indices[row])
    counts, low, high = histogram(block.counts[row], float(block.bound[row]))
    return {
        "unit": unit,
        "marks": _marks(block, row),
        "activation": _plain(block.largest[row]),
        "sparsity": _plain(block.sparsity[row]),
        "loss": "" if block.score is None else _plain(block.score[row]),
        "picture": _picture(block, row, at),
        "score": _score(block, row),
        "crops": at.tile("crops", block.crops, _crops_alt(block, row)),
        "driven": _driven(block, row),
        "kernel": _kernel(block, row, at),
        "heights": counts,
        "path": path(counts),
        "low": f"responses {brief(low)}",
        "high": brief(high),
        "responses": f"Responses of unit {unit}, {brief(low)} to {brief(high)}",
        "measures": (
            f"largest {brief(block.largest[row])}, "
            f"mean {brief(block.mean[row])}, "
            f"{numbers.percent(float(block.sparsity[row]))} at or below zero"
        ),
        "helps": _helped(block, row),
    }


def brief(value: float) -> str:
    """A number in three significant digits, as a card has little room; whole ones from 1,000."""
    small = math.isfinite(value) and abs(value) < 1000
    return numbers.number(float(f"{value:.3g}") if small else value)


def _plain(value: float) -> str:
    """A number for scripts, to six digits; empty if there is none."""
    return f"{float(value):.6g}" if math.isfinite(value) else ""


def _marks(block: Units, row: int) -> list[View]:
    marks = []
    if block.dead[row]:
        marks.append({"kind": "dead", "text": "dead"})
    if block.repeats[row] >= 0:
        marks.append({"kind": "repeats", "text": f"repeats {int(block.repeats[row])}"})
    return marks


def _picture(block: Units, row: int, at: _At) -> View | None:
    if block.pictures is None or block.score is None or not np.isfinite(block.score[row]):
        return None
    return at.tile(
        "pictures", block.pictures[:, None], f"Synthesised to drive unit {block.indices[row]}"
    )


def _score(block: Units, row: int) -> str:
    if block.score is None:
        return ""
    if not np.isfinite(block.score[row]):
        return "nothing made it respond"
    return f"synthesised, {brief(block.score[row])}"


def _driven(block: Units, row: int) -> str:
    """The responses to the crops, from the largest to the last."""
    count = int(block.found[row])
    if not count:
        return "no response"
    ends = block.responses[row, [0, count - 1]]
    return f"images, {' … '.join(brief(end) for end in ends[: min(count, 2)])}"


def _crops_alt(block: Units, row: int) -> str:
    unit = block.indices[row]
    count = int(block.found[row])
    if not count:
        return f"No image that unit {unit} answers to with a finite number"
    named = ", ".join(
        f"{block.names[image]} {brief(value)}"
        for image, value in zip(
            block.images[row, :count].tolist(), block.responses[row, :count].tolist(), strict=True
        )
    )
    return f"Drive unit {unit} most: {shorten(named, _NAMES)}"


def _kernel(block: Units, row: int, at: _At) -> View | None:
    if block.kernels is None:
        return None
    kernel = block.kernels[row]
    size = brief(sheets.reach(kernel))
    alt = f"Kernel of unit {block.indices[row]}, −{size} to {size}"
    if block.inputs is not None and 1 < block.inputs.shape[1] <= 4:
        alt += f", inputs {', '.join(map(str, block.inputs[row].tolist()))}"
    return {**at.tile("kernels", block.kernels, alt), "text": f"kernel, ±{size}"}


def _helped(block: Units, row: int) -> list[View]:
    if block.helped is None or block.effects is None:
        return []
    pairs = zip(block.helped[row].tolist(), block.effects[row].tolist(), strict=True)
    return [
        {"name": block.classes[index], "effect": f"(+{brief(effect)})"}
        for index, effect in pairs
        if index >= 0
    ]


def histogram(counts: np.ndarray, bound: float) -> tuple[list[int], float, float]:
    """Heights of bars (0..height) on a scale of logarithms, and what they begin and end at.

    Bins are joined in equal numbers until they are few; those without a count at both ends are
    left out.

    Args:
      counts: (B,) over equal bins from ``-bound`` to ``bound``.
    """
    width = 2 * bound / len(counts)
    filled = np.flatnonzero(counts)
    if not filled.size:
        return [], -bound, bound
    first, last = int(filled[0]), int(filled[-1]) + 1
    joined = -(-(last - first) // _BINS)
    padded = np.zeros(joined * -(-(last - first) // joined), np.int64)
    padded[: last - first] = counts[first:last]
    sums = padded.reshape(-1, joined).sum(axis=1)
    heights = np.log1p(sums) / np.log1p(sums.max()) * HISTOGRAM[1]
    low, high = first * width - bound, (first + padded.size) * width - bound
    return np.round(heights).astype(int).tolist(), low, high


def path(heights: list[int]) -> str:
    """Bars as one SVG path over the histogram's width, standing on its height."""
    wide, tall = HISTOGRAM
    if not heights:
        return ""
    step = wide / len(heights)
    words, before = [f"M0 {tall}"], tall
    for index, height in enumerate(heights):
        if tall - height != before:
            if index:
                words.append(f"H{_short(index * step)}")
            words.append(f"V{tall - height}")
            before = tall - height
    return "".join([*words, f"H{wide}V{tall}z"])


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _summary(block: Units) -> str:
    """How many units there are, and how many of those shown are marked."""
    words = [numbers.counted(len(block.indices), "unit")]
    if block.dead.any():
        words.append(f"{numbers.integer(int(block.dead.sum()))} dead")
    if (block.repeats >= 0).any():
        words.append(f"{numbers.integer(int((block.repeats >= 0).sum()))} repeating another")
    return ", ".join(words)


def _legend(block: Units) -> str:
    """What a card's pictures are, in words."""
    height, width = block.crop_size
    count, shown_height, shown_width = block.crops.shape[1:4]
    crops = f"{numbers.counted(count, 'piece')} of {height} × {width} pixels of images"
    if (height, width) != (shown_height, shown_width):
        crops += f" (drawn with {shown_height} × {shown_width})"
    parts = [f"{crops}, largest response first, white beyond the image"]
    if block.pictures is not None:
        parts.insert(0, f"a picture synthesised to drive the unit (its score: {block.climbed})")
    if block.kernels is not None:
        parts.append(_kernel_words(block.kernels, block.inputs))
    parts.append("how often it answered with which number, on a scale of logarithms")
    if block.helped is not None:
        parts.append("the classes that it helps, and by how much of the logit")
    return f"On each card: {'; '.join(parts)}."


def _kernel_words(kernels: np.ndarray, inputs: np.ndarray | None) -> str:
    parts, height, width = kernels.shape[1:4]
    if inputs is None:
        return "its kernel in colour, zero in grey"
    if height * width == 1:
        return f"its weights for all {parts} inputs, in reading order"
    if parts == 1:
        return "its kernel"
    return f"its kernel for the {parts} inputs that it reads most"
