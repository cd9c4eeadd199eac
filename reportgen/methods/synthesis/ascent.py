"""Pieces that every ascent shares: where it starts and how long a step is."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from reportgen.methods.draws import uniform

EPSILON = 1e-7  # Keras's backend epsilon


def noise(
    key: jax.Array,
    units: jax.Array,
    start: float | jax.Array,
    amount: float | jax.Array,
    shape: tuple[int, int, int],
) -> jax.Array:
    """(uniform(0, 1) - 0.5) * amount + start for each unit, (N, *shape), 0..255 pixels.

    Each unit folds its index into the key: what it starts from does not depend on the others.
    """

    def draw(unit: jax.Array) -> jax.Array:
        return uniform(jax.random.fold_in(key, unit), shape)

    return (jax.vmap(draw)(units) - 0.5) * amount + start


def unit_step(gradient: jax.Array) -> jax.Array:
    """Gradients (N, H, W, C), each divided by its root mean square (+ 1e-7)."""
    return gradient / (jnp.sqrt((gradient**2).mean(axis=(1, 2, 3), keepdims=True)) + EPSILON)
