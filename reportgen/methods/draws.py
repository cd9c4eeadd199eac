"""Random arrays as ``jax.random`` draws them, in programs that are compiled in a tenth of the time.

What is drawn depends on an array's size and not on its shape, and XLA's CPU backend takes seconds
to compile the generator of an array of several dimensions, but a fraction of one for a flat one.
"""

from __future__ import annotations

import math

import jax


def uniform(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Values of at least 0 and below 1."""
    return jax.random.uniform(key, (math.prod(shape),)).reshape(shape)


def normal(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Values of mean 0 and deviation 1."""
    return jax.random.normal(key, (math.prod(shape),)).reshape(shape)
