"""What a traced program tells of its layers' units: where a rectifier reads them, and their groups.

Layers inside of loops and branches are not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from reportgen.rewrite.compat import ClosedJaxpr, Jaxpr, JaxprEqn, Literal
from reportgen.rewrite.inline import inlined
from reportgen.rewrite.marks import mark_p
from reportgen.rewrite.rectifiers import Uses, plain, rectifier_steps, uses_of
from reportgen.rewrite.signs import never_negative

# What only moves values, or takes the largest of them: none above zero before, none after.
_MOVES = frozenset(
    {"reshape", "transpose", "squeeze", "expand_dims", "slice", "rev", "concatenate", "copy"}
    | {"convert_element_type", "reduce_window_max", "reduce_max", "reduce_precision", "layer"}
)
_AFFINE = frozenset({"add", "sub", "mul", "div"})


def rectified(closed: ClosedJaxpr) -> dict[str, str]:
    """The layers whose answers below zero are lost, and the layer at which that is seen.

    A layer is such if its output is never negative, or if a ReLU follows on every way out of it.
    Between them there may be pools of maxima and what only moves values: the layer is its own
    witness. A norm between them scales and shifts each unit's answer by fixed numbers, and with it
    zero: the norm is the witness then. Leaky and smooth rectifiers lose nothing.
    """
    jaxpr = plain(closed).jaxpr
    ways = _Ways(jaxpr)
    found = {
        _path(eqn): ways.witness(eqn.outvars[0], _path(eqn)) for eqn in jaxpr.eqns if _is_mark(eqn)
    }
    return {path: witness for path, witness in found.items() if witness}


class _Ways:
    """Every way from a layer's output onwards, up to a rectifier or something else."""

    def __init__(self, jaxpr: Jaxpr) -> None:
        self._uses: Uses = uses_of(jaxpr)
        self._positive = never_negative(jaxpr)
        self._relus = rectifier_steps(jaxpr, "ReLU")
        self._depend = _dependent(jaxpr)

    def witness(self, variable: Any, path: str) -> str:
        """The layer at which it is seen; empty if answers below zero are not lost.

        Args:
          path: of that layer so far; empty behind a shift that no layer's name stands at.
        """
        if variable in self._positive:
            return path
        ways = {self._after(variable, eqn, path) for eqn, _ in self._uses.get(variable, [])}
        return ways.pop() if len(ways) == 1 else ""

    def _after(self, variable: Any, eqn: JaxprEqn | None, path: str) -> str:
        if eqn is None:
            return ""
        if id(eqn) in self._relus.get(variable, ()):
            return path
        if eqn.primitive.name in _MOVES:
            here = _path(eqn) if _is_mark(eqn) and not path else path
            return self.witness(eqn.outvars[0], here)
        others = [v for v in eqn.invars if not isinstance(v, Literal) and v is not variable]
        if eqn.primitive.name in _AFFINE and not self._depend.intersection(others):
            return self.witness(eqn.outvars[0], "")
        return ""


def _dependent(jaxpr: Jaxpr) -> set[Any]:
    """The variables that depend on the image, which is the program's last input."""
    found = {jaxpr.invars[-1]}
    for eqn in jaxpr.eqns:
        if any(not isinstance(v, Literal) and v in found for v in eqn.invars):
            found.update(eqn.outvars)
    return found


def groups(closed: ClosedJaxpr) -> dict[str, int]:
    """In how many groups the units of each convolution's layer read inputs of their own."""
    jaxpr = inlined(closed).jaxpr
    made = {variable: eqn for eqn in jaxpr.eqns for variable in eqn.outvars}

    def before(variable: Any) -> Iterator[int]:
        eqn = None if isinstance(variable, Literal) else made.get(variable)
        if eqn is None or _is_mark(eqn):
            return
        if eqn.primitive.name == "conv_general_dilated":
            yield int(eqn.params["feature_group_count"])
            return
        for part in eqn.invars:
            yield from before(part)

    marks = [eqn for eqn in jaxpr.eqns if _is_mark(eqn)]
    return {_path(eqn): next(before(eqn.invars[0]), 1) for eqn in marks}


def _is_mark(eqn: JaxprEqn) -> bool:
    return eqn.primitive is mark_p


def _path(eqn: JaxprEqn) -> str:
    """Of the layer that a mark names."""
    return str(eqn.params["path"] + eqn.params["part"])
