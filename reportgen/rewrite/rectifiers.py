"""Rectifiers with another backward rule: guided backpropagation and the deconvnet.

Springenberg, Dosovitskiy, Brox, Riedmiller: Striving for Simplicity (2014), arXiv:1412.6806;
Zeiler, Fergus: Visualizing and Understanding Convolutional Networks (2013), arXiv:1311.2901.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple
from typing import Literal as OneOf

import jax
import jax.numpy as jnp
import numpy as np

from reportgen.rewrite.compat import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, bodies
from reportgen.rewrite.elementwise import Function, functions, onwards
from reportgen.rewrite.inline import changed_inside, inlined, retraced

Backward = OneOf["guided", "deconvnet"]

_POSITIVE = np.array([8.0, 16.0, 32.0])
_SMALL = np.array([0.01, 0.1, 0.5, 1.0, 2.0, 3.0])
_NUMBERS = np.sort(np.concatenate([-_POSITIVE, -_SMALL, [0.0], _SMALL, _POSITIVE]))


@dataclass(frozen=True)
class RectifierRule:
    """A program in which every rectifier has another backward rule; forward it is unchanged.

    With x a rectifier's input and R what comes back to its output:

    - ``guided``: ``1[x > 0] · max(R, 0)``
    - ``deconvnet``: ``max(R, 0)``

    ReLU in any notation is one, and leaky ReLU, GELU, SiLU, ELU, softplus and their like are
    treated as one, by the sign of x. Of ReLU6 the upper bound keeps its own derivative.
    """

    backward: Backward

    def __call__(self, closed: ClosedJaxpr) -> ClosedJaxpr:
        """The program rewritten; it has no calls any more."""
        return self._rewritten(plain(closed))

    def _rewritten(self, closed: ClosedJaxpr) -> ClosedJaxpr:
        closed = changed_inside(closed, self._rewritten)
        found = _found(closed.jaxpr)
        values: dict[Any, Any] = {}

        def run(eqn: JaxprEqn, inputs: list[Any]) -> list[Any] | None:
            for variable, value in zip(eqn.invars, inputs, strict=True):
                if not isinstance(variable, Literal):
                    values[variable] = value
            rectifier = found.get(eqn.outvars[0]) if eqn.outvars else None
            if rectifier is None:
                return None
            function = rectifier.function
            return [_rectified(function, self.backward, values[function.source])]

        return retraced(closed, run)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _rectified(function: Function, backward: Backward, x: jax.Array) -> jax.Array:
    return function.apply(x)


def _forward(function: Function, backward: Backward, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    return function.apply(x), x


def _backward(
    function: Function, backward: Backward, x: jax.Array, cotangent: jax.Array
) -> tuple[jax.Array]:
    positive = jnp.maximum(cotangent, 0)
    return (positive if backward == "deconvnet" else jnp.where(x > 0, positive, 0),)


_rectified.defvjp(_forward, _backward)


def rectifiers(closed: ClosedJaxpr) -> tuple[str, ...]:
    """The kind of every rectifier of a program: ``ReLU``, ``leaky ReLU`` or ``smooth``."""
    return tuple(_kinds(plain(closed).jaxpr))


def plain(closed: ClosedJaxpr) -> ClosedJaxpr:
    """The program without calls, and without clamps: they are two bounds, each with its rule."""

    def run(eqn: JaxprEqn, inputs: list[Any]) -> list[Any] | None:
        if eqn.primitive.name != "clamp":
            return None
        low, x, high = inputs
        return [jnp.minimum(jnp.maximum(x, low), high)]

    return inlined(retraced(inlined(closed), run))


def rectifier_steps(jaxpr: Jaxpr, kind: str) -> dict[Any, set[int]]:
    """Of values that go into rectifiers of a kind: the operations in these, by their ``id``.

    Args:
      jaxpr: without calls, as ``plain`` makes it.
    """
    steps: dict[Any, set[int]] = {}
    for rectifier in _found(jaxpr).values():
        if rectifier.kind == kind:
            function = rectifier.function
            steps.setdefault(function.source, set()).update(id(eqn) for eqn in function.eqns)
    return steps


def _kinds(jaxpr: Jaxpr) -> Iterator[str]:
    found = _found(jaxpr)
    for eqn in jaxpr.eqns:
        if eqn.outvars and eqn.outvars[0] in found:
            yield found[eqn.outvars[0]].kind
        for body in bodies(eqn):
            yield from _kinds(body)


class _Rectifier(NamedTuple):
    kind: str
    function: Function


# Of every variable: the operations that read it, and which of their operands it is.
Uses = dict[Any, list[tuple[Any, int]]]


def uses_of(jaxpr: Jaxpr) -> Uses:
    """The uses of every variable that anything needs; None is the world outside."""
    uses: Uses = {}
    for variable in jaxpr.outvars:
        if not isinstance(variable, Literal):
            uses.setdefault(variable, []).append((None, 0))  # what is returned is used outside
    # Backwards, so that it is known of each operation whether anything needs it.
    for eqn in reversed(jaxpr.eqns):
        if any(variable in uses for variable in eqn.outvars):
            for place, variable in enumerate(eqn.invars):
                if not isinstance(variable, Literal):
                    uses.setdefault(variable, []).append((eqn, place))
    return uses


def _found(jaxpr: Jaxpr) -> dict[Any, _Rectifier]:
    """The rectifiers of a program by the variable of each one's output."""
    uses = uses_of(jaxpr)
    found: dict[Any, _Rectifier] = {}
    for steps in functions(jaxpr):
        whole = _outermost(steps, uses)
        inside = {id(eqn) for rectifier in whole for eqn in rectifier.function.eqns}
        parts: dict[Any, _Rectifier] = {}
        for step in steps:
            if id(step.eqns[-1]) not in inside:
                # What is scaled or shifted first is a rectifier of another value: relu(x / 2 + 1).
                for rectifier in _outermost(onwards(step.output, steps), uses):
                    if not _belongs_to_gate(rectifier, steps):
                        parts.setdefault(rectifier.function.output, rectifier)
        for rectifier in (_sharp(one, steps) for one in (*parts.values(), *whole)):
            if not _is_guard(rectifier.function.output, uses):
                found[rectifier.function.output] = rectifier
    return found


