"""Floating-point operations by layer, counted in the traced program."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn


def _inner(eqn: JaxprEqn) -> Iterator[tuple[Jaxpr, int]]:
    """Programs inside an operation, with how often each runs."""
    times = int(eqn.params.get("length", 1)) if eqn.primitive.name == "scan" else 1
    for value in eqn.params.values():
        for part in value if isinstance(value, tuple | list) else (value,):
            if isinstance(part, ClosedJaxpr):
                yield part.jaxpr, times
            elif isinstance(part, Jaxpr):
                yield part, times


def _shape(variable: Any) -> tuple[int, ...]:
    return tuple(variable.aval.shape)


def _operations(eqn: JaxprEqn) -> int:
    """2 x multiply-adds of convolutions and matrix products; everything else counts as none.

    Those two are what published FLOP tables count, and all but a percent or so of the work.
    """
    name = eqn.primitive.name
    if name == "conv_general_dilated":
        numbers = eqn.params["dimension_numbers"]
        kernel = _shape(eqn.invars[1])
        out_channels = kernel[numbers.rhs_spec[0]]
        return 2 * math.prod(_shape(eqn.outvars[0])) * math.prod(kernel) // out_channels
    if name == "dot_general":
        (contracting, _), _ = eqn.params["dimension_numbers"]
        left = _shape(eqn.invars[0])
        return 2 * math.prod(_shape(eqn.outvars[0])) * math.prod(left[axis] for axis in contracting)
    return 0


def flops_by_scope(jaxpr: Jaxpr) -> dict[str, int]:
    """FLOPs under each ``jax.named_scope``; a scope inside another counts towards both.

    Returns:
      Scope name to FLOPs for the batch that was traced; the empty name holds the total.
    """
    totals: dict[str, int] = {"": 0}

    def walk(program: Jaxpr, outer: tuple[str, ...], times: int) -> None:
        for eqn in program.eqns:
            scopes = outer + _scopes(eqn)
            count = _operations(eqn) * times
            for name in dict.fromkeys(("", *scopes)):
                totals[name] = totals.get(name, 0) + count
            for inner, repeats in _inner(eqn):
                walk(inner, scopes, times * repeats)

    walk(jaxpr, (), 1)
    return totals


def _scopes(eqn: JaxprEqn) -> tuple[str, ...]:
    stack = eqn.source_info.name_stack.stack
    return tuple(str(part.name) for part in stack if hasattr(part, "name"))
