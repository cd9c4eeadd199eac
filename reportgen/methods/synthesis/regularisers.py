"""What an ascent gives up score for: quiet pictures. One value an image; zero is the quietest."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def total_variation(pictures: jax.Array) -> jax.Array:
    """Σ (dy² + dx²) / (H W C) of pictures (N, H, W, C): TV^β with β = 2.

    dy and dx are the differences to the pixel below and to the right, over the (H-1) x (W-1) pixels
    that have both. Divided by the picture's size, so that a weight means the same at every size.
    Mahendran, Vedaldi: Understanding Deep Image Representations by Inverting Them (2014), with the
    exponent and the divisor of keras-vis.

    Returns:
      (N,) in the picture's unit squared.
    """
    here = pictures[:, :-1, :-1]
    squares = (pictures[:, 1:, :-1] - here) ** 2 + (pictures[:, :-1, 1:] - here) ** 2
    return squares.sum(axis=(1, 2, 3)) / pictures[0].size


def lp_norm(pictures: jax.Array, p: float | jax.Array) -> jax.Array:
    """The power mean (mean |x|^p)^(1/p) of pictures (N, H, W, C); p >= 1.

    p = 1 asks for few bright pixels; a large p (keras-vis: 6) only holds back the brightest.
    keras-vis divides the sum's root by the picture's size; the mean is used here so that a weight
    means the same at every size and p.

    Returns:
      (N,) in the picture's unit, between mean and maximum of |x|.
    """
    # Scaled by the largest value, so that high powers neither vanish nor overflow.
    largest = jax.lax.stop_gradient(jnp.abs(pictures).max(axis=(1, 2, 3)) + 1e-7)
    scaled = jnp.abs(pictures) / largest[:, None, None, None]
    # The root's slope at an all-black picture would be infinite.
    mean = jnp.maximum((scaled**p).mean(axis=(1, 2, 3)), 1e-12)
    return mean ** (1 / p) * largest


def absolute_variation(pictures: jax.Array) -> jax.Array:
    """Σ |dy| + Σ |dx| of pictures (N, H, W, C), over H W C: ``tf.image.total_variation``, divided.

    Returns:
      (N,) in the picture's unit.
    """
    down = jnp.abs(jnp.diff(pictures, axis=1)).sum(axis=(1, 2, 3))
    right = jnp.abs(jnp.diff(pictures, axis=2)).sum(axis=(1, 2, 3))
    return (down + right) / pictures[0].size


def keras_vis_norm(pictures: jax.Array, p: float | jax.Array) -> jax.Array:
    """(Σ |x|^p)^(1/p) / (H W C) of pictures (N, H, W, C): keras-vis's norm, smaller in larger ones.

    Returns:
      (N,) in the picture's unit.
    """
    size = pictures[0].size
    return lp_norm(pictures, p) * size ** (1 / p - 1)
