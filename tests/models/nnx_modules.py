"""Flax nnx modules as users write them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx


def module_of(network: Callable[..., Any], parameters: dict[str, jax.Array]) -> Any:
    """The user's own module, in evaluation mode, with these parameters."""
    module = network(rngs=nnx.Rngs(0))
    for path, variable in nnx.to_flat_state(nnx.state(module)):
        name = ".".join(map(str, path))
        if name in parameters:
            variable.set_value(parameters[name])
            nnx.update(module, nnx.from_flat_state([(path, variable)]))
    module.eval()
    return module


def conv(i: int, o: int, rngs: nnx.Rngs) -> nnx.Conv:
    return nnx.Conv(i, o, (3, 3), rngs=rngs)


class Inner(nnx.Module):
    def __init__(self, i: int, o: int, rngs: nnx.Rngs) -> None:
        self.conv = conv(i, o, rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return nnx.relu(self.conv(x))


class Containers(nnx.Module):
    """Modules in lists and dictionaries, one shared under two names and called three times."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.blocks = nnx.List([Inner(3, 4, rngs), Inner(4, 4, rngs)])
        self.heads = nnx.Dict(a=nnx.Linear(4, 3, rngs=rngs), b=nnx.Linear(4, 5, rngs=rngs))
        self.first = self.second = conv(4, 4, rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        for block in self.blocks:
            x = block(x)
        x = self.first(self.second(self.first(x))).mean((1, 2))
        return jnp.concatenate([self.heads["a"](x), self.heads["b"](x)], axis=-1)


class Regular(nnx.Module):
    """What evaluation mode changes: batch norm and dropout."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.conv = conv(3, 4, rngs)
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.drop(self.norm(self.conv(x))).mean((1, 2))
