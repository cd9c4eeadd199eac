"""Pictures and maps at another size."""

from __future__ import annotations

from functools import cache
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

Kind = Literal["bicubic", "bilinear", "nearest"]


def resized(values: jax.Array, size: tuple[int, int], kind: Kind) -> jax.Array:
    """Values (N, H, W, C) at another size, (N, h, w, C).

    Pixels are areas, so that centres lie half a pixel inside and the edges of both sizes coincide;
    at the borders weights are renormalised. ``bicubic`` is Keys's kernel with a = -0.5 (Cubic
    Convolution Interpolation, 1981) and may overshoot at a sharp edge; it and ``bilinear`` are
    smoothed where they make smaller, as Pillow's are. ``nearest`` repeats.
    """
    if kind == "nearest":
        return jax.image.resize(values, (len(values), *size, values.shape[-1]), kind)
    # Known when the program is traced. jax.image.resize works them out inside of it, which takes
    # a third of the time in which the program of a small network is compiled.
    rows, columns = (
        jnp.asarray(_weights(source, target, kind), values.dtype)
        for source, target in zip(values.shape[1:3], size, strict=True)
    )
    highest = jax.lax.Precision.HIGHEST
    return jnp.einsum("yh,nhwc,xw->nyxc", rows, values, columns, precision=highest)


@cache
def _weights(source: int, target: int, kind: Kind) -> np.ndarray:
    """(target, source) float32: each new pixel as a mean of old ones."""
    places = (np.arange(target) + 0.5) * source / target - 0.5
    reach = max(source / target, 1.0)
    x = np.abs(places[:, None] - np.arange(source)) / reach
    if kind == "bilinear":
        weights = np.maximum(1 - x, 0)
    else:
        near, far = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
        weights = np.where(x < 1, near, np.where(x < 2, far, 0))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)
