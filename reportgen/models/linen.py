"""Flax Linen networks behind the Model interface.

Layers are marked by an interceptor of Linen's own around every ``__call__``; the path is the one
that Linen gives the module (``Block_0.Conv_1``).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict

from reportgen.core.errors import ModelError
from reportgen.core.spec import InputSpec
from reportgen.models.base import Adapted, Parameters
from reportgen.models.evaluation import evaluation_arguments, in_words
from reportgen.rewrite.marks import SCOPE, mark

_KINDS: dict[type, str] = {
    nn.Conv: "conv",
    nn.ConvLocal: "conv",
    nn.ConvTranspose: "conv_transpose",
    nn.Dense: "dense",
    nn.DenseGeneral: "dense",
    nn.Einsum: "dense",
    nn.BatchNorm: "norm",
    nn.LayerNorm: "norm",
    nn.GroupNorm: "norm",
    nn.RMSNorm: "norm",
    nn.InstanceNorm: "norm",
    nn.Dropout: "dropout",
    nn.Embed: "embed",
    nn.MultiHeadDotProductAttention: "attention",
    nn.activation.PReLU: "activation",
}
# What tells a module of evaluation mode, where the user's code left it open or said otherwise.
_EVALUATION: tuple[tuple[type, str], ...] = (
    (nn.BatchNorm, "use_running_average"),
    (nn.Dropout, "deterministic"),
    (nn.MultiHeadDotProductAttention, "deterministic"),
)

Path = tuple[str, ...]


def kind_of(module: nn.Module) -> str:
    """A module's kind: its own ``kind`` attribute, else by its Flax class, else ``block``."""
    named = getattr(type(module), "kind", None)
    if isinstance(named, str):
        return named
    return next((kind for cls, kind in _KINDS.items() if isinstance(module, cls)), "block")


class _Interceptor:
    """Sets evaluation mode, scope and mark around every call of a module; serves one trace."""

    def __init__(self) -> None:
        self.running: list[nn.Module] = []

    def __call__(
        self, following: Callable[..., Any], args: Any, kwargs: dict[str, Any], context: Any
    ) -> Any:
        module: nn.Module = context.module
        if context.method_name != "__call__":
            return following(*args, **kwargs)
        for cls, name in _EVALUATION:
            if isinstance(module, cls):
                args, kwargs = _evaluating(module, context.orig_method, name, args, kwargs)
        # A class that calls its parent's __call__ is one layer.
        again = any(module is other for other in self.running)
        if again or not module.path:
            return following(*args, **kwargs)
        path = ".".join(module.path)
        self.running.append(module)
        try:
            with jax.named_scope(SCOPE + path):
                return mark(following(*args, **kwargs), path, kind_of(module))
        finally:
            self.running.pop()


def _evaluating(
    module: nn.Module, method: Callable[..., Any], name: str, args: Any, kwargs: dict[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """The arguments of a call of one of Linen's own modules, in evaluation mode."""
    taken = list(inspect.signature(method).parameters)
    # A bound module lives for this trace alone, and Flax refuses a value in two places.
    object.__setattr__(module, name, None if name in taken else True)
    if name not in taken:
        return args, kwargs
    place = taken.index(name)
    if place < len(args):
        return (*args[:place], True, *args[place + 1 :]), kwargs
    return args, {**kwargs, name: True}


@dataclass(frozen=True)
class LinenProgram:
    """A Linen module as a pure function of its dotted variables (evaluation mode).

    Attributes:
      paths: dotted name, and collection and path of every variable.
      arguments: keyword arguments of the call.
    """

    module: nn.Module
    paths: tuple[tuple[str, Path], ...]
    arguments: tuple[tuple[str, bool], ...]

    def __call__(self, parameters: Parameters, x: jax.Array) -> Any:
        variables = unflatten_dict({path: parameters[name] for name, path in self.paths})
        with nn.intercept_methods(_Interceptor()):
            more: dict[str, Any] = dict(self.arguments)
            return self.module.apply(variables, x, **more)

    def __hash__(self) -> int:
        # A module with a list or an array for an attribute has no hash of its own.
        return hash((id(self.module), self.arguments))


def _dotted(paths: list[Path]) -> dict[Path, str]:
    """Names without the collection (``conv1.kernel``, ``bn.mean``), where that is unambiguous."""
    short = [".".join(path[1:]) for path in paths]
    return {
        path: name if short.count(name) == 1 else ".".join(path)
        for path, name in zip(paths, short, strict=True)
    }


def adapt(module: nn.Module, spec: InputSpec) -> Adapted:
    """A Linen network's program and the shapes of its variables; nothing is computed.

    Raises:
      ModelError: if it does not initialise on an input of ``spec``.
    """
    arguments: dict[str, Any] = evaluation_arguments(type(module).__call__)
    x = jax.ShapeDtypeStruct((1, *spec.shape), jnp.float32)

    def init(key: jax.Array, x: jax.Array) -> Any:
        keys = {name: jax.random.fold_in(key, i) for i, name in enumerate(("params", "dropout"))}
        with nn.intercept_methods(_Interceptor()):
            return module.init(keys, x, **arguments)

    try:
        variables = jax.eval_shape(init, jax.random.key(0), x)
    except Exception as error:
        raise ModelError(
            f"The Linen module {type(module).__name__} does not initialise on an input of "
            f"{spec.shape} (height, width, channels): {type(error).__name__}: "
            f"{(str(error).splitlines() or [''])[0]}",
            "Compare model.input and model.kwargs with what it expects.",
        ) from error
    flat: dict[Path, Any] = flatten_dict(nn.meta.unbox(variables))
    names = _dotted(list(flat))
    program = LinenProgram(
        module, tuple((names[path], path) for path in flat), tuple(arguments.items())
    )

    def initial(seed: int) -> Parameters:
        made = flatten_dict(nn.meta.unbox(init(jax.random.key(seed), jnp.zeros(x.shape))))
        return {names[path]: value for path, value in made.items()}

    return Adapted(
        program=program,
        shapes={
            names[path]: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for path, leaf in flat.items()
        },
        initial=initial,
        framework="Flax Linen",
        evaluation=in_words(arguments, "dropout off, batch statistics frozen"),
        network=module,
        statistics=frozenset(names[path] for path in flat if path[0] == "batch_stats"),
    )
