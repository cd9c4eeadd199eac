"""What the classic jobs drew, in plain NumPy: grids, ranges and colours as they had them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np

JET = (
    (0, 0, 0, 0, 0.5, 1, 1, 1, 0.5),
    (0, 0, 0.5, 1, 1, 1, 0.5, 0, 0),
    (0.5, 1, 1, 1, 0.5, 0, 0, 0, 0),
)


def digits_jet(scaled: np.ndarray) -> np.ndarray:
    """DIGITS 2's jet of values 0..1."""
    channels = [np.interp(scaled * 8, range(9), levels) for levels in JET]
    return (255 * np.stack(channels, axis=-1)).astype(np.uint8)


def matplotlib_colours(scaled: np.ndarray, name: str) -> np.ndarray:
    return np.asarray(mpl.colormaps[name](scaled, bytes=True)[..., :3])


def joint(values: np.ndarray) -> np.ndarray:
    """Values as 0..1 by the minimum and maximum of all."""
    values = values.astype(np.float64)
    return (values - values.min()) / (values.max() - values.min())


def padded_grid(tiles: np.ndarray, rows: int, columns: int, pad: int) -> np.ndarray:
    """Coloured tiles (N, h, w, 3) with white at the right and below each, on a white grid."""
    missing = rows * columns - len(tiles)
    padding = ((0, missing), (0, pad), (0, pad), (0, 0))
    tiles = np.pad(tiles, padding, constant_values=255)
    height, width = tiles.shape[1:3]
    tiles = tiles.reshape(rows, columns, height, width, 3)
    return tiles.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, 3)


def digits_montage(values: np.ndarray, *, normalise: bool = True, most: int = 600) -> np.ndarray:
    """DIGITS 2's picture of tiles (N, h, w), before it is enlarged to 100 pixels."""
    width = values.shape[2]
    pad = 1 if width > 1 else 0
    values = values[: max(1, most // (width + pad)) ** 2]
    n = math.ceil(math.sqrt(len(values)))
    columns = n - 1 if n * (n - 1) >= len(values) else n
    return padded_grid(digits_jet(joint(values) if normalise else values), n, columns, pad)


def caffe_montage(values: np.ndarray) -> np.ndarray:
    """The Caffe notebook's picture of tiles (N, h, w) in grey or (N, h, w, 3) in colour."""
    n = math.ceil(math.sqrt(len(values)))
    scaled = joint(values)
    if values.ndim == 3:
        return padded_grid(matplotlib_colours(scaled, "gray"), n, n, 1)
    return padded_grid(np.floor(255 * scaled + 0.5).astype(np.uint8), n, n, 1)


def middle_factors(total: int) -> tuple[int, int]:
    """Rows and columns."""
    factors = [side for side in range(1, total + 1) if total % side == 0]
    if len(factors) % 2:
        return factors[len(factors) // 2], factors[len(factors) // 2]
    return factors[len(factors) // 2 - 1], factors[len(factors) // 2]


def bicubic(tile: np.ndarray, zoom: int) -> np.ndarray:
    """A map (h, w) so many times as large by cubic convolution with a = -1/2."""

    def weights(size: int) -> np.ndarray:
        places = (np.arange(size * zoom) + 0.5) / zoom - 0.5
        d = np.abs(places[:, None] - np.arange(size))
        near = 1.5 * d**3 - 2.5 * d**2 + 1
        far = -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
        kernel = np.where(d < 1, near, np.where(d < 2, far, 0))
        return kernel / kernel.sum(axis=1, keepdims=True)

    return weights(tile.shape[0]) @ tile @ weights(tile.shape[1]).T


def check_statistics(facts: Sequence[tuple[str, object]], values: np.ndarray) -> None:
    """Mean and standard deviation, as DIGITS told them."""
    told = dict(facts)
    values = values.astype(np.float64)
    np.testing.assert_allclose([told["mean"]], [values.mean()], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose([told["standard deviation"]], [values.std()], rtol=1e-6)


def check_histogram(counts: np.ndarray, edges: np.ndarray, values: np.ndarray) -> None:
    """20 bins of equal width from minimum to maximum."""
    values = values.astype(np.float64).ravel()
    assert len(counts) == 20
    np.testing.assert_allclose(edges, np.linspace(values.min(), values.max(), 21), rtol=1e-6)
    np.testing.assert_array_equal(counts, np.histogram(values, 20)[0])
