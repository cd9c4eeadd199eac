"""What the network is shown of a picture at each step: shifted, turned, zoomed, cropped.

A view is an affine map from its pixels to the picture's, both counted from their centres. One
bilinear sampling (``transforms.sample``) applies it, whatever it consists of. The picture itself is
never changed: modifications do not add up from step to step.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from reportgen.methods.draws import normal, uniform

# Xplique's: deviations of a crop's centre and of its side, and the least side, in picture sides.
_CENTRE, _SIDE, _LEAST = 0.15, 0.05, 0.05


def canvas(side: int, pad: int, jitter: tuple[int, int]) -> int:
    """Side of what is shown: a padded picture, less what shifts may push out of the padding."""
    return side + 2 * max(0, pad - sum(jitter))


def drawn(
    key: jax.Array,
    steps: int,
    *,
    jitter: tuple[int, int],
    zoom: tuple[float, ...],
    rotate: tuple[float, ...],
) -> jax.Array:
    """A view for each step, (steps, 1, 2, 3).

    The picture is shifted by up to ``jitter[0]`` pixels either way, zoomed and turned by one of the
    factors and angles (degrees), and shifted again by up to ``jitter[1]``: Lucid's order.
    """
    drawn = uniform(key, (6, steps))
    before, after = (
        jnp.floor(pair.T * (2 * most + 1)) - most
        for pair, most in zip((drawn[:2], drawn[2:4]), jitter, strict=True)
    )
    factor = _one_of(drawn[4], zoom)
    angle = jnp.deg2rad(_one_of(drawn[5], rotate))
    return affine(before, factor, angle, after)[:, None]


def affine(before: jax.Array, factor: jax.Array, angle: jax.Array, after: jax.Array) -> jax.Array:
    """Maps (S, 2, 3) of a shift (S, 2), a zoom (S,), a turn (S,; radians) and a shift (S, 2).

    A view's pixel q shows the picture at turn⁻¹(q - after) / factor - before; a positive angle
    turns the picture counter-clockwise.
    """
    cosine, sine = jnp.cos(angle) / factor, jnp.sin(angle) / factor
    turn = jnp.stack([jnp.stack([cosine, sine], -1), jnp.stack([-sine, cosine], -1)], -2)
    moved = -jnp.einsum("sij,sj->si", turn, after, precision=jax.lax.Precision.HIGHEST) - before
    return jnp.concatenate([turn, moved[..., None]], -1)


def crops(
    key: jax.Array,
    steps: int,
    count: int,
    box: tuple[float, float],
    size: tuple[int, int],
    shown: tuple[int, int],
) -> jax.Array:
    """``count`` crops for each step, (steps, count, 2, 3), enlarged to the shown size.

    A crop's side is around ``box[0]`` of the picture's at the first step, ``box[1]`` at the last;
    its centre is around the picture's.

    Args:
      size, shown: (H, W) of the picture and of what is shown.
    """
    centre_key, side_key = jax.random.split(key)
    sides = jnp.asarray(np.linspace(*box, steps, dtype=np.float32))[:, None]
    sides = sides + _SIDE * normal(side_key, (steps, count))
    whole = jnp.asarray(size, jnp.float32)
    scale = jnp.clip(sides, _LEAST, 1.0)[..., None] * whole / jnp.asarray(shown, jnp.float32)
    centre = _CENTRE * normal(centre_key, (steps, count, 2)) * whole
    return jnp.concatenate([scale[..., None] * jnp.eye(2), centre[..., None]], -1)


def _one_of(drawn: jax.Array, values: tuple[float, ...]) -> jax.Array:
    """One of the values for each number (S,) from 0 to 1."""
    place = jnp.floor(drawn * len(values)).astype(jnp.int32)
    return jnp.asarray(values, jnp.float32)[place]
