"""How alike two maps of one image are: in the order of their values, and in their structure.

The two measures of Adebayo, Gilmer, Muelly, Goodfellow, Hardt, Kim: Sanity Checks for Saliency Maps
(2018), arXiv:1810.03292.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.ndimage import uniform_filter

WINDOW = 7  # pixels: scikit-image's default
_K1, _K2 = 0.01, 0.03


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 0, equal values their mean rank; of any shape, flattened."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    ranked: np.ndarray = (np.cumsum(count) - (count + 1) / 2)[place.ravel()]
    return ranked


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's correlation of two maps, −1 to 1.

    NaN where a map has one value throughout, or one that is not finite: it ranks nothing.
    """
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        return math.nan
    first, second = (ranked - ranked.mean() for ranked in (ranks(one), ranks(other)))
    length = np.sqrt((first @ first) * (second @ second))
    return float(first @ second / length) if length else math.nan


def similarity(one: np.ndarray, other: np.ndarray) -> float:
    """Mean structural similarity (SSIM) of two maps (H, W), −1 to 1; 1 if they are proportional.

    Wang, Bovik, Sheikh, Simoncelli: Image Quality Assessment: From Error Visibility to Structural
    Similarity (2004):

        (2 μ₁ μ₂ + C₁) (2 σ₁₂ + C₂) / ((μ₁² + μ₂² + C₁) (σ₁² + σ₂² + C₂))

    over windows of 7 × 7 pixels of equal weight that lie within the maps (smaller ones for smaller
    maps), with variances of samples, C₁ = (0.01 L)² and C₂ = (0.03 L)²: what scikit-image's
    ``structural_similarity`` computes. As the scale of a map has no meaning, each is first divided
    by its largest absolute value, and where one has values below zero both are drawn into 0..1, so
    that zero lies at 0.5: L is 1.

    NaN where a map is not finite.

    Raises:
      ValueError: if the shapes differ.
    """
    if one.shape != other.shape or one.ndim != 2:
        raise ValueError(f"maps have the shapes {one.shape} and {other.shape}")
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        return math.nan
    x, y = (_scaled(values) for values in (one, other))
    if min(x.min(), y.min()) < 0:
        x, y = (x + 1) / 2, (y + 1) / 2
    window = min(WINDOW, *one.shape)
    window -= 1 - window % 2
    count = window**2
    means = [uniform_filter(values, window) for values in (x, y, x * x, y * y, x * y)]
    inside = slice(window // 2, -(window // 2) or None)
    mx, my, mxx, myy, mxy = (values[inside, inside] for values in means)
    sample = count / max(count - 1, 1)
    vx, vy, vxy = (sample * part for part in (mxx - mx * mx, myy - my * my, mxy - mx * my))
    c1, c2 = _K1**2, _K2**2
    above = (2 * mx * my + c1) * (2 * vxy + c2)
    below = (mx * mx + my * my + c1) * (vx + vy + c2)
    return float((above / below).mean())


def _scaled(values: np.ndarray) -> np.ndarray:
    largest = float(np.abs(values).max(initial=0))
    return np.asarray(values, np.float64) / (largest or 1.0)
