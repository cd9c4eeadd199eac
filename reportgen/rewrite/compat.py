"""Traced programs as JAX's versions write them: whatever reads or runs one, comes here first.

Known to differ, newest first, and told by what a program holds, never by a version's number:

- 0.12: what is called without a name of its own is ``eval_jaxpr``; it was ``closed_call`` and
  ``core_call``.
- 0.12: the shape of an array of 64 bits warns, where JAX holds all in 32; it was taken for 32.
- 0.11: a program holds its constants itself: ``ClosedJaxpr`` is another name of ``Jaxpr``, and
  ``closed.jaxpr`` is the program again. A ``Jaxpr`` was one that is given them.
- 0.11: a scan no longer says in ``num_consts`` and ``num_carry`` which inputs are which.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, jaxpr_as_fun
from jax.interpreters.partial_eval import dce_jaxpr

__all__ = [
    "CALLS",
    "ClosedJaxpr",
    "Jaxpr",
    "JaxprEqn",
    "Literal",
    "ScanInputs",
    "bind",
    "bodies",
    "called",
    "held",
    "jaxpr_as_fun",
    "name_called",
    "scan_inputs",
    "scopes_of",
    "used",
]

# Operations that only run the program inside of them.
CALLS = frozenset(
    {"jit", "pjit", "closed_call", "core_call", "eval_jaxpr", "remat2", "remat", "checkpoint"}
)


def bodies(eqn: JaxprEqn) -> Iterator[Jaxpr]:
    """The programs inside an operation."""
    for value in eqn.params.values():
        for part in value if isinstance(value, tuple | list) else (value,):
            if isinstance(part, ClosedJaxpr):
                yield part.jaxpr
            elif isinstance(part, Jaxpr):
                yield part


def called(eqn: JaxprEqn) -> ClosedJaxpr:
    """The program that a call, a scan or a custom derivative runs, with its constants."""
    body: Any = eqn.params.get("jaxpr", eqn.params.get("call_jaxpr"))
    return body if isinstance(body, ClosedJaxpr) else ClosedJaxpr(body, ())


def name_called(eqn: JaxprEqn) -> str:
    """Name of the function that a call or a custom derivative was made of; empty for others."""
    name = eqn.params.get("name", "")
    if eqn.primitive.name.startswith("custom_") and "call_jaxpr" in eqn.params:
        name = called(eqn).jaxpr.debug_info.func_name
    return str(name).lstrip("_").partition(" ")[0]


def held(array: Any) -> jax.ShapeDtypeStruct:
    """Shape and type that JAX gives an array, whatever made it: doubles are single."""
    return jax.ShapeDtypeStruct(array.shape, jax.dtypes.canonicalize_dtype(array.dtype))


class ScanInputs(NamedTuple):
    """How many inputs of a scan are of which kind, in the order that they come in.

    Attributes:
      constants: the same in every round.
      carried: from round to round; the first of its outputs.
      scanned: of which every round takes a slice.
    """

    constants: int
    carried: int
    scanned: int


def scan_inputs(eqn: JaxprEqn) -> ScanInputs:
    """The inputs of a scan; told by their axes, of which its body sees one less where it slices."""
    body = called(eqn).jaxpr
    scanned = sum(map(_is_sliced, eqn.invars, body.invars))
    stacked = sum(map(_is_sliced, eqn.outvars, body.outvars))
    carried = len(eqn.outvars) - stacked
    return ScanInputs(len(eqn.invars) - carried - scanned, carried, scanned)


def _is_sliced(outside: Any, inside: Any) -> bool:
    return len(outside.aval.shape) > len(inside.aval.shape)


def scopes_of(eqn: JaxprEqn) -> tuple[str, ...]:
    """Names of the scopes that an operation was traced in, outermost first."""
    stack = eqn.source_info.name_stack.stack
    return tuple(str(part.name) for part in stack if hasattr(part, "name"))


def bind(eqn: JaxprEqn, inputs: Sequence[Any]) -> list[Any]:
    """One operation, as it was traced."""
    with eqn.ctx.manager:
        outputs = eqn.primitive.bind(*inputs, **eqn.primitive.get_bind_params(eqn.params))
    return list(outputs) if eqn.primitive.multiple_results else [outputs]


def used(closed: ClosedJaxpr) -> ClosedJaxpr:
    """A program without the operations that its outputs do not need; its inputs stay."""
    jaxpr, _ = dce_jaxpr(closed.jaxpr, [True] * len(closed.jaxpr.outvars), instantiate=True)
    return ClosedJaxpr(jaxpr, closed.consts)
