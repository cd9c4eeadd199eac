"""Flax nnx networks behind the Model interface.

Layers are marked without editing the user's classes: in the copy of the network that is built for
each trace, every module is given a subclass of its own class whose ``__call__`` marks its output.
Nothing outside that copy changes, so threads and nested uses do not meet.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from reportgen.core.errors import ModelError
from reportgen.models.base import Adapted, Parameters
from reportgen.models.evaluation import evaluation_arguments, in_words
from reportgen.rewrite.marks import SCOPE, mark

_KINDS: dict[type, str] = {
    nnx.Conv: "conv",
    nnx.ConvTranspose: "conv_transpose",
    nnx.Linear: "dense",
    nnx.LinearGeneral: "dense",
    nnx.Einsum: "dense",
    nnx.BatchNorm: "norm",
    nnx.LayerNorm: "norm",
    nnx.GroupNorm: "norm",
    nnx.RMSNorm: "norm",
    nnx.InstanceNorm: "norm",
    nnx.Dropout: "dropout",
    nnx.Embed: "embed",
    nnx.MultiHeadAttention: "attention",
    nnx.PReLU: "activation",
}
# What a call of these is told evaluation mode by, whatever the user's code tells it.
_EVALUATION: dict[type, str] = {
    nnx.BatchNorm: "use_running_average",
    nnx.Dropout: "deterministic",
    nnx.MultiHeadAttention: "deterministic",
}


_JITTED: Any = type(nnx.jit(lambda: None))


def _dotted(path: Iterable[Any]) -> str:
    return ".".join(str(part) for part in path)


def kind_of(module: nnx.Module) -> str:
    """A module's kind: its own ``kind`` attribute, else by its Flax class, else ``block``."""
    named = getattr(type(module), "kind", None)
    if isinstance(named, str):
        return named
    return next((kind for cls, kind in _KINDS.items() if isinstance(module, cls)), "block")


@cache
def _evaluating(cls: type, name: str) -> type:
    """A subclass of one of Flax's classes whose calls are all in evaluation mode."""
    taken = inspect.signature(cls.__call__).parameters
    # What may come by position, without self and the argument that says so, which is the last.
    count = sum(p.kind is p.POSITIONAL_OR_KEYWORD for key, p in taken.items() if key != name) - 1

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return cls.__call__(self, *args[:count], **{**kwargs, name: True})

    return _subclass(cls, (cls,), call)


@cache
def _marking(cls: type) -> type:
    """A subclass of ``cls`` whose calls mark their output with the instance's path."""
    # Put between the user's class and Flax's own, so that a parent's __call__ is reached too.
    between = [_evaluating(c, name) for c, name in _EVALUATION.items() if issubclass(cls, c)]
    bases = (cls, *between) if cls not in _EVALUATION else tuple(between)

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        path, kind = self.__dict__["_reportgen_layer"]
        with jax.named_scope(SCOPE + path):
            return mark(bases[0].__call__(self, *args, **kwargs), path, kind)

    return _subclass(cls, bases, call)


def _subclass(cls: type, bases: tuple[type, ...], call: Callable[..., Any]) -> type:
    return type(cls)(cls.__name__, bases, {"__call__": call, "__module__": cls.__module__})


class _OneKey(nnx.RngStream):
    """A stream that always gives the same key."""

    def __call__(self) -> Any:
        return self.key[...]


def rngs_for_shapes() -> nnx.Rngs:
    """Random streams for abstract evaluation, in which no value is ever drawn.

    A stream of Flax's counts the keys it gives, which under tracing costs time that grows with the
    square of their number: seconds for a network of hundreds of layers.
    """
    rngs = nnx.Rngs(0)
    rngs.default.__class__ = _OneKey
    return rngs


