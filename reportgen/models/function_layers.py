"""Layers of a plain function, found in its traced program: which operations they are, their names.

A convolution or matrix product of the input with a parameter is a layer, named by the parameter's
place in the tree (``params["conv1"]["w"]`` makes ``conv1``); a bias that is added, or a scale,
under the same name belongs to it. Rectifiers and their kin, poolings and softmaxes are layers of
their own, named by what they are (``relu``, ``relu#2``, …). A branch, or a loop of unknown length,
that holds products is one layer, ``cond`` or ``while``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from reportgen.rewrite.compat import Jaxpr, JaxprEqn, Literal, bodies, name_called
from reportgen.rewrite.interpreter import shape_of, walk

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


def is_product(body: Jaxpr) -> bool:
    """Whether a program holds a convolution or a matrix product, at any depth."""
    return any(eqn.primitive.name in _PRODUCTS for eqn in walk(body))


@dataclass
class FoundLayer:
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
class Search:
    """One pass over a program's operations, in execution order.

    Attributes:
      names: the parameters that a value was made of, for values made of parameters alone.
      layers: in execution order.
      growing: layer whose output a value is, past changes of layout and type.
      channels_first: values whose channels come second.
      gates: what GELU multiplies its input by, on the way there, with the tanh in it, if any.
    """

    names: dict[Any, frozenset[str]]
    layers: list[FoundLayer] = field(default_factory=list)
    growing: dict[Any, FoundLayer] = field(default_factory=dict)
    channels_first: set[Any] = field(default_factory=set)
    gates: dict[Any, FoundLayer | None] = field(default_factory=dict)

    def visit(self, eqn: JaxprEqn) -> None:
        """Take in the next operation, and the layer that it makes or joins, if any."""
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
        elif name in _OPAQUE and any(map(is_product, bodies(eqn))):
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
        layer = FoundLayer(path, kind, output, output)
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
    primitive, called = eqn.primitive.name, name_called(eqn)
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
