"""Plain functions ``f(params, x)`` behind the Model interface: layers are found in the traced code.

A convolution or matrix product of the input with a parameter is a layer, named by the parameter's
place in the tree (``params["conv1"]["w"]`` makes ``conv1``); a bias that is added, or a scale,
under the same name belongs to it. Rectifiers and their kin, poolings and softmaxes are layers of
their own, named by what they are (``relu``, ``relu#2``, …). A branch, or a loop of unknown length,
that holds products is one layer, ``cond`` or ``while``.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal

from reportgen.core.errors import ModelError
from reportgen.core.spec import InputSpec
from reportgen.models.base import Adapted, Parameters
from reportgen.models.evaluation import evaluation_arguments, in_words
from reportgen.rewrite.interpreter import Scopes, bind, bodies, evaluate, shape_of, walk
from reportgen.rewrite.marks import SCOPE, mark

Function = Callable[..., Any]
_JITTED = type(jax.jit(lambda: None))

_PRODUCTS = {"conv_general_dilated": "conv", "dot_general": "dense"}
# Names that JAX gives its activation functions, as custom derivatives or as jitted functions.
_ACTIVATIONS = frozenset(
    {"relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "swish", "mish"}
    | {"sigmoid", "logistic", "tanh", "hard_tanh", "hard_sigmoid", "hard_silu", "hard_swish"}
    | {"softplus", "soft_sign", "log_sigmoid", "squareplus"}
)
_POOLS = {
    "reduce_window_max": "max_pool",
    "reduce_window_sum": "avg_pool",
    "reduce_window": "pool",
}
_LAYOUT = frozenset(
    {"reshape", "transpose", "broadcast_in_dim", "convert_element_type", "squeeze", "expand_dims"}
    | {"copy", "rev"}
)
_ARITHMETIC = frozenset({"add", "sub", "mul", "div"})
_OPAQUE = frozenset({"cond", "while"})  # what runs inside cannot be seen


def _is_product(body: Jaxpr) -> bool:
    return any(eqn.primitive.name in _PRODUCTS for eqn in walk(body))


@dataclass
class _Found:
    """A layer in the flat program: its output moves on while its own parameters join in.

    Attributes:
      product: output of the operation that does its work.
    """

    path: str
    kind: str
    output: Any
    product: Any
    channels_first: bool = False


@dataclass
class _Search:
    """One pass over a program's operations, in execution order.

    Attributes:
      names: the parameters that a value was made of, for values made of parameters alone.
      layers: in execution order.
      growing: layer whose output a value is, past changes of layout and type.
      channels_first: values whose channels come second.
      gates: what GELU multiplies its input by, on the way there, with the tanh in it, if any.
    """

    names: dict[Any, frozenset[str]]
    layers: list[_Found] = field(default_factory=list)
    growing: dict[Any, _Found] = field(default_factory=dict)
    channels_first: set[Any] = field(default_factory=set)
    gates: dict[Any, _Found | None] = field(default_factory=dict)

    def visit(self, eqn: JaxprEqn) -> None:
        operands = [v for v in eqn.invars if not isinstance(v, Literal)]
        data = [v for v in operands if v not in self.names]
        if not data:
            made_of = frozenset().union(*(self.names[v] for v in operands))
            self.names.update(dict.fromkeys(eqn.outvars, made_of))
            return
        output = eqn.outvars[0]
        if any(v in self.channels_first and shape_of(v) == shape_of(output) for v in data):
            self.channels_first.add(output)
        own = frozenset().union(*(self.names.get(v, frozenset()) for v in operands))
        self._layer(eqn, data, own)

    def _layer(self, eqn: JaxprEqn, data: list[Any], own: frozenset[str]) -> None:
        """Take an operation on data for a new layer or a part of one, if it is that."""
        name, output = eqn.primitive.name, eqn.outvars[0]
        if name in _PRODUCTS:
            if own and len(data) == 1:
                self._product(eqn, own)
        elif name in _ARITHMETIC and own and len(data) == 1:
            self._arithmetic(eqn, data[0], own)
        elif name in _LAYOUT:
            self._layout(data, output)
        elif name in _OPAQUE and any(map(_is_product, bodies(eqn))):
            for value in (v for v in eqn.outvars if len(shape_of(v)) > 1):
                self._add(name, "block", value)
        elif not own and self._gelu(eqn, data):
            pass
        elif named := _named(eqn):
            self._add(named[0], named[1], output)
            if data[0] in self.channels_first:
                self.channels_first.add(output)

    def _layout(self, data: list[Any], output: Any) -> None:
        same = math.prod(shape_of(output)) == math.prod(shape_of(data[0]))
        if same and len(data) == 1 and data[0] in self.growing:
            self.growing[output] = self.growing[data[0]]

    def _gelu(self, eqn: JaxprEqn, data: list[Any]) -> bool:
        """GELU is no operation of its own: ``x / 2 (1 + tanh(…))``, or with ``erf`` or ``erfc``."""
        name, output = eqn.primitive.name, eqn.outvars[0]
        gates = [v for v in data if v in self.gates]
        inner = self.growing.get(data[0])
        if name in ("erf", "erfc"):
            self.gates[output] = None
        elif name == "add" and len(data) == 1 and inner is not None and inner.path == "tanh":
            self.gates[output] = inner
        elif name in ("add", "mul") and len(data) == 1 and gates:
            self.gates[output] = self.gates[data[0]]
        elif name == "mul" and len(data) == 2 and gates:
            if (gate := self.gates[gates[0]]) is not None and gate in self.layers:
                self.layers.remove(gate)
            self._add("gelu", "activation", output)
        else:
            return False
        return True

    def _product(self, eqn: JaxprEqn, own: frozenset[str]) -> None:
        output = eqn.outvars[0]
        if eqn.primitive.name == "conv_general_dilated":
            spec = eqn.params["dimension_numbers"].out_spec
            if len(spec) == 4 and tuple(spec) == (0, 1, 2, 3):
                self.channels_first.add(output)
        self._add(_group(own), _PRODUCTS[eqn.primitive.name], output)

    def _arithmetic(self, eqn: JaxprEqn, data: Any, own: frozenset[str]) -> None:
        """A bias, or a normalisation's mean, scale and shift."""
        output, path = eqn.outvars[0], _group(own)
        if shape_of(output) != shape_of(data):
            return
        layer = self.growing.get(data)
        bare = all("." not in name for name in own)  # of no group: w1, b1
        joins = layer is not None and (
            layer.path == path or (bare and layer.kind != "norm" and "." not in layer.path)
        )
        if layer is not None and joins:
            layer.output = output
            self.growing[output] = layer
        else:
            self._add(path, "norm", output)

    def _add(self, path: str, kind: str, output: Any) -> None:
        layer = _Found(path, kind, output, output)
        self.layers.append(layer)
        self.growing[output] = layer


