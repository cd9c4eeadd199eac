"""What an ascent climbs: one score an image, before any regulariser."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def mean_activation(activation: jax.Array, units: jax.Array, *, rectify: bool) -> jax.Array:
    """Mean over the map of one unit for each image.

    The loss of Keras's conv_filter_visualization.py (2018). The script climbs convolutions that
    contain their rectifier; where a network's rectifier is a step of its own, ``rectify`` puts it
    back, so that one strong negative response does not cancel the positive ones.

    Args:
      activation: (N, h, w, C) output of the layer.
      units: (N,) channel of each image.
      rectify: average max(activation, 0); changes nothing where the output is never negative.

    Returns:
      (N,) in the activation's unit.
    """
    # The mean comes before the choice: its gradient is then one small scatter, not one a pixel.
    means = (jax.nn.relu(activation) if rectify else activation).mean(axis=(1, 2))
    return chosen(means, units)


def chosen(scores: jax.Array, index: jax.Array) -> jax.Array:
    """(N,) entries of scores (N, C), one a row."""
    return jnp.take_along_axis(scores, index[:, None], axis=1)[:, 0]
