"""Which values of a program are never negative, whatever its input: known without running it."""

from __future__ import annotations

from typing import Any

import numpy as np

from reportgen.rewrite.compat import Jaxpr, JaxprEqn, Literal

_ALWAYS = frozenset({"exp", "exp2", "logistic", "abs", "square", "sqrt", "rsqrt", "erfc"})
# Not negative if no operand is.
_KEEPS = frozenset(
    {"add", "add_any", "mul", "div", "min", "concatenate", "pad", "reshape", "transpose"}
    | {"broadcast_in_dim", "squeeze", "expand_dims", "slice", "rev", "split", "copy", "layer"}
    | {"convert_element_type", "reduce_sum", "reduce_max", "reduce_min", "reduce_window_sum"}
    | {"reduce_window_max", "cumsum", "reduce_precision"}
)


def never_negative(jaxpr: Jaxpr) -> set[Any]:
    """Variables of a program without calls; of its inputs nothing is known."""
    found: set[Any] = set()
    for eqn in jaxpr.eqns:
        if _result(eqn, [_operand(v, found) for v in eqn.invars]):
            found.update(eqn.outvars)
    return found


def _operand(variable: Any, found: set[Any]) -> bool:
    if isinstance(variable, Literal):
        return bool(np.all(np.asarray(variable.val) >= 0))
    return variable in found


def _result(eqn: JaxprEqn, operands: list[bool]) -> bool:
    name = eqn.primitive.name
    if name in _ALWAYS:
        return True
    if name == "max":
        return any(operands)
    if name == "clamp":
        return operands[0]
    if name == "select_n":
        return all(operands[1:])
    if name == "integer_pow":
        return eqn.params["y"] % 2 == 0 or all(operands)
    return name in _KEEPS and all(operands)
