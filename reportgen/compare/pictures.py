"""Pictures that both reports have, tile by tile: base, candidate and difference, on one scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from reportgen.compare.part import Gap, Part, Tally, titles
from reportgen.compare.tiles import Key, Tiles, drawn_tiles
from reportgen.core.blocks import Caption, Cell, Group, Montage, Table
from reportgen.core.drift import matched
from reportgen.core.report import Report
from reportgen.render.numbers import counted, number

DIFFERENCE = "RdBu_r"  # colormap of what has a sign

_MOST = 36  # pictures
_TILES = 36
_SIDE = 320  # pixels of a montage that stands beside two others
_LARGE = 105  # pixels of a tile: larger ones stand in one row
_ROW = (6, 960)


@dataclass(frozen=True)
class Pictured:
    """One picture in both reports, of the tiles that both have."""

    method: str
    base: Tiles
    candidate: Tiles

    @cached_property
    def _places(self) -> tuple[list[int], list[int]]:
        """Of the tiles of both, in the candidate's order."""
        before = self.base.index()
        both = [(before[n], i) for n, i in self.candidate.index().items() if n in before]
        return [i for i, _ in both], [i for _, i in both]

    @property
    def count(self) -> int:
        return len(self._places[0])

    @property
    def alone(self) -> int:
        """Tiles that only one report has."""
        return len(self.base.names) + len(self.candidate.names) - 2 * self.count

    @cached_property
    def values(self) -> tuple[np.ndarray, np.ndarray]:
        """(N, …) of the base and the candidate."""
        places = self._places
        return self.base.values[places[0]], self.candidate.values[places[1]]

    @cached_property
    def differences(self) -> np.ndarray:
        """(N, …) candidate less base; absolute for colours, whose channels have no sign to show."""
        before, after = (np.asarray(values, np.float64) for values in self.values)
        with np.errstate(invalid="ignore"):
            made = after - before
        made[(before == after) | (np.isnan(before) & np.isnan(after))] = 0.0
        return np.abs(made) if made.ndim == 4 else made

    @cached_property
    def sizes(self) -> np.ndarray:
        """(N,) root mean square of each tile's differences; infinite where some are no number."""
        flat = self.differences.reshape(self.count, -1)
        sizes = np.sqrt(np.square(flat).mean(axis=1))
        return np.where(np.isnan(sizes), np.inf, sizes)

    @property
    def changed(self) -> int:
        return int((self.sizes > 0).sum())

    @cached_property
    def relative(self) -> float:
        """Size of all differences as a part of the base's values."""
        whole = math.sqrt(float(np.square(self.sizes).mean())) if self.count else 0.0
        own = np.asarray(self.values[0], np.float64)
        base = math.sqrt(float(np.square(own[np.isfinite(own)]).mean())) if own.size else 0.0
        return whole / base if base else math.inf * bool(whole)

    def row(self) -> tuple[Cell, ...]:
        largest = float(self.sizes.max())
        return self.candidate.title, self.method, self.count, self.changed, largest, self.relative


def pictures(base: Report, candidate: Report) -> Part:
    """Montages and cards of units of the same method and place."""
    named = titles(candidate)
    before, after = drawn_tiles(base), drawn_tiles(candidate)
    other = _other_layers(base, candidate)
    found: list[Pictured] = []
    gaps: list[Gap] = []
    for method in (method for method in after if method in before):
        pairs, apart = _matched(before[method], after[method], other)
        found += [Pictured(named[method], *pair) for pair in pairs]
        if apart:
            gaps.append(Gap(what=f"pictures of {named[method]}", why="; ".join(apart)))
    found = [one for one in found if one.count]
    changed = [one for one in found if one.changed]
    equal = len(found) - len(changed)
    if not found:
        return Part(gaps=tuple(gaps))
    return Part(
        blocks=(_overview(changed, equal), *map(_group, _shown(changed))) if changed else (),
        told=f"{len(changed)} of {counted(len(found), 'picture')} differ." if changed else "",
        intro="Pictures that both reports have, tile by tile, the tiles that differ most first. "
        "Base and candidate are drawn on one scale; a difference is the candidate less the base, "
        "of colours without its sign.",
        tallies=(Tally(what="pictures", changed=len(changed), equal=equal),),
        gaps=tuple(gaps),
    )


def _other_layers(base: Report, candidate: Report) -> set[str]:
    """Paths that mean another layer in each network: their units have nothing in common."""
    if base.measured is None or candidate.measured is None:
        return set()
    return {layer.path for layer, _ in matched(base.measured, candidate.measured).reshaped}


