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
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal

from reportgen.rewrite.elementwise import Function, functions
from reportgen.rewrite.inline import changed_inside, inlined, retraced
from reportgen.rewrite.interpreter import bodies

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
        return self._rewritten(inlined(closed))

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
    return tuple(_kinds(inlined(closed).jaxpr))


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


def _found(jaxpr: Jaxpr) -> dict[Any, _Rectifier]:
    """The rectifiers of a program by the variable of each one's output."""
    uses: dict[Any, list[tuple[JaxprEqn, int]]] = {}
    for eqn in jaxpr.eqns:
        for place, variable in enumerate(eqn.invars):
            if not isinstance(variable, Literal):
                uses.setdefault(variable, []).append((eqn, place))
    found = {}
    for steps in functions(jaxpr):
        # The last one: GELU or ELU as a whole, and not a part of it that looks like a rectifier.
        for step in reversed(steps):
            if (kind := _kind(step)) and not _is_guard(step.output, uses):
                found[step.output] = _Rectifier(kind, step)
                break
    return found


# Operations whose operand at this place must not be negative, or not be zero.
_GUARDED = {("sqrt", 0), ("rsqrt", 0), ("log", 0), ("pow", 0), ("div", 1)}
_PASSED = frozenset({"broadcast_in_dim", "reshape", "squeeze", "convert_element_type"})


def _is_guard(variable: Any, uses: dict[Any, list[tuple[JaxprEqn, int]]]) -> bool:
    """Whether a value is a variance, say, that was kept from falling below zero for its root."""
    for eqn, place in uses.get(variable, ()):
        name = eqn.primitive.name
        if (name, place) in _GUARDED:
            return True
        alone = sum(not isinstance(v, Literal) for v in eqn.invars) == 1
        moves_on = name in _PASSED or (name in ("add", "mul") and alone)
        if moves_on and _is_guard(eqn.outvars[0], uses):
            return True
    return False


def _kind(function: Function) -> str:
    """What a function of one number is: a rectifier of some kind, or nothing (empty)."""
    if not np.issubdtype(function.output.aval.dtype, np.floating):
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
