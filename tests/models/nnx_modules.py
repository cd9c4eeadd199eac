"""Flax nnx modules as users write them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx


def module_of(network: Callable[..., Any], parameters: dict[str, Any]) -> Any:
    """The user's own module, in evaluation mode, with these parameters."""
    module = nnx.eval_shape(lambda: network(rngs=nnx.Rngs(0)))
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


class Train(Regular):
    def __call__(self, x: jax.Array, train: bool = True) -> jax.Array:
        x = self.norm(self.conv(x), use_running_average=not train)
        return self.drop(x, deterministic=not train).mean((1, 2))


class Deterministic(Regular):
    def __call__(self, x: jax.Array, *, deterministic: bool) -> jax.Array:
        x = self.norm(self.conv(x), use_running_average=deterministic)
        return self.drop(x, deterministic=deterministic).mean((1, 2))


class Training(Regular):
    def __call__(self, x: jax.Array, training: bool) -> jax.Array:
        assert not training
        return super().__call__(x)


class Fixed(Regular):
    """Training is written into the calls, by name and by position."""

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.drop(self.norm(self.conv(x), False), deterministic=False).mean((1, 2))


class Quiet(nnx.BatchNorm):
    def __call__(self, x: jax.Array) -> jax.Array:  # type: ignore[override]
        return super().__call__(x, use_running_average=False)


class Inherited(Regular):
    """A user's own class calls its parent's ``__call__`` in training mode."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        super().__init__(rngs)
        self.norm = Quiet(4, rngs=rngs)


class Two(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.conv = conv(3, 4, rngs)
        self.shift = nnx.Param(jax.numpy.ones(4))

    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        x = self.conv(x) + self.shift[...]
        return nnx.relu(x), nnx.max_pool(x, (2, 2), (2, 2))


class Outputs(nnx.Module):
    """A block that returns a tuple, a network that returns a dictionary of all there is."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.two = Two(rngs)
        self.head = nnx.Linear(4, 3, rngs=rngs)

    def __call__(self, x: jax.Array) -> Any:
        first, second = self.two(x)
        deep = first.mean((1, 2))
        return {"logits": nnx.softmax(self.head(second.mean((1, 2)))), "aux": [{"deep": deep}]}


class Front(nnx.Module):
    """A convolutional front, in front of a dense head that takes one size."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.front = Inner(3, 4, rngs)
        self.head = nnx.Linear(8 * 8 * 4, 3, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.head(self.front(x).reshape(x.shape[0], -1))


class JittedFront(Front):
    @nnx.jit
    def __call__(self, x: jax.Array) -> jax.Array:
        return super().__call__(x)
