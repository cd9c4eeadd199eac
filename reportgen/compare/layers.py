"""Layers of both networks: those that changed first, and in each the units that changed most."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from reportgen.compare.part import DIED, Gap, Part, Tally
from reportgen.core import drift
from reportgen.core.blocks import (
    Bars,
    BarSeries,
    Block,
    Caption,
    Cell,
    Curve,
    Group,
    Series,
    Table,
    Text,
)
from reportgen.core.measured import MeasuredLayer
from reportgen.core.report import Report
from reportgen.render.numbers import counted, number

_BARS = 32  # layers in one plot
_GROUPS = 24  # layers whose units are listed
_UNITS = 12
_NONE = np.zeros(0, np.int64)
_ALIKE = 0.3  # cosine of a layer's weights, below which its units are not the same


@dataclass(frozen=True)
class Pair:
    """One layer in both reports; what cannot be known is None."""

    base: MeasuredLayer
    candidate: MeasuredLayer

    @property
    def path(self) -> str:
        return self.candidate.path

    @cached_property
    def weights(self) -> float | None:
        """Relative change of the weights."""
        known = drift.has_weights(self.base, self.candidate)
        return drift.weight_change(self.base, self.candidate) if known else None

    @cached_property
    def cosine(self) -> float | None:
        known = drift.has_weights(self.base, self.candidate)
        return drift.weight_cosine(self.base, self.candidate) if known else None

    @property
    def answered(self) -> bool:
        """Whether both networks were asked."""
        return drift.has_answers(self.base, self.candidate)

    @cached_property
    def answers(self) -> tuple[float, float] | None:
        """PSI and KS."""
        if not self.answered:
            return None
        return (
            drift.population_stability(self.base, self.candidate),
            drift.distance_of_distributions(self.base, self.candidate),
        )

    @cached_property
    def shifts(self) -> np.ndarray:
        """(U,) of the units' mean answers; (0,) where they are not known."""
        if not self.answered:
            return np.zeros(0)
        return drift.unit_shifts(self.base, self.candidate)

    @cached_property
    def died(self) -> np.ndarray:
        return drift.newly_dead(self.base, self.candidate) if self.answered else _NONE

    @cached_property
    def revived(self) -> np.ndarray:
        return drift.revived(self.base, self.candidate) if self.answered else _NONE

    @property
    def norms(self) -> tuple[np.ndarray, np.ndarray]:
        """(U,) each, of the units' weights; (0,) where they are not known of both."""
        both = self.base.unit_norms, self.candidate.unit_norms
        return both if both[0].shape == both[1].shape else (np.zeros(0), np.zeros(0))

    @property
    def units(self) -> int:
        """How many are told of."""
        return max(len(self.shifts), len(self.norms[0]))

    @property
    def changed(self) -> bool:
        """Whether anything differs. What is no number does."""
        moved = self.shifts[self.shifts != 0].size > 0
        measured = (self.weights or 0.0, *(self.answers or ()))
        return moved or any(value != 0 for value in measured) or bool(self.died.size)

    @property
    def size(self) -> tuple[float, float]:
        """Of the change, for an order: what is no number comes first, no weights last."""
        weights = -1.0 if self.weights is None else self.weights
        psi = self.answers[0] if self.answers else 0.0
        return _first(weights), _first(psi)

    def row(self) -> tuple[Cell, ...]:
        psi, ks = self.answers or (None, None)
        finite = np.abs(self.shifts)
        return (
            *(self.path, self.candidate.kind, self.weights, self.cosine, psi, ks),
            float(finite.max()) if finite.size else None,
            len(self.died) if self.answers else None,
            len(self.revived) if self.answers else None,
        )


def _first(value: float) -> float:
    return math.inf if math.isnan(value) else value


_COLUMNS = (
    *("layer", "kind", "weights, relative change", "cosine", "answers, PSI", "KS"),
    *("largest shift of a unit", "newly dead", "revived"),
)


