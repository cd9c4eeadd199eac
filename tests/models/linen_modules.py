"""Flax Linen modules as users write them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn


def nested(parameters: dict[str, jax.Array]) -> dict[str, Any]:
    """Linen's variables from dotted names; ``mean`` and ``var`` are batch statistics."""
    variables: dict[str, Any] = {}
    for name, value in parameters.items():
        *path, last = name.split(".")
        level = variables.setdefault("batch_stats" if last in ("mean", "var") else "params", {})
        for part in path:
            level = level.setdefault(part, {})
        level[last] = value
    return variables


def of(network: nn.Module, **more: Any) -> Callable[..., Any]:
    """Linen's own evaluation, of parameters and x."""
    return lambda parameters, x: network.apply(nested(parameters), x, **more)


class Inner(nn.Module):
    width: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return nn.relu(nn.Conv(self.width, (3, 3))(x))


class Regular(nn.Module):
    """Batch norm and dropout by an argument of the call."""

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = True) -> jax.Array:
        x = nn.Conv(4, (3, 3), use_bias=False)(x)
        x = nn.BatchNorm(use_running_average=not train)(x)
        x = nn.Dropout(0.5, deterministic=not train)(nn.relu(x))
        return nn.Dense(3)(x.mean((1, 2)))


class Deterministic(Regular):
    @nn.compact
    def __call__(self, x: jax.Array, *, deterministic: bool) -> jax.Array:
        x = nn.Conv(4, (3, 3), use_bias=False)(x)
        x = nn.BatchNorm(name="BatchNorm_0")(x, use_running_average=deterministic)
        x = nn.Dropout(0.5)(nn.relu(x), deterministic=deterministic)
        return nn.Dense(3)(x.mean((1, 2)))


class Open(Regular):
    """What training or evaluation is said nowhere; Linen itself would raise."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.Conv(4, (3, 3), use_bias=False)(x)
        x = nn.BatchNorm(use_running_average=None)(x)
        x = nn.Dropout(0.5)(nn.relu(x))
        return nn.Dense(3)(x.mean((1, 2)))


class Fixed(Regular):
    """Training is fixed in the constructors, and in one call."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.Conv(4, (3, 3), use_bias=False)(x)
        x = nn.BatchNorm(use_running_average=False)(x)
        x = nn.Dropout(0.5)(nn.relu(x), deterministic=False)
        return nn.Dense(3)(x.mean((1, 2)))


class Positional(Regular):
    """The same by position, which is how a block is told in many a repository."""

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = True) -> jax.Array:
        x = nn.Conv(4, (3, 3), use_bias=False)(x)
        x = nn.BatchNorm()(x, not train)
        x = nn.Dropout(0.5)(nn.relu(x), not train)
        return nn.Dense(3)(x.mean((1, 2)))


class Padded(nn.Conv):
    """A user's class that extends Linen's own, and leaves out an argument."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return super().__call__(jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))))


class Quiet(nn.BatchNorm):
    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return super().__call__(x, use_running_average=False)


class Inherited(nn.Module):
    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = Padded(4, (3, 3), padding="VALID", use_bias=False, name="Conv_0")(x)
        x = nn.relu(Quiet(name="BatchNorm_0")(x))
        return nn.Dense(3)(x.mean((1, 2)))


class Tuples(nn.Module):
    """Blocks that return a tuple and a dictionary, and a network that returns both."""

    @nn.compact
    def __call__(self, x: jax.Array) -> Any:
        first, second = Two(name="two")(x)
        pooled = second.mean((1, 2))
        return {
            "logits": nn.softmax(nn.Dense(3, name="head")(pooled)),
            "aux": [pooled, {"deep": nn.Dense(7, name="aux")(first.mean((1, 2)))}],
        }


class Two(nn.Module):
    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        x = nn.Conv(4, (3, 3))(x)
        return nn.relu(x), nn.max_pool(x, (2, 2), (2, 2))


class Front(nn.Module):
    """A convolutional front, in front of a dense head that takes one size."""

    inner: Any = Inner

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.inner(4, name="front")(x)
        x = nn.max_pool(x, (2, 2), (2, 2))
        x = nn.Conv(5, (3, 3), name="second")(x)
        return nn.Dense(3, name="head")(x.reshape(x.shape[0], -1))