@dataclass(frozen=True)
class NnxProgram:
    """An nnx module as a pure function of its dotted parameters (evaluation mode).

    Attributes:
      graph: the module without its arrays.
      paths: dotted name and path of every array that is a parameter.
      constants: path and shape of random-number state, which evaluation mode never uses.
      arguments: keyword arguments of the call.
    """

    graph: nnx.GraphDef[Any]
    paths: tuple[tuple[str, tuple[Any, ...]], ...]
    constants: tuple[tuple[tuple[Any, ...], tuple[int, ...], bool], ...]
    arguments: tuple[tuple[str, bool], ...]

    def __call__(self, parameters: Parameters, x: jax.Array) -> Any:
        leaves: list[tuple[tuple[Any, ...], Any]] = [
            (path, parameters[name]) for name, path in self.paths
        ]
        for path, shape, is_key in self.constants:
            value = jax.random.split(jax.random.key(0), shape) if is_key else jnp.zeros(shape, "u4")
            leaves.append((path, value))
        module = nnx.merge(self.graph, nnx.from_flat_state(leaves))
        for path, part in nnx.iter_modules(module):
            if path:
                part.__dict__["_reportgen_layer"] = (_dotted(path), kind_of(part))
                part.__class__ = _marking(type(part))
        call = type(module).__call__
        if isinstance(call, _JITTED):
            # A jitted network that fails at another input size would fail as a whole.
            call = call.__wrapped__
        return call(module, x, **dict(self.arguments))


def abstract(module: nnx.Module) -> tuple[nnx.GraphDef[Any], Any]:
    """A module in evaluation mode, split into what is static and its arrays.

    Raises:
      ModelError: if its ``eval()`` fails.
    """
    try:
        module.eval()
    except Exception as error:
        raise ModelError(
            f"The nnx module {type(module).__name__} cannot be set to evaluation mode: its eval() "
            f"raised {type(error).__name__}: {(str(error).splitlines() or [''])[0]}",
            "nnx.Module.eval() sets deterministic=True and use_running_average=True in all of it.",
        ) from error
    graph, state = nnx.split(module)
    return graph, state


def adapt(
    build: Callable[[int | None], nnx.Module],
    parts: tuple[nnx.GraphDef[Any], Any] | None = None,
) -> Adapted:
    """A network's program and the shapes of its parameters, without making any weights.

    Args:
      build: returns the module from a seed; run abstractly, without one, until weights are
        asked for.
      parts: what ``abstract`` gave for it under ``jax.eval_shape``, where that has been done.
    """
    if parts is None:
        found: list[Any] = []

        def evaluation() -> Any:
            graph, state = abstract(build(None))
            found.append(graph)
            return state

        state = jax.eval_shape(evaluation)
        parts = found[0], state
    graph, state = parts
    network = nnx.merge(graph, state)
    arguments = evaluation_arguments(type(network).__call__)
    paths, constants, shapes = [], [], {}
    for path, value, is_random in _leaves(state):
        if is_random:
            is_key = jnp.issubdtype(value.dtype, jax.dtypes.prng_key)
            constants.append((path, tuple(value.shape), bool(is_key)))
        else:
            paths.append((_dotted(path), path))
            shapes[_dotted(path)] = jax.ShapeDtypeStruct(value.shape, value.dtype)
    return Adapted(
        program=NnxProgram(graph, tuple(paths), tuple(constants), tuple(arguments.items())),
        shapes=shapes,
        initial=lambda seed: parameters_of(build(seed)),
        framework="Flax nnx",
        evaluation=in_words(arguments, "dropout off, batch statistics frozen by module.eval()"),
        network=network,
        statistics=frozenset(
            _dotted(path)
            for path, leaf in nnx.to_flat_state(state)
            if isinstance(leaf, nnx.BatchStat)
        ),
    )


def parameters_of(module: nnx.Module) -> Parameters:
    """The weights that a module holds, by dotted name."""
    leaves = _leaves(nnx.split(module)[1])
    return {_dotted(path): value for path, value, is_random in leaves if not is_random}


def _leaves(state: Any) -> Iterator[tuple[tuple[Any, ...], Any, bool]]:
    """Path and array of every leaf, and whether it is state of a random-number generator."""
    for path, leaf in nnx.to_flat_state(state):
        value = leaf.get_value() if isinstance(leaf, nnx.Variable) else leaf
        is_key = jnp.issubdtype(value.dtype, jax.dtypes.prng_key)
        yield path, value, isinstance(leaf, nnx.RngState) or bool(is_key)
