"""Inputs that stand for an image with nothing on it.

Sturmfels, Lundberg, Lee: Visualizing the Impact of Feature Attribution Baselines (2020),
doi:10.23915/distill.00022.
"""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from reportgen.core.spec import InputSpec
from reportgen.methods.draws import uniform

Baseline = Literal["black", "mean", "blurred", "random"]


def baseline(
    kind: Baseline, spec: InputSpec, x: jax.Array, keys: jax.Array, blur: float
) -> jax.Array:
    """What x is compared with.

    Args:
      kind: ``black``: all pixels 0. ``mean``: what is 0 after preprocessing, which is the mean
        pixel where preprocessing subtracts one, and black where it does not. ``blurred``: the image
        under a Gaussian. ``random``: pixels drawn evenly from 0..255, each channel by itself.
      x: inputs (N, H, W, C), normalised.
      keys: (N,) random keys, for ``random``.
      blur: the Gaussian's standard deviation over the shorter side, for ``blurred``.

    Returns:
      (N, H, W, C), normalised.
    """
    if kind == "black":
        return jnp.broadcast_to(spec.normalise(jnp.zeros(x.shape[1:])), x.shape)
    if kind == "mean":
        return jnp.zeros_like(x)
    if kind == "blurred":
        # Preprocessing is affine and the Gaussian's weights sum to one: before it or after is one.
        return blurred(x, blur * min(x.shape[1:3]))
    drawn = jax.vmap(lambda key: 255 * uniform(key, x.shape[1:]))(keys)
    return jnp.asarray(spec.normalise(drawn))


def blurred(x: jax.Array, deviation: float) -> jax.Array:
    """x (N, H, W, C) under a Gaussian.

    Args:
      deviation: its standard deviation in pixels.

    At the border the weights of what lies inside are scaled up to sum to one.
    """
    rows, columns = (_gaussian(side, deviation) for side in x.shape[1:3])
    return jnp.einsum("ih,jw,nhwc->nijc", rows, columns, x, precision="highest")


def _gaussian(side: int, deviation: float) -> np.ndarray:
    places = np.arange(side)
    weights = np.exp(-0.5 * ((places[:, None] - places) / deviation) ** 2)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)
