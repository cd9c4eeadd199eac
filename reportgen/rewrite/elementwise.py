"""Functions of one value, found in a program: what an activation function is made of.

An activation may be written in any way (``maximum(x, 0)``, ``where(x > 0, x, 0)``, ``x * (x > 0)``,
GELU as its formula), so it is known by what it does: the operations between a value and another
that depends on it alone, element by element, are run in NumPy on a few numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from reportgen.rewrite.compat import Jaxpr, JaxprEqn, Literal, bind
from reportgen.rewrite.interpreter import read, shape_of


def _select(which: Any, *cases: Any) -> Any:
    return np.choose(np.asarray(which, np.int64), np.broadcast_arrays(*cases))


_OPERATIONS: dict[str, Callable[..., Any]] = {
    "max": np.maximum,
    "min": np.minimum,
    "add": np.add,
    "add_any": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "neg": np.negative,
    "abs": np.abs,
    "sign": np.sign,
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "tanh": np.tanh,
    "logistic": lambda x: 1 / (1 + np.exp(-x)),
    "erf": np.vectorize(math.erf, otypes=[float]),
    "erfc": np.vectorize(math.erfc, otypes=[float]),
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "square": np.square,
    "pow": np.power,
    "gt": np.greater,
    "ge": np.greater_equal,
    "lt": np.less,
    "le": np.less_equal,
    "eq": np.equal,
    "ne": np.not_equal,
    "and": np.logical_and,
    "or": np.logical_or,
    "not": np.logical_not,
    "select_n": _select,
    "clamp": lambda low, x, high: np.clip(x, low, high),
    "copy": np.asarray,
    "stop_gradient": np.asarray,
}


@dataclass(frozen=True, eq=False)
class Function:
    """What a value is of another.

    Attributes:
      source: the variable that it depends on.
      output: the variable that it is.
      eqns: the operations between, in order.
    """

    source: Any
    output: Any
    eqns: tuple[JaxprEqn, ...]

    def __call__(self, numbers: np.ndarray) -> np.ndarray:
        """Its values (K,) at some numbers (K,), in float64; NaN where there are none."""
        values: dict[Any, Any] = {self.source: np.asarray(numbers, np.float64)}
        with np.errstate(all="ignore"):
            for eqn in self.eqns:
                values[eqn.outvars[0]] = _run(eqn, read(values, eqn.invars))
        return np.broadcast_to(np.asarray(values[self.output], np.float64), numbers.shape)

    def apply(self, x: jax.Array) -> jax.Array:
        """The value itself, from the source's."""
        values: dict[Any, Any] = {self.source: x}
        for eqn in self.eqns:
            (values[eqn.outvars[0]],) = bind(eqn, read(values, eqn.invars))
        return jnp.asarray(values[self.output])


def _run(eqn: JaxprEqn, inputs: list[Any]) -> Any:
    name = eqn.primitive.name
    if name == "integer_pow":
        return np.asarray(inputs[0], np.float64) ** eqn.params["y"]
    if name in ("convert_element_type", "broadcast_in_dim"):
        return inputs[0]
    return _OPERATIONS[name](*inputs)


def functions(jaxpr: Jaxpr) -> list[list[Function]]:
    """For every value that others depend on element by element: those, in order.

    The program has no calls; loops' and branches' bodies are not looked into.
    """
    found: dict[Any, list[Function]] = {}
    steps: dict[Any, Function] = {}
    fixed = _constants(jaxpr)
    for eqn in jaxpr.eqns:
        source = _source(eqn, steps, fixed)
        if source is None:
            continue
        before: dict[int, JaxprEqn] = {}
        for variable in eqn.invars:
            if not isinstance(variable, Literal):
                made = fixed.get(variable) or (variable in steps and steps[variable].eqns) or ()
                before.update((id(part), part) for part in made)
        output = eqn.outvars[0]
        steps[output] = Function(source, output, (*before.values(), eqn))
        found.setdefault(source, []).append(steps[output])
    return list(found.values())


def onwards(source: Any, steps: Sequence[Function]) -> list[Function]:
    """Of the functions of one value, those that are functions of another of these values too.

    Args:
      source: the output of one of ``steps``.
      steps: all functions of one value, as ``functions`` has them.
    """
    outputs = {steps[0].source, *(step.output for step in steps)}
    found: dict[Any, Function] = {}
    for step in steps:
        *before, last = step.eqns
        read = [v for v in last.invars if not isinstance(v, Literal) and v in outputs]
        if not all(v is source or v in found for v in read):
            continue
        made = {id(eqn): eqn for eqn in before if eqn.outvars[0] not in outputs}
        for variable in read:
            if variable is not source:
                made.update((id(eqn), eqn) for eqn in found[variable].eqns)
        found[step.output] = Function(source, step.output, (*made.values(), last))
    return list(found.values())


def _constants(jaxpr: Jaxpr) -> dict[Any, tuple[JaxprEqn, ...]]:
    """Variables that are one number everywhere, with the operations that make them of literals."""
    fixed: dict[Any, tuple[JaxprEqn, ...]] = {}
    for eqn in jaxpr.eqns:
        if eqn.primitive.name not in ("broadcast_in_dim", "convert_element_type", "copy"):
            continue
        value = eqn.invars[0]
        if isinstance(value, Literal) and not shape_of(value):
            fixed[eqn.outvars[0]] = (eqn,)
        elif not isinstance(value, Literal) and value in fixed:
            fixed[eqn.outvars[0]] = (*fixed[value], eqn)
    return fixed


def _source(eqn: JaxprEqn, steps: dict[Any, Function], fixed: dict[Any, Any]) -> Any:
    """The one value that an operation's output depends on, element by element; None if none."""
    name = eqn.primitive.name
    if name not in _OPERATIONS and name not in ("integer_pow", "convert_element_type"):
        return None
    sources = {
        steps[v].source if v in steps else v
        for v in eqn.invars
        if not isinstance(v, Literal) and v not in fixed
    }
    if len(sources) != 1:
        return None
    source = sources.pop()
    return source if shape_of(source) == shape_of(eqn.outvars[0]) else None
