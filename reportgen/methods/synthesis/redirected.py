"""A way up for a unit that nothing reaches: rectifiers that let through what would open them.

Lucid's redirected gradient: where a rectifier's own gradient is zero at all places of an image,
that which pushes its negative inputs up passes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from reportgen.rewrite.compat import ClosedJaxpr, JaxprEqn, Literal, jaxpr_as_fun
from reportgen.rewrite.inline import changed_inside, inlined, retraced


def redirected(function: Callable[[jax.Array], jax.Array], x: jax.Array) -> jax.Array:
    """``function(x)`` whose ReLUs, max(value, 0), have the redirected gradient.

    The value is unchanged. Images must lie along the first axis of every rectifier's input.
    """
    (value,) = jaxpr_as_fun(_changed(inlined(jax.make_jaxpr(function)(x))))(x)
    return jnp.asarray(value)


def _changed(closed: ClosedJaxpr) -> ClosedJaxpr:
    def run(eqn: JaxprEqn, inputs: list[Any]) -> list[Any] | None:
        if eqn.primitive.name != "max" or not _is_zero(eqn.invars[1]):
            return None
        return [_rectified(inputs[0])]

    return retraced(changed_inside(closed, _changed), run)


def _is_zero(operand: Any) -> bool:
    return isinstance(operand, Literal) and np.ndim(operand.val) == 0 and operand.val == 0


@jax.custom_vjp
def _rectified(x: jax.Array) -> jax.Array:
    return jnp.maximum(x, 0)


def _forward(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    return jnp.maximum(x, 0), x


def _backward(x: jax.Array, gradient: jax.Array) -> tuple[jax.Array]:
    own = jnp.where(x > 0, gradient, 0)
    through = (own != 0).any(axis=tuple(range(1, x.ndim)), keepdims=True)
    up = jnp.where((x < 0) & (gradient < 0), 0, gradient)
    return (jnp.where(through, own, up),)


_rectified.defvjp(_forward, _backward)
