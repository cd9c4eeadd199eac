"""Maps of the same method and the same image in both reports, those first that agree least."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from reportgen.compare.part import Part, Tally, titles
from reportgen.compare.pictures import DIFFERENCE
from reportgen.core.agreement import rank_correlation, similarity
from reportgen.core.blocks import (
    Bars,
    BarSeries,
    Block,
    Caption,
    Cell,
    ComparedMap,
    Comparison,
    Group,
    Heatmap,
    Table,
)
from reportgen.core.measured import image_digest
from reportgen.core.report import Report, Section
from reportgen.render.numbers import counted, number

_DRAWN = 6  # maps of a method
_ROWS = 100
_PERCENTILE = 99.5  # of a difference's size that is drawn as the end of its colormap
_CLASS = "explained class"


@dataclass(frozen=True)
class Mapped:
    """A map of one image in both reports."""

    name: str
    base: Heatmap
    candidate: Heatmap

    @cached_property
    def equal(self) -> bool:
        return np.array_equal(self.base.map, self.candidate.map, equal_nan=True)

    @cached_property
    def rank(self) -> float:
        """Rank correlation; NaN where one ranks nothing."""
        return 1.0 if self.equal else rank_correlation(self.base.map, self.candidate.map)

    @cached_property
    def alike(self) -> float:
        """SSIM; NaN where one is not finite."""
        return 1.0 if self.equal else similarity(self.base.map, self.candidate.map)

    @property
    def order(self) -> float:
        return -math.inf if math.isnan(self.rank) else self.rank

    @property
    def classes(self) -> tuple[Cell, Cell]:
        """Which class each explains."""
        return dict(self.base.facts).get(_CLASS), dict(self.candidate.facts).get(_CLASS)


def maps(base: Report, candidate: Report) -> Part:
    """Heatmaps that both reports have."""
    before = {section.method: section for section in base.sections}
    named = titles(candidate)
    found = {
        named[section.method]: pairs
        for section in candidate.sections
        if section.method in before and (pairs := _pairs(before[section.method], section))
    }
    changed = {
        title: some
        for title, pairs in found.items()
        if (some := sorted((p for p in pairs if not p.equal), key=lambda pair: pair.order))
    }
    total = sum(map(len, found.values()))
    different = sum(map(len, changed.values()))
    groups = (_group(title, found[title], some) for title, some in changed.items())
    return Part(
        blocks=(*_overview(found), *groups) if changed else (),
        told=_told([pair for some in changed.values() for pair in some], total),
        intro="Maps of the same method and the same image. Base and candidate are drawn on one "
        "scale; the difference is the candidate less the base. Those that agree least stand first.",
        tallies=(Tally(what="maps of images", changed=different, equal=total - different),),
    )


def _told(changed: Sequence[Mapped], total: int) -> str:
    if not changed:
        return ""
    mean = _mean(pair.rank for pair in changed)
    # A map of one value everywhere has no ranks.
    told = "" if math.isnan(mean) else f", with a rank correlation of {number(mean)} on average"
    return f"{len(changed)} of {counted(total, 'map')} differ{told}."


def _pairs(base: Section, candidate: Section) -> list[Mapped]:
    """Maps of images with the same pixels; the first of equal ones with the first."""
    before: dict[bytes, list[Heatmap]] = {}
    for _, block in _heatmaps(base.blocks, ""):
        before.setdefault(image_digest(block.image).tobytes(), []).append(block)
    pairs = []
    for name, block in _heatmaps(candidate.blocks, ""):
        own = before.get(image_digest(block.image).tobytes(), [])
        if own and own[0].map.shape == block.map.shape:
            pairs.append(Mapped(name or block.caption.title, own.pop(0), block))
    return pairs


def _heatmaps(blocks: Iterable[Any], above: str) -> Iterator[tuple[str, Heatmap]]:
    for block in blocks:
        if isinstance(block, Group):
            yield from _heatmaps(block.blocks, block.title)
        elif isinstance(block, Heatmap):
            yield above, block


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def _lowest(values: Iterable[float]) -> float:
    return min((value for value in values if not math.isnan(value)), default=math.nan)


def _overview(found: dict[str, list[Mapped]]) -> Iterator[Block]:
    rows = []
    for title, pairs in found.items():
        ranks, alike = [pair.rank for pair in pairs], [pair.alike for pair in pairs]
        differ = sum(not pair.equal for pair in pairs)
        numbers = (_mean(ranks), _lowest(ranks), _mean(alike), _lowest(alike))
        rows.append((title, len(pairs), differ, *numbers))
    rows.sort(key=lambda row: row[3])
    yield Table(
        columns=("maps", "images", "differ", "rank correlation", "lowest", "SSIM", "lowest SSIM"),
        rows=tuple(rows),
        caption="Agreement of both reports’ maps: means over images. 1 is the same, 0 no relation.",
    )
    if len(rows) > 1:
        yield Bars(
            names=tuple(str(row[0]) for row in rows),
            series=tuple(
                BarSeries(name=name, values=np.array([row[place] for row in rows], np.float64))
                for name, place in (("rank correlation", 3), ("SSIM", 5))
            ),
            x_label="agreement, mean over images",
            caption=Caption(title="Agreement of maps", detail="the lowest first"),
        )


def _group(title: str, pairs: Sequence[Mapped], changed: Sequence[Mapped]) -> Group:
    drawn = changed[:_DRAWN]
    left = f", the {len(drawn)} that agree least are drawn" if len(drawn) < len(changed) else ""
    cut = f"; the first {_ROWS} of {len(changed)}" if len(changed) > _ROWS else ""
    rows = [(pair.name, pair.rank, pair.alike, *pair.classes) for pair in changed[:_ROWS]]
    return Group(
        title=title,
        subtitle=f"{len(changed)} of {counted(len(pairs), 'map')} differ{left}",
        blocks=(
            Table(
                columns=(
                    "image",
                    "rank correlation",
                    "SSIM",
                    "base explains",
                    "candidate explains",
                ),
                rows=tuple(rows),
                caption=f"Image by image, the least agreement first{cut}",
            ),
            *(_comparison(title, pair) for pair in drawn),
        ),
    )


def _comparison(title: str, pair: Mapped) -> Comparison:
    base, candidate = pair.base, pair.candidate
    low, high = min(base.low, candidate.low), max(base.high, candidate.high)
    with np.errstate(invalid="ignore"):
        difference = np.asarray(candidate.map, np.float64) - base.map
    finite = np.abs(difference[np.isfinite(difference)])
    end = float(np.percentile(finite, _PERCENTILE)) if finite.size else 0.0
    end = end or float(finite.max(initial=0.0))
    sides = (("base", base, pair.classes[0]), ("candidate", candidate, pair.classes[1]))
    return Comparison(
        image=candidate.image,
        maps=(
            *(
                ComparedMap(
                    title=side,
                    subtitle="" if of is None else f"class {of}",
                    map=block.map,
                    low=low,
                    high=high,
                    colormap=candidate.colormap,
                    opacity=candidate.opacity,
                )
                for side, block, of in sides
            ),
            ComparedMap(
                title="difference",
                map=difference.astype(np.float32),
                low=-end,
                high=end,
                colormap=DIFFERENCE,
                opacity=candidate.opacity,
            ),
        ),
        caption=Caption(
            title=f"{title} of {pair.name}",
            detail=f"rank correlation {number(pair.rank)}, SSIM {number(pair.alike)}",
            formula=f"candidate − base, drawn to the {_PERCENTILE:g}th percentile",
        ),
    )
