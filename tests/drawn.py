"""Weights of networks that are tried out untrained."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def drawn(shapes: Mapping[str, Any]) -> dict[str, jax.Array]:
    """Weights by NumPy: Flax's own initializers take seconds to compile, once for each shape.

    All are drawn. Biases of 0 and variances of 1, as frameworks begin with them, would hide
    mistakes.

    Args:
      shapes: dotted name of a parameter to anything with a ``shape`` and a ``dtype``.
    """
    made = {}
    for name, leaf in shapes.items():
        rng = np.random.default_rng(list(name.encode()))
        if name.endswith(("scale", "gamma", "var", "variance")):
            values = rng.uniform(0.5, 1.5, leaf.shape)
        elif len(leaf.shape) > 1:
            values = rng.normal(size=leaf.shape).clip(-2, 2) / math.sqrt(math.prod(leaf.shape[:-1]))
        else:
            values = rng.uniform(-0.3, 0.3, leaf.shape)
        made[name] = jnp.asarray(values, leaf.dtype)
    return made
