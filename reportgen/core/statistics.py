"""Statistics of the values of a layer."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from reportgen.core.blocks import KeyValues

BINS = 20  # as DIGITS draws them


@dataclass(frozen=True)
class Statistics:
    """Of the finite values of an array; an array without any has NaN throughout.

    Attributes:
      zero_fraction: share of values that are exactly zero (0..1).
      not_finite: how many values are NaN or infinite, left out of everything else.
      counts, edges: histogram of 20 equal bins from minimum to maximum.
    """

    size: int
    mean: float
    std: float
    minimum: float
    maximum: float
    zero_fraction: float
    not_finite: int
    counts: np.ndarray
    edges: np.ndarray

    def block(self, title: str = "Statistics") -> KeyValues:
        """As names and values."""
        pairs: list[tuple[str, float | int]] = [
            ("mean", self.mean),
            ("standard deviation", self.std),
            ("minimum", self.minimum),
            ("maximum", self.maximum),
            ("zero fraction", self.zero_fraction),
            ("values", self.size),
        ]
        if self.not_finite:
            pairs.append(("not finite", self.not_finite))
        return KeyValues(pairs=tuple(pairs), title=title)


def statistics(values: np.ndarray) -> Statistics:
    """Statistics of an array of any shape, computed in float64."""
    finite = values[np.isfinite(values)].astype(np.float64)
    not_finite = int(values.size - finite.size)
    if not finite.size:
        nan = math.nan
        empty = np.zeros(BINS, np.int64), np.linspace(0.0, 1.0, BINS + 1)
        return Statistics(values.size, nan, nan, nan, nan, nan, not_finite, *empty)
    counts, edges = np.histogram(finite, BINS)
    return Statistics(
        size=int(values.size),
        mean=float(finite.mean()),
        std=float(finite.std()),
        minimum=float(finite.min()),
        maximum=float(finite.max()),
        zero_fraction=float((finite == 0).mean()),
        not_finite=not_finite,
        counts=counts,
        edges=edges,
    )
