"""Agreement of maps, against SciPy and loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr

from reportgen.core.agreement import rank_correlation, ranks, similarity


def test_the_correlation_is_spearmans_with_ties() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 6, (9, 11)).astype(np.float32), rng.normal(size=(9, 11))
    np.testing.assert_allclose(ranks(one), rankdata(one.ravel()) - 1)
    expected = spearmanr(one.ravel(), other.ravel()).statistic
    assert rank_correlation(one, other) == pytest.approx(expected)
    assert rank_correlation(one, -(one**3)) == pytest.approx(-1)
    for blank in (np.zeros_like(one), np.full_like(one, np.nan)):
        assert np.isnan(rank_correlation(one, blank))


def slow_similarity(x: np.ndarray, y: np.ndarray) -> float:
    """SSIM window by window, as it is written in the paper."""
    c1, c2 = 0.01**2, 0.03**2
    found = []
    for top in range(x.shape[0] - 6):
        for left in range(x.shape[1] - 6):
            a = x[top : top + 7, left : left + 7].ravel()
            b = y[top : top + 7, left : left + 7].ravel()
            (va, vab), (_, vb) = np.cov(a, b)
            above = (2 * a.mean() * b.mean() + c1) * (2 * vab + c2)
            found.append(above / ((a.mean() ** 2 + b.mean() ** 2 + c1) * (va + vb + c2)))
    return float(np.mean(found))


@pytest.mark.parametrize("signed", [False, True])
def test_similarity_against_loops(signed: bool) -> None:
    rng = np.random.default_rng(1)
    one = rng.random((12, 9)).astype(np.float32) - (0.5 if signed else 0)
    other = one + 0.3 * rng.random((12, 9)).astype(np.float32)
    scaled = [np.asarray(m, np.float64) / np.abs(m).max() for m in (one, other)]
    expected = slow_similarity(*((m + 1) / 2 if signed else m for m in scaled))
    assert similarity(one, other) == pytest.approx(expected, rel=1e-9)
    assert 0.1 < expected < 0.95
    # Scale has no meaning in a map.
    assert similarity(one, 40 * other) == pytest.approx(expected, rel=1e-6)


def test_similarity_at_the_ends() -> None:
    rng = np.random.default_rng(2)
    one = rng.normal(size=(28, 28))
    assert similarity(one, 3 * one) == pytest.approx(1)
    assert similarity(one, -one) < -0.9  # signs count
    blank = np.zeros((28, 28))
    assert similarity(blank, blank) == pytest.approx(1)
    assert similarity(one, blank) < 0.1
    assert math.isnan(similarity(one, np.full((28, 28), np.nan)))
    small = rng.random((1, 4))
    assert similarity(small, small) == pytest.approx(1)
    with pytest.raises(ValueError, match="shapes"):
        similarity(one, small)
