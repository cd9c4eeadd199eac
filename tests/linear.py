"""The smallest networks that the command line can make a report on: nothing takes long to compile.

Used as ``model.factory=tests.linear:Linear``.
"""

from __future__ import annotations

import jax
from flax import nnx

SIZE = tuple(f"model.input.{key}" for key in ("height=28", "width=28", "channels=1"))
LINEAR = ("model=custom", "model.factory=tests.linear:Linear", *SIZE)
NOT_FINITE = ("model=custom", "model.factory=tests.linear:NotFinite", *SIZE)


class Linear(nnx.Module):
    """One layer."""

    def __init__(self, classes: int = 10, *, rngs: nnx.Rngs):
        self.fc = nnx.Linear(784, classes, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.fc(x.reshape((len(x), -1)))


class NotFinite(Linear):
    """Divides by zero."""

    def __call__(self, x: jax.Array) -> jax.Array:
        x = super().__call__(x)
        return x / (x.sum() * 0)
