"""Plain functions ``f(params, x)`` behind the Model interface: layers are found in the traced code.

Which operations are layers is said in ``function_layers.py``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from reportgen.core.errors import ModelError
from reportgen.core.spec import InputSpec
from reportgen.models.base import Adapted, Parameters
from reportgen.models.evaluation import evaluation_arguments, in_words
from reportgen.models.function_layers import FoundLayer, Search, is_product
from reportgen.rewrite.compat import ClosedJaxpr, JaxprEqn, bind, held
from reportgen.rewrite.interpreter import Scopes, evaluate
from reportgen.rewrite.marks import SCOPE, mark

Function = Callable[..., Any]
_JITTED = type(jax.jit(lambda: None))


@dataclass(frozen=True)
class _Marked:
    """A flat program and its layers, by the variable of each one's output and of its work."""

    closed: ClosedJaxpr
    tree: Any
    layers: dict[Any, list[FoundLayer]]
    scopes: dict[Any, str]
    failure: Exception | None


@lru_cache(maxsize=64)
def _search(
    function: Function,
    arguments: tuple[tuple[str, bool], ...],
    tree: Any,
    parameters: tuple[tuple[str, tuple[int, ...], Any], ...],
    shape: tuple[int, ...],
    dtype: Any,
) -> _Marked:
    trees: list[Any] = []
    failures: list[Exception] = []

    def forward(leaves: list[jax.Array], x: jax.Array) -> Any:
        try:
            output = function(jax.tree.unflatten(tree, leaves), x, **dict(arguments))
            _check_returned(output)
        except Exception as error:  # noqa: BLE001 (raised again by whoever needs what comes after)
            failures.append(error)
            output = x
        flat, out_tree = jax.tree.flatten(output)
        trees.append(out_tree)
        return flat

    leaves = [jax.ShapeDtypeStruct(s, d) for _, s, d in parameters]
    x = jax.ShapeDtypeStruct(shape, dtype)
    traced = jax.make_jaxpr(forward)(leaves, x)
    # Once more with calls, remat and loops taken apart where they hold a product.
    flat = jax.make_jaxpr(
        lambda *inputs: evaluate(traced, inputs, lambda eqn, inputs, scopes: None, is_product)
    )(*leaves, x)
    jaxpr = flat.jaxpr
    names = {
        variable: frozenset({name})
        for variable, (name, _, _) in zip(jaxpr.invars[:-1], parameters, strict=True)
    }
    names.update(dict.fromkeys(jaxpr.constvars, frozenset()))
    search = Search(names)
    for eqn in jaxpr.eqns:
        search.visit(eqn)
    layers: dict[Any, list[FoundLayer]] = {}
    for layer in search.layers:
        layer.channels_first = layer.output in search.channels_first
        layers.setdefault(layer.output, []).append(layer)
    scopes = {layer.product: SCOPE + layer.path for layer in search.layers}
    return _Marked(flat, trees[-1], layers, scopes, failures[0] if failures else None)


@dataclass(frozen=True, eq=False)
class FunctionProgram:
    """A plain function of dotted parameters (evaluation mode).

    Attributes:
      tree: structure of its parameters.
      names: of the parameters, in the tree's order.
      arguments: keyword arguments of the call.
    """

    function: Function
    tree: Any
    names: tuple[str, ...]
    arguments: tuple[tuple[str, bool], ...]

    def __call__(self, parameters: Parameters, x: jax.Array) -> Any:
        leaves = [parameters[name] for name in self.names]
        signature = tuple(
            (name, tuple(leaf.shape), leaf.dtype)
            for name, leaf in zip(self.names, leaves, strict=True)
        )
        found = _search(
            self.function, self.arguments, self.tree, signature, tuple(x.shape), x.dtype
        )

        def rule(eqn: JaxprEqn, inputs: list[Any], scopes: Scopes) -> list[Any] | None:
            scope = next((found.scopes[v] for v in eqn.outvars if v in found.scopes), "")
            if not scope and not any(v in found.layers for v in eqn.outvars):
                return None
            with jax.named_scope(scope):
                outputs = bind(eqn, inputs)
            for i, variable in enumerate(eqn.outvars):
                for layer in found.layers.get(variable, ()):
                    if layer.channels_first:
                        marked = mark(jnp.moveaxis(outputs[i], 1, -1), layer.path, layer.kind)
                        outputs[i] = jnp.moveaxis(marked, -1, 1)
                    else:
                        outputs[i] = mark(outputs[i], layer.path, layer.kind)
            return outputs

        outputs = evaluate(found.closed, [*leaves, x], rule, lambda body: False)
        if found.failure is not None:
            raise found.failure
        return jax.tree.unflatten(found.tree, outputs)