def _outermost(steps: list[Function], uses: Uses) -> list[_Rectifier]:
    """The rectifiers among functions, without those that are only a part of another.

    So GELU or ELU as a whole, and not what in them looks like a rectifier.
    """
    kinds = [_Rectifier(kind, step) for step in steps if (kind := _kind(step))]

    def is_part(inner: Function, outer: Function) -> bool:
        of_outer = {id(eqn) for eqn in outer.eqns}
        return inner is not outer and all(
            id(eqn) in of_outer for eqn, _ in uses.get(inner.output, [(None, 0)])
        )

    return [
        one for one in kinds if not any(is_part(one.function, other.function) for other in kinds)
    ]


def _sharp(rectifier: _Rectifier, steps: list[Function]) -> _Rectifier:
    """relu(x - 0.1) as ReLU of that difference, which bends there, and not as a function of x."""
    output = rectifier.function.output
    inner = {id(eqn) for eqn in rectifier.function.eqns}
    for step in steps:
        if rectifier.kind != "smooth" or id(step.eqns[-1]) not in inner or step.output is output:
            continue
        for function in onwards(step.output, steps):
            if function.output is output and (kind := _kind(function)) not in ("", "smooth"):
                return _Rectifier(kind, function)
    return rectifier


def _belongs_to_gate(rectifier: _Rectifier, steps: list[Function]) -> bool:
    """Whether a rectifier of a shifted or scaled value is a part of a sigmoid or its logarithm.

    Hard sigmoid is written relu6(x + 3) / 6, and the sigmoid's logarithm -softplus(-x).
    """
    last = rectifier.function.eqns[-1]
    for step in steps:
        if not any(eqn is last for eqn in step.eqns):
            continue
        y = step(_NUMBERS)
        flat = abs(y[0] - y[1]) < 1e-3 and abs(y[-1] - y[-2]) < 1e-3
        if flat and y[_NUMBERS == 0] != 0:
            return True
        if rectifier.kind == "smooth" and y.max() < 1:
            return True
    return False


# Operations whose operand at this place must not be negative, or not be zero.
_GUARDED = {("sqrt", 0), ("rsqrt", 0), ("log", 0), ("pow", 0), ("div", 1)}
_PASSED = frozenset({"broadcast_in_dim", "reshape", "squeeze", "convert_element_type"})


def _is_guard(variable: Any, uses: Uses) -> bool:
    """Whether a value is a variance, say, that was kept from falling below zero for its root."""

    def guards(eqn: JaxprEqn | None, place: int) -> bool:
        if eqn is None:
            return False
        name = eqn.primitive.name
        if (name, place) in _GUARDED:
            return True
        alone = sum(not isinstance(v, Literal) for v in eqn.invars) == 1
        moves_on = name in _PASSED or (name in ("add", "mul") and alone)
        return moves_on and _is_guard(eqn.outvars[0], uses)

    return bool(uses.get(variable)) and all(guards(*use) for use in uses[variable])


def _kind(function: Function) -> str:
    """What a function of one number is: a rectifier of some kind, or nothing (empty)."""
    if not jnp.issubdtype(function.output.aval.dtype, jnp.floating):
        return ""
    y = function(_NUMBERS)
    if not np.isfinite(y).all():
        return ""
    x, positive = _NUMBERS, _NUMBERS > 0
    if np.array_equal(y, np.maximum(x, 0)):
        return "ReLU"
    slopes = y[~positive & (x != 0)] / x[~positive & (x != 0)]
    if np.array_equal(y[positive], x[positive]) and y[x == 0] == 0 and np.ptp(slopes) < 1e-6:
        return "leaky ReLU" if 0 < slopes[0] < 1 else ""
    far, near_zero = x >= _POSITIVE[0], abs(y[x == 0][0])
    rises = np.abs(y[far] / x[far] - 1).max() < 0.06
    flat = np.abs(y[x <= -_POSITIVE[0]]).max() < 2
    # Softplus and its like are not zero at zero, but bend smoothly, as max(x, small) does not; and
    # max(x, -1) does not bend at zero at all.
    bends = near_zero == 0 or bool((np.diff(y) > 0).all())
    bent = np.abs(y[x == -0.5] + 0.5)[0] > 1e-3
    return "smooth" if rises and flat and bends and bent else ""
