"""One interpreter of jaxprs: operations run as they are, or as a rule says.

It goes into ``jit``, ``remat`` and calls, and unrolls ``scan``, but only where something is looked
for inside; all else is bound as it was traced, custom derivatives included.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from reportgen.rewrite.compat import (
    CALLS,
    ClosedJaxpr,
    Jaxpr,
    JaxprEqn,
    Literal,
    bind,
    bodies,
    called,
    scan_inputs,
    scopes_of,
)

ROUND = "round:"  # scope of one round of a scan that is unrolled, before its index

Scopes = tuple[str, ...]
Rule = Callable[[JaxprEqn, list[Any], Scopes], "list[Any] | None"]
Wanted = Callable[[Jaxpr], bool]


def walk(jaxpr: Jaxpr) -> Iterator[JaxprEqn]:
    """All operations of a program, inner ones too."""
    for eqn in jaxpr.eqns:
        yield eqn
        for body in bodies(eqn):
            yield from walk(body)


def enters(eqn: JaxprEqn, wanted: Wanted) -> bool:
    """Whether ``evaluate`` goes into an operation to run what is inside, one by one."""
    name = eqn.primitive.name
    runs = eqn.params["length"] > 0 if name == "scan" else name in CALLS
    return runs and any(wanted(body) for body in bodies(eqn))


def shape_of(variable: Any) -> tuple[int, ...]:
    """Shape of a variable or literal of a program."""
    return tuple(variable.aval.shape)


def read(values: Mapping[Any, Any], variables: Sequence[Any]) -> list[Any]:
    """The values of variables and literals."""
    return [v.val if isinstance(v, Literal) else values[v] for v in variables]


def evaluate(
    closed: ClosedJaxpr, arguments: Sequence[Any], rule: Rule, wanted: Wanted
) -> list[Any]:
    """Run a program.

    Args:
      arguments: one for each input, arrays or tracers.
      rule: called with an operation, its inputs and the names of its scopes before it runs;
        returns its outputs, or None to have it run as it is.
      wanted: whether the rule has to see the operations of an inner program.

    Returns:
      The outputs, flat.
    """
    return _evaluate(closed, arguments, (), rule, wanted)


def _evaluate(
    closed: ClosedJaxpr, arguments: Sequence[Any], outer: Scopes, rule: Rule, wanted: Wanted
) -> list[Any]:
    jaxpr = closed.jaxpr
    values: dict[Any, Any] = dict(zip(jaxpr.constvars, closed.consts, strict=True))
    values.update(zip(jaxpr.invars, arguments, strict=True))
    for eqn in jaxpr.eqns:
        inputs = read(values, eqn.invars)
        scopes = outer + scopes_of(eqn)
        outputs = rule(eqn, inputs, scopes)
        if outputs is None:
            outputs = _run(eqn, inputs, scopes, rule, wanted)
        values.update(zip(eqn.outvars, outputs, strict=True))
    return read(values, jaxpr.outvars)


def _run(eqn: JaxprEqn, inputs: list[Any], scopes: Scopes, rule: Rule, wanted: Wanted) -> list[Any]:
    if enters(eqn, wanted):
        if eqn.primitive.name == "scan":
            return _unrolled(eqn, inputs, scopes, rule, wanted)
        return _evaluate(called(eqn), inputs, scopes, rule, wanted)
    return bind(eqn, inputs)


def scanned(eqn: JaxprEqn, inputs: Sequence[Any]) -> Sequence[Any]:
    """The inputs of a scan that it takes a slice of in every round."""
    return inputs[len(inputs) - scan_inputs(eqn).scanned :]


def _unrolled(
    eqn: JaxprEqn, inputs: list[Any], scopes: Scopes, rule: Rule, wanted: Wanted
) -> list[Any]:
    """A scan, iteration by iteration."""
    body = called(eqn)
    fixed, carried, _ = scan_inputs(eqn)
    length = eqn.params["length"]
    shared, carry = inputs[:fixed], inputs[fixed : fixed + carried]
    stacks: list[list[Any]] = [[] for _ in eqn.outvars[carried:]]
    order = range(length)[::-1] if eqn.params["reverse"] else range(length)
    for i in order:
        slices = [jax.lax.index_in_dim(part, i, keepdims=False) for part in scanned(eqn, inputs)]
        inner = (*scopes, f"{ROUND}{i}")
        out = _evaluate(body, [*shared, *carry, *slices], inner, rule, wanted)
        carry = out[:carried]
        for stack, value in zip(stacks, out[carried:], strict=True):
            stack.append(value)
    if eqn.params["reverse"]:
        stacks = [stack[::-1] for stack in stacks]
    return [*carry, *(jnp.stack(stack) for stack in stacks)]


def operations(eqn: JaxprEqn) -> int:
    """Floating-point operations: 2 x the multiply-adds of convolutions and matrix products.

    Those two are what published FLOP tables count, and all but a percent or so of the work;
    everything else counts as none. Loops count every round, branches the dearest one.
    """
    name = eqn.primitive.name
    if name == "conv_general_dilated":
        kernel = shape_of(eqn.invars[1])
        numbers = eqn.params["dimension_numbers"]
        if any(step > 1 for step in eqn.params["lhs_dilation"]):
            # Transposed: every input position meets the whole kernel; zeros between are no work.
            batch, _, *places = (shape_of(eqn.invars[0])[axis] for axis in numbers.lhs_spec)
            return 2 * batch * math.prod(places) * math.prod(kernel)
        out_channels = kernel[numbers.rhs_spec[0]]
        return 2 * math.prod(shape_of(eqn.outvars[0])) * math.prod(kernel) // out_channels
    if name == "dot_general":
        (contracting, _), _ = eqn.params["dimension_numbers"]
        left = shape_of(eqn.invars[0])
        return 2 * math.prod(shape_of(eqn.outvars[0])) * math.prod(left[a] for a in contracting)
    inner = [sum(map(operations, body.eqns)) for body in bodies(eqn)]
    times = eqn.params["length"] if name == "scan" else 1
    return times * (max(inner, default=0) if name == "cond" else sum(inner))
