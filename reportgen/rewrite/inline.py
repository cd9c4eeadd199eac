"""A program without calls: what ``jit``, ``remat`` and custom derivatives hold is written out.

What changes an operation's derivative has to see it first. Loops and branches stay, with bodies
that are written out in turn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax

from reportgen.rewrite.compat import CALLS, ClosedJaxpr, Jaxpr, JaxprEqn, bind, called
from reportgen.rewrite.interpreter import read

Change = Callable[[ClosedJaxpr], ClosedJaxpr]
Replacement = Callable[[JaxprEqn, list[Any]], "list[Any] | None"]

LOOPS = frozenset({"scan", "while", "cond"})
_CUSTOM = frozenset({"custom_jvp_call", "custom_vjp_call"})


def inlined(closed: ClosedJaxpr) -> ClosedJaxpr:
    """The same program without calls; custom derivatives are JAX's own again."""

    def run(eqn: JaxprEqn, inputs: list[Any]) -> list[Any] | None:
        if eqn.primitive.name not in CALLS | _CUSTOM:
            return None
        return _run(called(eqn), inputs, run)

    return changed_inside(retraced(closed, run), inlined)


def changed_inside(closed: ClosedJaxpr, change: Change) -> ClosedJaxpr:
    """A program whose loops' and branches' bodies are changed."""
    if not any(eqn.primitive.name in LOOPS for eqn in closed.jaxpr.eqns):
        return closed

    def run(eqn: JaxprEqn, inputs: list[Any]) -> list[Any] | None:
        if eqn.primitive.name not in LOOPS:
            return None
        params = {name: _changed(value, change) for name, value in eqn.params.items()}
        return bind(eqn.replace(params=params), inputs)

    return retraced(closed, run)


def _changed(value: Any, change: Change) -> Any:
    if isinstance(value, ClosedJaxpr):
        return change(value)
    if isinstance(value, tuple | list) and any(isinstance(part, ClosedJaxpr) for part in value):
        return type(value)(_changed(part, change) for part in value)
    return value


def retraced(closed: ClosedJaxpr, replacement: Replacement) -> ClosedJaxpr:
    """Trace a program again.

    Args:
      replacement: an operation's outputs, traced in its stead, or None to keep it.
    """
    avals = [jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in closed.jaxpr.invars]
    return jax.make_jaxpr(lambda *inputs: _run(closed, inputs, replacement))(*avals)


def _run(closed: ClosedJaxpr, arguments: Sequence[Any], replacement: Replacement) -> list[Any]:
    jaxpr: Jaxpr = closed.jaxpr
    values: dict[Any, Any] = dict(zip(jaxpr.constvars, closed.consts, strict=True))
    values.update(zip(jaxpr.invars, arguments, strict=True))
    for eqn in jaxpr.eqns:
        inputs = read(values, eqn.invars)
        outputs = replacement(eqn, inputs)
        values.update(
            zip(eqn.outvars, bind(eqn, inputs) if outputs is None else outputs, strict=True)
        )
    return read(values, jaxpr.outvars)
