"""Pooling as comparisons and sums of strided slices, with a derivative that is the same.

XLA's CPU backend goes through the windows of a pooling one by one, and several times slower still
in the derivative of a maximum. Windows are boxes, so one axis is reduced after the other, each as
an operation on as many slices as the window is long.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial, reduce
from typing import Any
from typing import Literal as OneOf

import jax
import jax.numpy as jnp

from reportgen.rewrite.compat import JaxprEqn
from reportgen.rewrite.interpreter import shape_of

_KINDS: dict[str, OneOf["max", "sum"]] = {"reduce_window_max": "max", "reduce_window_sum": "sum"}
# Longer windows are left as they are: there would be one operation for each place.
_LONGEST = 32


@dataclass(frozen=True)
class Line:
    """Windows along one axis.

    Attributes:
      size: of a window, in places; dilation apart from one another.
      padding: places added before and after the axis.
      length: of the axis.
    """

    kind: OneOf["max", "sum"]
    axis: int
    size: int
    stride: int
    dilation: int
    padding: tuple[int, int]
    length: int

    @property
    def count(self) -> int:
        """How many windows there are."""
        reach = (self.size - 1) * self.dilation + 1
        return (self.length + sum(self.padding) - reach) // self.stride + 1

    @property
    def outside(self) -> float:
        """What stands beyond the edges."""
        return -float("inf") if self.kind == "max" else 0.0

    def parts(self, x: jax.Array) -> list[jax.Array]:
        """The first place of every window, the second, …"""
        x = padded(x, self.axis, *self.padding, self.outside)
        last = (self.count - 1) * self.stride + 1
        starts = (i * self.dilation for i in range(self.size))
        return [
            jax.lax.slice_in_dim(x, start, start + last, self.stride, self.axis) for start in starts
        ]


def pooled(eqn: JaxprEqn, x: jax.Array) -> jax.Array | None:
    """A pooling's output; None if it stays as it is."""
    kind = _KINDS.get(eqn.primitive.name)
    params = eqn.params
    sizes = params.get("window_dimensions", ())
    if (
        kind is None
        or not jnp.issubdtype(x.dtype, jnp.floating)
        or any(step != 1 for step in params["base_dilation"])
        or max(sizes) > _LONGEST
        or 0 in shape_of(eqn.outvars[0])
    ):
        return None
    # From the last axis to the first: of equal values the first in reading order stays the one.
    for axis in reversed(range(len(sizes))):
        line = Line(
            kind=kind,
            axis=axis,
            size=sizes[axis],
            stride=params["window_strides"][axis],
            dilation=params["window_dilation"][axis],
            padding=tuple(params["padding"][axis]),
            length=x.shape[axis],
        )
        if (line.size, line.stride, line.padding) != (1, 1, (0, 0)):
            x = _pooled(line, x)
    return x


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _pooled(line: Line, x: jax.Array) -> jax.Array:
    if line.kind == "max":
        return reduce(jnp.maximum, line.parts(x))
    wide = jnp.promote_types(x.dtype, jnp.float32)
    return reduce(jnp.add, line.parts(x.astype(wide))).astype(x.dtype)


def _forward(line: Line, x: jax.Array) -> tuple[jax.Array, Any]:
    output = _pooled(line, x)
    return output, (x, output) if line.kind == "max" else None


def _backward(line: Line, kept: Any, cotangent: jax.Array) -> tuple[jax.Array]:
    if line.kind == "sum":
        return (_spread(line, [cotangent] * line.size),)
    x, output = kept
    shares: list[jax.Array] = []
    free: jax.Array | None = None
    for part in line.parts(x):
        hit = (part == output) | (part != part)  # a window's maximum is its NaN, if it has one
        first = hit if free is None else hit & free
        free = ~hit if free is None else free & ~hit
        shares.append(jnp.where(first, cotangent, 0))
    return (_spread(line, shares),)


_pooled.defvjp(_forward, _backward)


def _spread(line: Line, shares: list[jax.Array]) -> jax.Array:
    """The sum at each place of the axis of what its windows give it.

    Places that are a stride apart are summed together; zeros between them would cost more.
    """
    stride, axis = line.stride, line.axis
    near = line.padding[0]
    reach = (line.count - 1) * stride + (line.size - 1) * line.dilation + 1
    rounds = -(-max(reach, near + line.length) // stride)
    sums: list[jax.Array | None] = [None] * stride
    for i, share in enumerate(shares):
        before, phase = divmod(i * line.dilation, stride)
        moved = padded(share, axis, before, rounds - before - line.count, 0)
        so_far = sums[phase]
        sums[phase] = moved if so_far is None else so_far + moved
    shape = (*shares[0].shape[:axis], rounds, *shares[0].shape[axis + 1 :])
    nothing = jnp.zeros(shape, shares[0].dtype)
    whole = jnp.stack([nothing if one is None else one for one in sums], axis + 1)
    whole = whole.reshape(*shape[:axis], rounds * stride, *shape[axis + 1 :])
    far = line.length - (rounds * stride - near)
    return padded(whole, axis, -near, far, 0)


def padded(x: jax.Array, axis: int, before: int, after: int, value: float) -> jax.Array:
    """With so many places more, or fewer, at the ends of an axis."""
    if not before and not after:
        return x
    config = [(0, 0, 0)] * x.ndim
    config[axis] = (before, after, 0)
    return jax.lax.pad(x, jnp.asarray(value, x.dtype), config)
