"""Changes to pictures between and inside the steps of an ascent. All take (N, H, W, C)."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from reportgen.methods.synthesis.ascent import EPSILON


def resize(pictures: jax.Array, size: int | tuple[int, int]) -> jax.Array:
    """Bicubic (Keys, a = -0.5), clamped at the borders by renormalising: Pillow's BICUBIC.

    On enlarging it equals Pillow's mode ``F`` to 4e-5 of the value range; nothing is clipped, so a
    sharp edge may overshoot by a few percent.
    """
    height, width = (size, size) if isinstance(size, int) else size
    shape = (pictures.shape[0], height, width, pictures.shape[3])
    return jax.image.resize(pictures, shape, "cubic", precision=jax.lax.Precision.HIGHEST)


def standardise(pictures: jax.Array) -> jax.Array:
    """To mean 0.5 and standard deviation 0.25 over height, width and channels, clipped to [0, 1].

    ``deprocess_image`` of Keras's conv_filter_visualization.py, without its rounding to bytes. A
    picture of one value becomes 0.5 throughout.
    """
    axes = (1, 2, 3)
    centred = pictures - pictures.mean(axis=axes, keepdims=True)
    deviation = centred.std(axis=axes, keepdims=True)
    return jnp.clip(centred / (deviation + EPSILON) * 0.25 + 0.5, 0.0, 1.0)


def unstandardise(pictures: jax.Array, former: jax.Array) -> jax.Array:
    """Back from [0, 1] to the mean and standard deviation of the former pictures."""
    axes = (1, 2, 3)
    mean = former.mean(axis=axes, keepdims=True)
    return (pictures - 0.5) * 4 * former.std(axis=axes, keepdims=True) + mean


def roll(pictures: jax.Array, shifts: jax.Array) -> jax.Array:
    """Each picture moved down and right by its shift (N, 2), what leaves re-entering opposite."""
    return jax.vmap(lambda picture, shift: jnp.roll(picture, shift, axis=(0, 1)))(pictures, shifts)
