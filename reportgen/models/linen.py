"""Flax Linen networks behind the Model interface.

Layers are marked by an interceptor of Linen's own around every ``__call__``; the path is the one
that Linen gives the module (``Block_0.Conv_1``).
"""

from __future__ import annotations

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
    nn.ConvTranspose: "conv",
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


def _mark(following: Callable[..., Any], args: Any, kwargs: dict[str, Any], context: Any) -> Any:
    """The interceptor: evaluation mode, scope and mark."""
    module: nn.Module = context.module
    if context.method_name != "__call__":
        return following(*args, **kwargs)
    for cls, name in _EVALUATION:
        if isinstance(module, cls):
            # A bound module lives for this trace alone, and Flax refuses a value in two places.
            object.__setattr__(module, name, None)
            kwargs = {**kwargs, name: True}
    if not module.path:
        return following(*args, **kwargs)
    path = ".".join(module.path)
    with jax.named_scope(SCOPE + path):
        return mark(following(*args, **kwargs), path, kind_of(module))


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
        with nn.intercept_methods(_mark):
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
        with nn.intercept_methods(_mark):
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
    )
