import math

import numpy as np

from reportgen.core.statistics import BINS, statistics


def test_statistics_of_finite_values() -> None:
    values = np.array([[0.0, 1.0], [-3.0, 0.0]], np.float32)
    got = statistics(values)
    assert (got.size, got.mean, got.minimum, got.maximum) == (4, -0.5, -3.0, 1.0)
    assert got.std == math.sqrt(sum((v + 0.5) ** 2 for v in (0, 1, -3, 0)) / 4)
    assert got.zero_fraction == 0.5
    assert (len(got.counts), len(got.edges), got.counts.sum()) == (BINS, BINS + 1, 4)
    assert (got.edges[0], got.edges[-1]) == (-3.0, 1.0)


def test_values_that_are_not_finite_are_counted_and_left_out() -> None:
    got = statistics(np.array([1.0, np.nan, np.inf, 3.0]))
    assert (got.mean, got.not_finite, got.size) == (2.0, 2, 4)
    assert ("not finite", 2) in got.block().pairs
    nothing = statistics(np.array([np.nan]))
    assert math.isnan(nothing.mean)
    assert nothing.counts.sum() == 0
