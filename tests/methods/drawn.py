"""Weights of networks that are tried out untrained."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def drawn(shapes: Mapping[str, Any]) -> dict[str, jax.Array]:
    """Weights as Flax begins with them, by NumPy: its own take seconds to compile for each shape.

    Args:
      shapes: dotted name of a parameter to anything with a ``shape``.
    """
    made = {}
    for name, leaf in shapes.items():
        last = name.rpartition(".")[2]
        if last in ("kernel", "embedding", "w"):
            rng = np.random.default_rng(list(name.encode()))
            deviation = 1 / math.sqrt(math.prod(leaf.shape[:-1]))
            made[name] = deviation * rng.normal(size=leaf.shape).clip(-2, 2)
        else:
            made[name] = np.full(leaf.shape, float(last in ("scale", "var")))
    return {name: jnp.asarray(values, jnp.float32) for name, values in made.items()}
