"""Flax nnx networks behind the Model interface.

Layers are announced without editing the user's classes: in the copy of the network that is built
for each trace, every module is given a subclass of its own class whose ``__call__`` asks the hook.
Nothing outside that copy changes, so threads and nested uses do not meet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from reportgen.models.base import Hook, Parameters

_KINDS: dict[type, str] = {
    nnx.Conv: "conv",
    nnx.ConvTranspose: "conv",
    nnx.Linear: "dense",
    nnx.LinearGeneral: "dense",
    nnx.Einsum: "dense",
    nnx.BatchNorm: "norm",
    nnx.LayerNorm: "norm",
    nnx.GroupNorm: "norm",
    nnx.RMSNorm: "norm",
    nnx.Dropout: "dropout",
    nnx.Embed: "embed",
    nnx.MultiHeadAttention: "attention",
}


def _dotted(path: Iterable[Any]) -> str:
    return ".".join(str(part) for part in path)


def kind_of(module: nnx.Module) -> str:
    """A module's kind: its own ``kind`` attribute, else by its Flax class, else ``block``."""
    named = getattr(type(module), "kind", None)
    if isinstance(named, str):
        return named
    return next((kind for cls, kind in _KINDS.items() if isinstance(module, cls)), "block")


@cache
def _announcing(cls: type) -> type:
    """A subclass of ``cls`` whose calls go through the instance's hook."""

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        path, kind, hook = self.__dict__["_reportgen_hook"]
        return hook(path, kind, lambda: cls.__call__(self, *args, **kwargs))

    return type(cls)(cls.__name__, (cls,), {"__call__": call, "__module__": cls.__module__})


@dataclass(frozen=True)
class NnxProgram:
    """An nnx module as a pure function of its dotted parameters (evaluation mode).

    Attributes:
      graph: the module without its arrays.
      paths: dotted name and path of every array that is a parameter.
      constants: path and shape of random-number state, which evaluation mode never uses.
    """

    graph: nnx.GraphDef[Any]
    paths: tuple[tuple[str, tuple[Any, ...]], ...]
    constants: tuple[tuple[tuple[Any, ...], tuple[int, ...], bool], ...]

    def __call__(self, parameters: Parameters, x: jax.Array, hook: Hook) -> jax.Array:
        leaves: list[tuple[tuple[Any, ...], Any]] = [
            (path, parameters[name]) for name, path in self.paths
        ]
        for path, shape, is_key in self.constants:
            value = jax.random.split(jax.random.key(0), shape) if is_key else jnp.zeros(shape, "u4")
            leaves.append((path, value))
        module = nnx.merge(self.graph, nnx.from_flat_state(leaves))
        for path, part in nnx.iter_modules(module):
            if path:
                part.__dict__["_reportgen_hook"] = (_dotted(path), kind_of(part), hook)
                part.__class__ = _announcing(type(part))
        return jnp.asarray(module(x))


def split(
    build: Callable[[], nnx.Module],
) -> tuple[NnxProgram, dict[str, jax.ShapeDtypeStruct]]:
    """A network's program and the shapes of its parameters, without making any weights.

    Args:
      build: returns the module; run abstractly.
    """

    def evaluation() -> nnx.Module:
        module = build()
        module.eval()
        return module

    graph, state = nnx.split(nnx.eval_shape(evaluation))
    paths, constants, shapes = [], [], {}
    for path, leaf in nnx.to_flat_state(state):
        value = leaf.get_value() if isinstance(leaf, nnx.Variable) else leaf
        is_key = jnp.issubdtype(value.dtype, jax.dtypes.prng_key)
        if isinstance(leaf, nnx.RngState) or is_key:
            constants.append((path, tuple(value.shape), bool(is_key)))
        else:
            name = _dotted(path)
            paths.append((name, path))
            shapes[name] = jax.ShapeDtypeStruct(value.shape, value.dtype)
    return NnxProgram(graph, tuple(paths), tuple(constants)), shapes


def parameters_of(module: nnx.Module, program: NnxProgram) -> Parameters:
    """The weights that a module holds, by dotted name."""
    flat = dict(nnx.to_flat_state(nnx.split(module)[1]))
    return {name: flat[path].get_value() for name, path in program.paths}