def _name(path: Any) -> str:
    return ".".join(str(getattr(k, "key", getattr(k, "name", getattr(k, "idx", k)))) for k in path)


def nested(flat: Mapping[str, Any]) -> Any:
    """Parameters as a tree from dotted names; a level whose keys count from 0 is a list."""
    if "" in flat:
        return flat[""]
    groups: dict[str, dict[str, Any]] = {}
    for name, value in flat.items():
        head, _, rest = name.partition(".")
        groups.setdefault(head, {})[rest] = value
    tree = {head: nested(rest) for head, rest in groups.items()}
    if set(tree) == {str(i) for i in range(len(tree))}:
        return [tree[str(i)] for i in range(len(tree))]
    return tree


def adapt(
    function: Function,
    spec: InputSpec,
    *,
    init: Callable[[jax.Array], Any] | None = None,
    parameters: Callable[[], Mapping[str, Any]] | None = None,
) -> Adapted:
    """A plain function's program and the shapes of its parameters; nothing is computed.

    Args:
      init: ``init(key)`` returns the parameters.
      parameters: without ``init``, the tensors of the weights file by dotted name.

    Raises:
      ModelError: if it does not take (params, x), or ``init`` fails.
    """
    _check(function)
    if isinstance(function, _JITTED):
        # A jitted function that fails at another input size would fail as a whole.
        function = getattr(function, "__wrapped__", function)
    if init is not None:
        try:
            tree = jax.eval_shape(init, jax.random.key(0))
        except Exception as error:
            raise ModelError(
                f"init(key) raised {type(error).__name__}: {(str(error).splitlines() or [''])[0]}",
                "It takes one random key and returns the parameters.",
            ) from error
    else:
        assert parameters is not None
        tree = nested({name: held(array) for name, array in parameters().items()})
    leaves, structure = jax.tree_util.tree_flatten_with_path(tree)
    names = tuple(_name(path) for path, _ in leaves)
    arguments = evaluation_arguments(function)

    def initial(seed: int) -> Parameters:
        if init is None:
            raise ModelError(
                "The function comes without init, so there are no other weights than the file's.",
                "Return a pair (init, f) with init(key) -> params.",
            )
        return dict(zip(names, jax.tree.leaves(init(jax.random.key(seed))), strict=True))

    return Adapted(
        program=FunctionProgram(function, structure, names, tuple(arguments.items())),
        shapes={
            name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)
            for name, (_, leaf) in zip(names, leaves, strict=True)
        },
        initial=initial,
        framework="plain function",
        evaluation=in_words(arguments) or "called as it is: it has no switch for evaluation mode",
        network=function,
    )


def _check_returned(output: Any) -> None:
    for leaf in jax.tree.leaves(output):
        if not isinstance(leaf, jax.Array | np.ndarray | np.generic | int | float | complex):
            raise ModelError(
                f"The network returns a {type(leaf).__name__} where an array is expected: "
                f"{str(leaf)[:40]!r}.",
                "Return an array (N, classes), or a tuple or dictionary of arrays.",
            )


def _check(function: Function) -> None:
    try:
        signature = inspect.signature(function)
        signature.bind(None, None, **evaluation_arguments(function))
    except TypeError as error:
        raise ModelError(
            f"A plain network takes (params, x), found {signature}.",
            "Weights that it closes over would be compiled in; return f(params, x) instead."
            if len(signature.parameters) == 1
            else "Give the other arguments their values: return functools.partial(f, …).",
        ) from error
    except ValueError:
        return