def layers(base: Report, candidate: Report) -> Part:
    """The layers that both have, by path and shape, and those that only one has."""
    one, other = base.measured, candidate.measured
    if one is None or other is None:
        return Part()
    found = drift.matched(one, other)
    pairs = [Pair(*pair) for pair in found.pairs]
    changed = sorted((p for p in pairs if p.changed), key=lambda p: p.size, reverse=True)
    blocks: list[Block] = []
    if changed:
        blocks.append(_table(changed, len(pairs)))
        blocks += _plots(changed)
    blocks += _unmatched(found)
    # What has no weights passes on what another layer answered.
    own = [pair for pair in changed if pair.weights is not None and pair.units]
    blocks += [_group(pair) for pair in own[:_GROUPS]]
    if len(own) > _GROUPS:
        text = f"The units of the {_GROUPS} layers that changed most are listed, of {len(own)}."
        blocks.append(Text(text=text, tone="note"))
    return Part(
        blocks=tuple(blocks),
        told=_told(pairs),
        intro="Layers that have the same path and the same shape of output in both, those first "
        "whose weights changed most.",
        metrics={
            DIED: float(sum(len(pair.died) for pair in own)),
        },
        tallies=(Tally(what="layers", changed=len(changed), equal=len(pairs) - len(changed)),),
        gaps=_gaps(found, pairs),
    )


def _told(pairs: Sequence[Pair]) -> str:
    weighted = [pair for pair in pairs if pair.weights is not None]
    other = [pair for pair in weighted if pair.weights]
    if not other:
        return ""
    most = max(other, key=lambda pair: pair.size)
    return (
        f"{len(other)} of {counted(len(weighted), 'layer')} with weights have others, "
        f"{most.path} most (relative change {number(most.weights or 0.0)})."
    )


def _table(changed: Sequence[Pair], count: int) -> Table:
    return Table(
        columns=_COLUMNS,
        rows=tuple(pair.row() for pair in changed),
        caption=f"{len(changed)} of {counted(count, 'layer')} changed. Weights: ‖change‖ / ‖base‖, "
        "by sketches, within a few per cent; PSI and KS of all answers; shift: of a unit’s mean "
        "answer, in the base’s standard deviations.",
    )


def _plots(changed: Sequence[Pair]) -> list[Block]:
    weighted = [pair for pair in changed if pair.weights]
    answering = [pair for pair in changed if pair.answers and pair.answers[0]]
    answering.sort(key=lambda pair: pair.size[1], reverse=True)
    plots: list[Block] = []
    for title, label, some, values in (
        (
            "Change of the weights",
            "relative change",
            weighted,
            [pair.weights or 0.0 for pair in weighted],
        ),
        (
            "Change of the answers",
            "population stability index",
            answering,
            [pair.answers[0] if pair.answers else math.nan for pair in answering],
        ),
    ):
        if some:
            drawn = some[:_BARS]
            left = f", the first {_BARS} of {len(some)}" if len(some) > _BARS else ""
            plots.append(
                Bars(
                    names=tuple(pair.path for pair in drawn),
                    series=(BarSeries(name=label, values=np.array(values[:_BARS])),),
                    x_label=label,
                    caption=Caption(title=title, detail=f"layers, the largest change first{left}"),
                )
            )
    return plots


def _shape(layer: MeasuredLayer) -> str:
    return " × ".join(map(str, layer.shape))


def _unmatched(found: drift.Matched) -> list[Block]:
    rows: list[tuple[Cell, ...]] = [
        *((b.path, c.kind, _shape(b), _shape(c), "another shape") for b, c in found.reshaped),
        *((b.path, b.kind, _shape(b), None, "only in the base") for b in found.removed),
        *((c.path, c.kind, None, _shape(c), "only in the candidate") for c in found.added),
    ]
    if not rows:
        return []
    return [
        Table(
            columns=("layer", "kind", "base", "candidate", "why it is not compared"),
            rows=tuple(rows),
            caption="Layers that are not compared",
        )
    ]


