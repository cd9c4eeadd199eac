"""The tiles of a report, unit by unit: what one report drew is found in the other by its name."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from reportgen.core.blocks import Group, Montage, Table, Units
from reportgen.core.report import Report, Section

Key = tuple[str, ...]

# Synthesised pictures are named with the score that they reached, which is another in every report.
_SCORED = re.compile(r"(.*), (?:loss|score) \S+")
_SIDES = re.compile(r"\d+(?:×\d+)*")


@dataclass(frozen=True, kw_only=True)
class Tiles:
    """One picture's tiles, or those of the cards of a layer.

    Attributes:
      layer: may be empty.
      names: N, each one's own.
      values: (N, h, w) for a colormap, or (N, h, w, 3) colours.
      low, high: the values at the ends of the range.
      colormap: None for colours, and for black to white.
      background: of what lies between them.
    """

    title: str
    layer: str
    names: tuple[str, ...]
    values: np.ndarray
    low: float
    high: float
    colormap: str | None
    background: Literal["white", "black"] = "white"

    def index(self) -> dict[str, int]:
        """Places by name."""
        return {name: place for place, name in enumerate(self.names)}


def drawn_tiles(report: Report) -> dict[str, dict[Key, Tiles]]:
    """All tiles of a report by method, and by what stands above them.

    A layer's kernels are those of its montage, or else of its units' cards. Tiles of one value are
    no pictures: as weights and answers they are compared by layer and unit.
    """
    found: dict[str, dict[Key, Tiles]] = {}
    for section in report.sections:
        own = found.setdefault(section.method, {})
        for key, tiles in _walk(section, section.blocks, ()):
            own.setdefault(key, tiles)
    drawn = {tiles.layer for tiles in found.get("weights", {}).values()}
    for method, own in found.items():
        found[method] = {
            key: tiles
            for key, tiles in own.items()
            if not (key[-1] == _KERNELS and tiles.layer in drawn)
        }
    return {method: own for method, own in found.items() if own}


def _walk(section: Section, blocks: Iterable[Any], above: Key) -> Iterator[tuple[Key, Tiles]]:
    layer = ""
    for block in blocks:
        if isinstance(block, Group):
            for key, tiles in _walk(section, block.blocks, (*above, block.title)):
                yield key, _of_layer(tiles, block.layer)
        elif isinstance(block, Montage) and math.prod(block.tiles.shape[1:3]) > 1:
            names = block.labels or _unlabelled(section, blocks, len(block.tiles))
            yield (*above, block.caption.title), _montage(block, names, layer)
        elif isinstance(block, Units):
            yield from _cards(block, above)


def _of_layer(tiles: Tiles, layer: str) -> Tiles:
    return tiles if tiles.layer or not layer else Tiles(**{**vars(tiles), "layer": layer})


def _montage(block: Montage, names: tuple[str, ...], layer: str) -> Tiles:
    return Tiles(
        title=block.caption.title,
        layer=layer,
        names=_distinct(names),
        values=np.asarray(block.tiles),
        low=block.low,
        high=block.high,
        colormap=block.colormap,
        background=block.background,
    )


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    """Names without scores, those that recur with a number."""
    seen: Counter[str] = Counter()
    found = []
    for name in names:
        match = _SCORED.fullmatch(name)
        bare = match[1] if match else name
        seen[bare] += 1
        found.append(bare if seen[bare] == 1 else f"{bare} · {seen[bare]}")
    return tuple(found)


def _unlabelled(section: Section, beside: Iterable[Any], count: int) -> tuple[str, ...]:
    """Names of tiles that are too many to be printed: a kernel's by filter and channel."""
    settings: Mapping[str, Any] = section.settings
    chosen = settings.get("filters") is not None or settings.get("channels") is not None
    if section.method == "weights" and not chosen:
        for inputs, outputs in _kernels(beside):
            if inputs * outputs >= count:
                return tuple(f"filter {i // inputs}, channel {i % inputs}" for i in range(count))
    return tuple(f"tile {i}" for i in range(count))


def _kernels(beside: Iterable[Any]) -> Iterator[tuple[int, int]]:
    """Inputs and outputs of the kernels (h × w × inputs × outputs) in a table of parameters."""
    for block in beside:
        if isinstance(block, Table) and block.columns[:2] == ("parameter", "shape"):
            for row in block.rows:
                shape = str(row[1])
                if _SIDES.fullmatch(shape) and shape.count("×") == 3:
                    sides = shape.split("×")
                    yield int(sides[2]), int(sides[3])


_PICTURES, _KERNELS = "synthesised pictures of units", "kernels of units"


def _cards(block: Units, above: Key) -> Iterator[tuple[Key, Tiles]]:
    """What was synthesised for units, and their kernels' parts, of those that have a place."""
    units = [int(unit) for unit in block.indices]
    if block.pictures is not None and block.score is not None:
        known = np.flatnonzero(np.isfinite(block.score))
        values = np.asarray(block.pictures)[known]
        grey = values.shape[-1] == 1
        yield (
            (*above, _PICTURES),
            Tiles(
                title=f"{block.layer} · synthesised pictures",
                layer=block.layer,
                names=tuple(f"unit {units[place]}" for place in known),
                values=values[..., 0] if grey else values,
                low=0.0,
                high=255.0,
                colormap="gray" if grey else None,
                background="black",
            ),
        )
    kernels = block.kernels
    if kernels is not None and kernels.shape[2] * kernels.shape[3] > 1:
        yield (*above, _KERNELS), _card_kernels(block, np.asarray(kernels), units)


def _card_kernels(block: Units, kernels: np.ndarray, units: list[int]) -> Tiles:
    count, parts = kernels.shape[:2]
    names = [
        f"unit {units[u]}" + ("" if block.inputs is None else f", input {int(block.inputs[u, p])}")
        for u in range(count)
        for p in range(parts)
    ]
    bound = float(np.abs(np.nan_to_num(kernels)).max(initial=0.0))
    return Tiles(
        title=f"{block.layer} · kernels",
        layer=block.layer,
        names=_distinct(names),
        values=kernels.reshape(-1, *kernels.shape[2:]),
        low=-bound,
        high=bound,
        colormap=None if kernels.ndim == 5 else block.colormap,
    )