def _group(names: frozenset[str]) -> str:
    """The group that parameters share, or the first one's name if they lie in none."""
    split = [name.split(".")[:-1] for name in sorted(names)]
    shared: list[str] = []
    for parts in zip(*split, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return ".".join(shared) or min(names)


def _named(eqn: JaxprEqn) -> tuple[str, str] | None:
    """Path and kind of an operation that is a layer without parameters."""
    primitive = eqn.primitive.name
    body = eqn.params.get("call_jaxpr") if primitive.startswith("custom_") else None
    called = body.jaxpr.debug_info.func_name if body is not None else eqn.params.get("name", "")
    called = str(called).lstrip("_").partition(" ")[0]
    if primitive in _POOLS:
        return _POOLS[primitive], "pool"
    if primitive == "max" and any(
        isinstance(v, Literal) and np.all(np.asarray(v.val) == 0) for v in eqn.invars
    ):
        return "relu", "activation"
    for name in (primitive, called):
        if name in _ACTIVATIONS:
            return ("sigmoid" if name == "logistic" else name), "activation"
        if name in ("softmax", "log_softmax"):
            return name, "softmax"
    return None


@dataclass(frozen=True)
class _Marked:
    """A flat program and its layers, by the variable of each one's output and of its work."""

    closed: ClosedJaxpr
    tree: Any
    layers: dict[Any, list[_Found]]
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
        lambda *inputs: evaluate(traced, inputs, lambda eqn, inputs, scopes: None, _is_product)
    )(*leaves, x)
    jaxpr = flat.jaxpr
    names = {
        variable: frozenset({name})
        for variable, (name, _, _) in zip(jaxpr.invars[:-1], parameters, strict=True)
    }
    names.update(dict.fromkeys(jaxpr.constvars, frozenset()))
    search = _Search(names)
    for eqn in jaxpr.eqns:
        search.visit(eqn)
    layers: dict[Any, list[_Found]] = {}
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
        tree = nested(
            {name: jax.ShapeDtypeStruct(v.shape, v.dtype) for name, v in parameters().items()}
        )
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