def _gaps(found: drift.Matched, pairs: Sequence[Pair]) -> tuple[Gap, ...]:
    apart = {
        "have another shape": found.reshaped,
        "are only in the base": found.removed,
        "are only in the candidate": found.added,
    }
    told = [f"{len(some)} {words}" for words, some in apart.items() if some]
    gaps = [*_trained_anew(pairs)]
    if told:
        gaps.append(
            Gap(
                what="layers",
                why=f"{', '.join(told)}; they are listed under Changed layers",
                grave=True,
            )
        )
    if pairs and not any(pair.answers for pair in pairs):
        gaps.append(Gap(what="answers of layers", why="one of the reports saw no images"))
    return tuple(gaps)


def _trained_anew(pairs: Sequence[Pair]) -> Iterator[Gap]:
    """Units of a network that began from other random weights are other units."""
    cosines = [pair.cosine for pair in pairs if pair.weights and pair.cosine is not None]
    known = [cosine for cosine in cosines if not math.isnan(cosine)]
    if known and float(np.median(known)) < _ALIKE:
        yield Gap(
            what="units, one by one",
            why="the weights have hardly a direction in common (median cosine "
            f"{number(float(np.median(known)))}), as those of a network trained anew: a unit of "
            "one is not the same unit of the other, so that their pictures and shifts say little",
        )


def _group(pair: Pair) -> Group:
    blocks: list[Block] = []
    if len(pair.shifts) > 1 and np.isfinite(pair.shifts).any():
        blocks.append(
            Curve(
                series=(Series(name="shift", x=np.arange(len(pair.shifts)), y=pair.shifts),),
                x_label="unit",
                y_label="shift in the base’s deviations",
                caption=Caption(
                    title=f"{pair.path} · shift of each unit",
                    detail="mean answer of the candidate less that of the base, in the base’s "
                    "standard deviations",
                ),
            )
        )
    blocks.append(_units(pair))
    shape = _shape(pair.candidate)
    return Group(
        title=pair.path,
        layer=pair.path,
        subtitle=f"{pair.candidate.kind}, {shape}",
        blocks=tuple(blocks),
    )


def _units(pair: Pair) -> Table:
    """The units that changed most: the newly dead, the revived, then by shift and by norm."""
    norms, count = pair.norms, pair.units
    both = norms[0].size > 0
    shifts = pair.shifts if pair.shifts.size else np.zeros(count)
    grown = _relative(*norms) if both else np.zeros(count)
    state = np.zeros(count, np.int64)
    state[pair.died], state[pair.revived] = 2, 1
    size, growth = (np.nan_to_num(np.abs(v), nan=np.inf, posinf=np.inf) for v in (shifts, grown))
    moved = np.flatnonzero((state > 0) | (size > 0) | (growth > 0))
    order = sorted(moved.tolist(), key=lambda u: (-state[u], -size[u], -growth[u]))
    rows = [
        (
            unit,
            float(norms[0][unit]) if both else None,
            float(grown[unit]) if both else None,
            float(shifts[unit]) if pair.shifts.size else None,
            *((("", "revived", "newly dead")[state[unit]],) if state.any() else ()),
        )
        for unit in order[:_UNITS]
    ]
    columns = ("unit", "norm of the base", "change of the norm", "shift")
    cut = f"the {_UNITS} that changed most of " if len(order) > _UNITS else ""
    return Table(
        columns=(*columns, "state") if state.any() else columns,
        rows=tuple(rows),
        caption=f"Changed units: {cut}{len(order)} of {count}; change of the norm: relative",
    )


def _relative(base: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """(U,) relative change of each unit's norm."""
    change = np.asarray(candidate, np.float64) - base
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(change == 0, 0.0, change / base)
