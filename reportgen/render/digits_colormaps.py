"""The colormaps of NVIDIA DIGITS 2, which are not Matplotlib's of the same names.

Each channel is linear between nodes at equal distances. DIGITS interpolates every value, where
Matplotlib takes the nearest of 256 entries, and cuts the result down to whole numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_LAST = 63  # hot and rainbow are given at 64 places, by index


def _by_index(*corners: tuple[int, float]) -> np.ndarray:
    """64 nodes, linear between corners (index, level)."""
    places, levels = zip(*corners, strict=True)
    return np.interp(np.arange(_LAST + 1), places, levels)


# Red, green and blue at the nodes, 0..1.
NODES: dict[str, tuple[Sequence[float] | np.ndarray, ...]] = {
    "digits_jet": (
        (0, 0, 0, 0, 0.5, 1, 1, 1, 0.5),
        (0, 0, 0.5, 1, 1, 1, 0.5, 0, 0),
        (0.5, 1, 1, 1, 0.5, 0, 0, 0, 0),
    ),
    "digits_hot": (
        _by_index((0, 0), (25, 1)),
        _by_index((25, 0), (51, 1)),
        _by_index((50, 0), (63, 1)),
    ),
    "digits_rainbow": (
        _by_index((25, 1), (38, 0), (50, 0), (63, 0.6667)),
        _by_index((0, 0), (26, 1), (37, 1), (51, 0)),
        _by_index((37, 0), (51, 1)),
    ),
    "digits_winter": ((0, 0), (0, 1), (1, 0.5)),
    "digits_simple": ((0, 1, 1, 1), (0, 0, 1, 1), (0, 0, 0, 1)),
    "digits_white": ((0, 1), (0, 1), (0, 1)),
}


def colours(name: str, values: np.ndarray) -> np.ndarray:
    """Values 0..1 of any shape as uint8 colours (..., 3)."""
    channels = [
        np.interp(values * (len(levels) - 1), np.arange(len(levels)), levels)
        for levels in NODES[name]
    ]
    # Sums of fractions may end just below the whole number that they stand for.
    return np.floor(np.stack(channels, axis=-1) * 255 + 1e-9).astype(np.uint8)