def _matched(
    base: dict[Key, Tiles], candidate: dict[Key, Tiles], other: set[str]
) -> tuple[list[tuple[Tiles, Tiles]], list[str]]:
    """Pairs of one size, and words on all others.

    Args:
      other: layers that are not compared.
    """
    both = [(base[key], candidate[key]) for key in candidate if key in base]
    count = len(both)
    both = [pair for pair in both if pair[1].layer not in other]
    pairs = [(b, c) for b, c in both if b.values.shape[1:] == c.values.shape[1:]]
    apart = {
        "of layers of another shape": count - len(both),
        "of another size": len(both) - len(pairs),
        "only in the base": len(base.keys() - candidate.keys()),
        "only in the candidate": len(candidate.keys() - base.keys()),
    }
    return pairs, [f"{count} {words}" for words, count in apart.items() if count]


def _shown(changed: Sequence[Pictured]) -> list[Pictured]:
    """Those that changed most, in the order of the report."""
    most = sorted(range(len(changed)), key=lambda i: -changed[i].relative)[:_MOST]
    return [changed[i] for i in sorted(most)]


def _overview(changed: Sequence[Pictured], equal: int) -> Table:
    rows = sorted(changed, key=lambda one: -one.relative)
    left = f" The {_MOST} that differ most are drawn below." if len(rows) > _MOST else ""
    return Table(
        columns=("picture", "method", "tiles", "differ", "largest RMS", "relative difference"),
        rows=tuple(one.row() for one in rows),
        caption=f"{len(rows)} of {counted(len(rows) + equal, 'picture')} differ. RMS: root mean "
        f"square of a tile’s differences; relative: of all, to the base’s values.{left}",
    )


def _layout(height: int, width: int, count: int) -> tuple[int, int]:
    """Tiles in a row, and how many are drawn."""
    if width > _LARGE or height > _LARGE:
        columns = max(1, min(_ROW[0], _ROW[1] // (width + 1), count))
        return columns, columns
    drawn = min(count, _TILES)
    columns = max(1, min(math.ceil(math.sqrt(drawn)), _SIDE // (width + 1)))
    return columns, min(drawn, columns * max(1, _SIDE // (height + 1)))


def _group(one: Pictured) -> Group:
    order = np.argsort(-one.sizes, kind="stable")
    order = order[: one.changed]
    height, width = one.differences.shape[1:3]
    columns, drawn = _layout(height, width, len(order))
    shown = order[:drawn]
    names = [one.candidate.names[one._places[1][i]] for i in shown]
    before, after = (values[shown] for values in one.values)
    title = one.candidate.title
    left = f"; the {len(shown)} that differ most are drawn" if len(shown) < one.changed else ""
    alone = f"; {one.alone} more are in one report only" if one.alone else ""
    return Group(
        title=title,
        layer=one.candidate.layer,
        subtitle=f"{one.method}: {one.changed} of {counted(one.count, 'tile')} differ{left}{alone}",
        blocks=(
            _montage(one, before, names, "base", columns),
            _montage(one, after, names, "candidate", columns),
            _difference(one, shown, names, columns),
        ),
    )


def _montage(
    one: Pictured,
    values: np.ndarray,
    names: Sequence[str],
    side: str,
    columns: int,
) -> Montage:
    return Montage(
        tiles=np.ascontiguousarray(values),
        low=min(one.base.low, one.candidate.low),
        high=max(one.base.high, one.candidate.high),
        columns=columns,
        colormap=one.candidate.colormap,
        background=one.candidate.background,
        labels=tuple(names),
        part=side,
        caption=Caption(title=f"{one.candidate.title} · {side}"),
    )


def _difference(one: Pictured, shown: np.ndarray, names: Sequence[str], columns: int) -> Montage:
    tiles = one.differences[shown].astype(np.float32)
    finite = np.abs(tiles[np.isfinite(tiles)])
    bound = float(finite.max()) if finite.size else 1.0
    in_colour = tiles.ndim == 4
    sizes = [number(float(one.sizes[i])) for i in shown]
    return Montage(
        tiles=tiles,
        low=0.0 if in_colour else -bound,
        high=bound,
        columns=columns,
        colormap=None if in_colour else DIFFERENCE,
        background=one.candidate.background if in_colour else "white",
        labels=tuple(f"{name}: RMS {size}" for name, size in zip(names, sizes, strict=True)),
        part="difference",
        caption=Caption(
            title=f"{one.candidate.title} · difference",
            formula="|candidate − base|" if in_colour else "candidate − base",
        ),
    )
