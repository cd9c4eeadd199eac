"""Whether methods still show what they showed: agreement of their maps with the baseline's."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np

from reportgen.audits.base import Measure
from reportgen.audits.pair import DriftAudit, Pair, TwoMaps
from reportgen.core.agreement import rank_correlation, similarity
from reportgen.core.settings import settings
from reportgen.render import numbers


@settings
class DriftMaps(DriftAudit):
    """Agreement of a method's maps with the baseline's, mean over the images that both explain."""

    advice: ClassVar[str] = (
        "Lay the maps side by side: the network may now look elsewhere for the same answer."
    )
    lower_is_worse: ClassVar[bool] = True
    measured: ClassVar[str]

    @abstractmethod
    def agreement(self, base: np.ndarray, candidate: np.ndarray) -> float:
        """Of two maps (H, W); 1 if they agree, NaN if one is not finite."""

    def compare(self, pair: Pair) -> Iterator[Measure]:
        for method, maps in pair.maps.items():
            found = [self.agreement(one.base, one.candidate) for one in maps]
            yield Measure(
                where=method, value=float(np.mean(found)), message=self._told(method, found, maps)
            )

    def _told(self, method: str, found: Sequence[float], maps: Sequence[TwoMaps]) -> str:
        if bad := int(np.isnan(found).sum()):
            return (
                f"Of {bad} of {len(maps)} images the maps of {method} are not finite, here or in "
                "the baseline."
            )
        images = numbers.counted(len(maps), "image")
        if all(np.array_equal(one.base, one.candidate) for one in maps):
            return f"The maps of {method} are the baseline's, of {images}."
        lowest = int(np.argmin(found))
        message = (
            f"The {self.measured} of {method}'s maps and the baseline's is {np.mean(found):.4g}, "
            f"the mean of {images}; it is lowest for {maps[lowest].image}, {found[lowest]:.4g}."
        )
        other = sum(not one.same_class for one in maps)
        return message + (f" {other} of them explain another class now." if other else "")


@settings
class DriftRankCorrelation(DriftMaps):
    """Spearman's rank correlation (−1..1) of maps.

    A map of one value throughout ranks nothing: it agrees with an equal one, and with no other.
    """

    title: ClassVar[str] = "Agreement of maps (rank correlation)"
    measured: ClassVar[str] = "rank correlation"

    def agreement(self, base: np.ndarray, candidate: np.ndarray) -> float:
        if np.array_equal(base, candidate):
            return 1.0
        finite = np.isfinite(base).all() and np.isfinite(candidate).all()
        if finite and (np.ptp(base) == 0 or np.ptp(candidate) == 0):
            return 0.0
        return rank_correlation(base, candidate)


@settings
class DriftSSIM(DriftMaps):
    """Structural similarity (−1..1) of maps, each scaled by its largest absolute value."""

    title: ClassVar[str] = "Agreement of maps (SSIM)"
    measured: ClassVar[str] = "structural similarity"

    def agreement(self, base: np.ndarray, candidate: np.ndarray) -> float:
        return similarity(base, candidate)
