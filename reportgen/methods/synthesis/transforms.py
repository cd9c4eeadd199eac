"""Changes to pictures between and inside the steps of an ascent. All take (N, H, W, C)."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from reportgen.methods.resize import resized
from reportgen.methods.synthesis.ascent import EPSILON

MID_GREY = 127.5


def resize(pictures: jax.Array, size: int | tuple[int, int]) -> jax.Array:
    """Bicubic (Keys, a = -0.5), clamped at the borders by renormalising: Pillow's BICUBIC.

    On enlarging it equals Pillow's mode ``F`` to 4e-5 of the value range; nothing is clipped, so a
    sharp edge may overshoot by a few percent.
    """
    height, width = (size, size) if isinstance(size, int) else size
    return resized(pictures, (height, width), "bicubic")


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


def sample(pictures: jax.Array, maps: jax.Array, size: tuple[int, int], *, wrap: bool) -> jax.Array:
    """Pictures (N, H, W, C) as seen through affine maps (N, V, 2, 3), bilinear.

    A map leads from (row, column) of a view's pixel to those of the picture, both counted from
    their centres; a shift by whole pixels is exact.

    Args:
      size: (h, w) of a view.
      wrap: beyond its border the picture begins again; else there is mid-grey.

    Returns:
      (N, V, h, w, C).
    """
    height, width = pictures.shape[1:3]
    rows, columns = (jnp.arange(side) - (side - 1) / 2 for side in size)
    grid = jnp.stack([*jnp.meshgrid(rows, columns, indexing="ij"), jnp.ones(size)], -1)
    centre = jnp.array([(height - 1) / 2, (width - 1) / 2])

    def view(picture: jax.Array, matrix: jax.Array) -> jax.Array:
        place = (grid[..., None, :] * matrix).sum(-1) + centre
        corner = jnp.floor(place)
        part = place - corner
        total = jnp.zeros((*size, picture.shape[-1]))
        # By one index: XLA's CPU backend compiles the derivative of two in four times the time.
        flat = picture.reshape(height * width, -1)
        for down in (0, 1):
            for right in (0, 1):
                y = corner[..., 0].astype(jnp.int32) + down
                x = corner[..., 1].astype(jnp.int32) + right
                seen = flat[y % height * width + x % width]
                if not wrap:
                    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
                    seen = jnp.where(inside[..., None], seen, MID_GREY)
                weight = jnp.abs(1 - down - part[..., 0]) * jnp.abs(1 - right - part[..., 1])
                total += weight[..., None] * seen
        return total

    return jax.vmap(lambda picture, own: jax.vmap(lambda m: view(picture, m))(own))(pictures, maps)
