"""What changed from one report's measurements to another's: weights, answers, images.

Pure functions on two ``Measured``, a base's and a candidate's; nothing here decides what is bad.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from reportgen.core.measured import Measured, MeasuredLayer

HISTOGRAM = 2048  # bins that a histogram of answers may have
GROUPS = 10
FLOOR = 1e-4  # the least share of a group: an empty one would give an infinite index

Change = Literal["right to wrong", "wrong to right", "wrong to wrong", "unlabelled"]


@dataclass(frozen=True, kw_only=True)
class Matched:
    """The layers of two networks, in execution order.

    Attributes:
      pairs: the base's and the candidate's, of one path and one shape of output.
      reshaped: the same of one path, but different shapes.
      removed, added: that only the base, or only the candidate has.
    """

    pairs: tuple[tuple[MeasuredLayer, MeasuredLayer], ...]
    reshaped: tuple[tuple[MeasuredLayer, MeasuredLayer], ...]
    removed: tuple[MeasuredLayer, ...]
    added: tuple[MeasuredLayer, ...]


def matched(base: Measured, candidate: Measured) -> Matched:
    """The layers of two networks, matched by path and shape."""
    own = {layer.path: layer for layer in base.layers}
    both = [(own[layer.path], layer) for layer in candidate.layers if layer.path in own]
    known = {layer.path for layer in candidate.layers}
    return Matched(
        pairs=tuple((b, c) for b, c in both if b.shape == c.shape),
        reshaped=tuple((b, c) for b, c in both if b.shape != c.shape),
        removed=tuple(layer for layer in base.layers if layer.path not in known),
        added=tuple(layer for layer in candidate.layers if layer.path not in own),
    )


def has_weights(base: MeasuredLayer, candidate: MeasuredLayer) -> bool:
    """Whether both have parameters."""
    return bool(base.weights_sha256 and candidate.weights_sha256)


def weight_change(base: MeasuredLayer, candidate: MeasuredLayer) -> float:
    """Relative change of a layer's parameters w: ‖w_c − w_b‖ / ‖w_b‖, L2.

    0 if and only if the parameters are equal, bit by bit; √2 for independent ones of one length.
    The distance is that of their sketches, whose standard deviation is 2.2 % of it. Infinite if
    the base's are all zero, NaN if some are not finite.
    """
    if base.weights_sha256 == candidate.weights_sha256:
        return 0.0
    distance = _distance(base, candidate)
    if not base.norm:
        return math.inf if math.isfinite(distance) else math.nan
    return distance / base.norm


def weight_cosine(base: MeasuredLayer, candidate: MeasuredLayer) -> float:
    """Cosine of the angle between a layer's parameters, −1 to 1.

    (‖w_b‖² + ‖w_c‖² − ‖w_c − w_b‖²) / (2 ‖w_b‖ ‖w_c‖), with the exact norms and the sketches'
    distance: so it is the more exact the nearer they are. NaN if a norm is zero or not finite.
    """
    if base.weights_sha256 == candidate.weights_sha256:
        return 1.0
    product = 2 * base.norm * candidate.norm
    if not math.isfinite(product) or not product:
        return math.nan
    above = base.norm**2 + candidate.norm**2 - _distance(base, candidate) ** 2
    return float(np.clip(above / product, -1.0, 1.0))


def _distance(base: MeasuredLayer, candidate: MeasuredLayer) -> float:
    return float(np.linalg.norm(candidate.sketch - base.sketch))


def has_answers(base: MeasuredLayer, candidate: MeasuredLayer) -> bool:
    """Whether both answered to images; their answers need not be finite."""
    return bool(base.means.size and candidate.means.size)


def population_stability(base: MeasuredLayer, candidate: MeasuredLayer) -> float:
    """Population stability index of a layer's answers: Σ (c − b) ln(c / b), 0 and above.

    b and c are the shares of answers in ten groups whose borders are the base's deciles, as far as
    the bins of its histogram tell them apart: fewer groups where one bin holds several deciles, as
    the zeros of a rectifier do. A share is taken for 0.0001 at the least, so that an empty group
    gives a finite number. By Siddiqi (Credit Risk Scorecards, 2006) below 0.1 is no change to
    speak of, above 0.25 a large one. NaN where one has no finite answer.
    """
    before, after = _shares(base), _shares(candidate)
    if before is None or after is None:
        return math.nan
    reached = np.cumsum(before)
    # Half a count less than a decile would be rounding: sums of shares end near 1, not at it.
    borders = np.unique(np.searchsorted(reached, np.arange(1, GROUPS) / GROUPS - 1e-12))
    group = np.searchsorted(borders, np.arange(HISTOGRAM))
    b, c = (np.bincount(group, shares, len(borders) + 1) for shares in (before, after))
    b, c = np.maximum(b, FLOOR), np.maximum(c, FLOOR)
    return float(((c - b) * np.log(c / b)).sum())


def distance_of_distributions(base: MeasuredLayer, candidate: MeasuredLayer) -> float:
    """Two-sample Kolmogorov-Smirnov distance of a layer's answers: max |F_c − F_b|, 0 to 1.

    Over the borders of the histograms' bins, so never above that of the answers themselves. NaN
    where one has no finite answer.
    """
    before, after = _shares(base), _shares(candidate)
    if before is None or after is None:
        return math.nan
    return float(np.abs(np.cumsum(after - before)).max())


def _shares(layer: MeasuredLayer) -> np.ndarray | None:
    """(2048,) share of answers in each bin; None if there are none."""
    counts = np.bincount(
        np.asarray(layer.bins, np.int64), np.asarray(layer.counts, np.float64), HISTOGRAM
    )
    total = counts.sum()
    return counts / total if total else None


def newly_dead(base: MeasuredLayer, candidate: MeasuredLayer) -> np.ndarray:
    """Numbers of units that died: dead in the candidate, and not in the base."""
    return np.flatnonzero(candidate.dead & ~base.dead)


def revived(base: MeasuredLayer, candidate: MeasuredLayer) -> np.ndarray:
    """Numbers of units that are dead in the base, and not in the candidate."""
    return newly_dead(candidate, base)


def unit_shifts(base: MeasuredLayer, candidate: MeasuredLayer) -> np.ndarray:
    """(U,) change of each unit's mean answer, in units of the base's standard deviation.

    Infinite where a unit that never varied answers something else, 0 where it still answers the
    same, NaN where a mean is not finite.
    """
    change = np.asarray(candidate.means, np.float64) - base.means
    with np.errstate(divide="ignore", invalid="ignore"):
        shifts = change / base.deviations
    return np.where(change == 0, 0.0, shifts)


def shared_images(base: Measured, candidate: Measured) -> np.ndarray:
    """(M, 2) places of the images that both have, the base's and the candidate's.

    They are known by their pixels, in whatever order they come; the first of equal ones is matched
    with the first. In the candidate's order.
    """
    places: dict[bytes, list[int]] = defaultdict(list)
    for place in reversed(range(len(base.digests))):
        places[base.digests[place].tobytes()].append(place)
    found = []
    for place, digest in enumerate(candidate.digests):
        if own := places[digest.tobytes()]:
            found.append((own.pop(), place))
    return np.array(found, np.int64).reshape(-1, 2)


def has_classes(base: Measured, candidate: Measured) -> bool:
    """Whether both tell classes apart; a network of one score predicts none."""
    return bool(base.predicted.shape[1] and candidate.predicted.shape[1])


@dataclass(frozen=True, kw_only=True)
class Answered:
    """How two networks classify the images that both saw and that both have a label for.

    Attributes:
      places: (M, 2) of the images, see ``shared_images``.
      labels: (M, 2) what each report takes for the true class.
      right: (M, 2) whether the base, and the candidate, are right.
    """

    places: np.ndarray
    labels: np.ndarray
    right: np.ndarray

    @property
    def accuracy(self) -> tuple[float, float]:
        """Of the base and the candidate (0..1); NaN without images."""
        if not len(self.right):
            return math.nan, math.nan
        before, after = self.right.mean(axis=0)
        return float(before), float(after)


def answered(base: Measured, candidate: Measured) -> Answered:
    """Each network's hits over the labelled images that both saw.

    Each is held against its own report's labels: where classes were swapped in one of them, its
    accuracy falls.
    """
    places = shared_images(base, candidate)
    labels = np.stack([base.labels[places[:, 0]], candidate.labels[places[:, 1]]], axis=1)
    known = np.flatnonzero((labels >= 0).all(axis=1) & has_classes(base, candidate))
    places, labels = places[known], labels[known]
    return Answered(
        places=places, labels=labels, right=_predicted(base, candidate, places) == labels
    )


@dataclass(frozen=True, kw_only=True)
class Flip:
    """An image that is classified otherwise.

    Attributes:
      base, candidate: its place in each report's images.
      before, after: the class's index that each network predicts.
    """

    name: str
    base: int
    candidate: int
    before: int
    after: int
    change: Change


def flips(
    base: Measured,
    candidate: Measured,
    base_classes: Sequence[str] = (),
    candidate_classes: Sequence[str] = (),
) -> tuple[Flip, ...]:
    """The images that both saw and classify differently, losses first, then in their order.

    Args:
      base_classes, candidate_classes: names of the classes. Where they differ, and some are in
        both, classes are the same if their names are; else if their indices are. An image that
        both are right about is no flip, whatever its class is called.
    """
    places = shared_images(base, candidate)
    differ = tuple(base_classes) != tuple(candidate_classes)
    named = differ and bool(set(base_classes) & set(candidate_classes))
    found = []
    for (i, j), (before, after) in zip(
        places.tolist(), _predicted(base, candidate, places).tolist(), strict=True
    ):
        same = base_classes[before] == candidate_classes[after] if named else before == after
        truth = int(base.labels[i]), int(candidate.labels[j])
        if same or (before, after) == truth:
            continue
        found.append(
            Flip(
                name=candidate.names[j],
                base=i,
                candidate=j,
                before=before,
                after=after,
                change=_change(truth, before == truth[0], after == truth[1]),
            )
        )
    order: tuple[Change, ...] = ("right to wrong", "wrong to wrong", "unlabelled", "wrong to right")
    return tuple(sorted(found, key=lambda flip: order.index(flip.change)))


def _predicted(base: Measured, candidate: Measured, places: np.ndarray) -> np.ndarray:
    """(M, 2) class indices that both predict."""
    if not has_classes(base, candidate):
        return np.zeros((len(places), 2), np.int64)
    before, after = base.predicted[places[:, 0], 0], candidate.predicted[places[:, 1], 0]
    return np.stack([before, after], axis=1)


def _change(truth: tuple[int, int], was_right: bool, is_right: bool) -> Change:
    if min(truth) < 0:
        return "unlabelled"
    if was_right:
        return "right to wrong"
    return "wrong to right" if is_right else "wrong to wrong"
