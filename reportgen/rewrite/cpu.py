"""The same program in operations that XLA's CPU backend is fast at, equal to float rounding.

Only what was slower when measured is changed; ``tests/bench/lowerings.py`` measures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import jax

from reportgen.rewrite.compat import CALLS, ClosedJaxpr, Jaxpr, JaxprEqn, Literal, bodies, called
from reportgen.rewrite.convolutions import KernelForm, convolved, kernel_form
from reportgen.rewrite.inline import changed_inside
from reportgen.rewrite.interpreter import Scopes, evaluate, shape_of, walk
from reportgen.rewrite.pooling import pooled

_LOWERED = frozenset({"conv_general_dilated", "reduce_window_max", "reduce_window_sum"})

# Which input of a program is a kernel, and how it is kept.
Kernel = tuple[int, KernelForm]


def kernels(closed: ClosedJaxpr) -> tuple[Kernel, ...]:
    """The inputs of a program that ``lowered`` needs prepared: kernels just as they come in."""
    inputs = {variable: i for i, variable in enumerate(closed.jaxpr.invars)}
    return tuple(dict.fromkeys(_kernels(closed.jaxpr, inputs)))


def _kernels(jaxpr: Jaxpr, inputs: dict[Any, int]) -> Iterator[Kernel]:
    for eqn in jaxpr.eqns:
        form = kernel_form(eqn)
        if form is not None and not form.is_matrix(shape_of(eqn.invars[1])):
            yield from ((inputs[v], form) for v in eqn.invars[1:] if v in inputs)
        if eqn.primitive.name in CALLS:
            for body in bodies(eqn):
                pairs = zip(body.invars, eqn.invars, strict=True)
                named = (v for v in pairs if not isinstance(v[1], Literal))
                yield from _kernels(body, {own: inputs[v] for own, v in named if v in inputs})


def lowered(closed: ClosedJaxpr, prepared: Sequence[Kernel] = ()) -> ClosedJaxpr:
    """The program for a CPU; calls that hold what is changed are written out in it.

    Args:
      prepared: kernels that are given once more, as ``KernelForm.prepared`` makes them, as further
        inputs behind those of the program. Others are prepared where they are used.
    """
    count = len(closed.jaxpr.invars)
    avals = [jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in closed.jaxpr.invars]
    more = [jax.eval_shape(form.prepared, avals[i]) for i, form in prepared]

    def run(*values: Any) -> list[Any]:
        forms = zip(prepared, values[count:], strict=True)
        known = {(id(values[i]), form): value for (i, form), value in forms}
        rule = partial(_lowered, known)
        return evaluate(closed, values[:count], rule, lambda body: False)

    return changed_inside(jax.make_jaxpr(run)(*avals, *more), _inside)


def _inside(closed: ClosedJaxpr) -> ClosedJaxpr:
    return lowered(closed) if _holds(closed.jaxpr) else closed


def _holds(jaxpr: Jaxpr) -> bool:
    return any(eqn.primitive.name in _LOWERED for eqn in walk(jaxpr))


def _lowered(
    known: dict[tuple[int, KernelForm], Any], eqn: JaxprEqn, inputs: list[Any], scopes: Scopes
) -> list[Any] | None:
    if eqn.primitive.name in CALLS and any(map(_holds, bodies(eqn))):
        return evaluate(called(eqn), inputs, partial(_lowered, known), lambda inner: False)
    form = kernel_form(eqn)
    if form is not None:
        x, kernel = inputs
        return [convolved(eqn, form, x, kernel, known.get((id(kernel), form)))]
    output = pooled(eqn, *inputs) if eqn.primitive.name in _LOWERED else None
    return None if output is None else [output]
