"""Convolutions with kernels of 3 × 3 by 16 products instead of 36 for each 2 × 2 of the output.

Winograd's minimal filtering F(2 × 2, 3 × 3): Lavin, Gray: Fast Algorithms for Convolutional Neural
Networks (2015), arXiv:1509.09308. Its factors are 1 and 1/2, so that it rounds as plain sums do;
larger tiles save more products, and digits. The sums over channels are matrix products; all else
goes over the input a few times, so it pays where there are many channels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from reportgen.rewrite.pooling import padded

# Bytes of an input that are taken at once, where there are far more: the sixteen products of such a
# band stay in a core's cache. For a large kernel, which is read for each band, bands cost more.
_BAND, _LARGE = 1 << 20, 6 << 20
# Channels, on the side that has fewer.
_FEWEST, _FEWEST_IN_BANDS = 32, 128

# The four factors of an input line d: d[first] + sign * d[second].
# Numbers of places are of one type, whether or not JAX counts in 64 bits.
_FIRST, _SECOND, _SIGN = np.array([(0, 2, -1), (1, 2, 1), (2, 1, -1), (1, 3, -1)], np.int32).T

Line = Callable[[Sequence[Any]], list[Any]]


def _kernel_line(g: Sequence[Any]) -> list[Any]:
    return [g[0], (g[0] + g[1] + g[2]) / 2, (g[0] - g[1] + g[2]) / 2, g[2]]


def _output_line(m: Sequence[Any]) -> list[Any]:
    return [m[0] + m[1] + m[2], m[1] - m[2] - m[3]]


def _square(line: Line, grid: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """A line's change of every column of a grid, then of every row."""
    columns = [line(column) for column in zip(*grid, strict=True)]
    return [line(row) for row in zip(*columns, strict=True)]


def sixteen(kernel: Any) -> Any:
    """The kernel (3, 3, I, O) as factors (4, 4, I, O); of an array of JAX or NumPy."""
    grid = _square(_kernel_line, kernel)
    stack = kernel.__array_namespace__().stack
    return stack([stack(row) for row in grid])


def pays(kernel: Sequence[int]) -> bool:
    """Whether a kernel (directions, I, O), moved in steps of one, is worth it at some sizes."""
    *places, inputs, outputs = kernel
    return places == [3, 3] and min(inputs, outputs) >= _FEWEST


def pays_for(x: Sequence[int], kernel: Sequence[int], itemsize: int) -> bool:
    """Whether such a kernel is worth it for x (N, H, W, C)."""
    fewest = min(kernel[-2:])
    fits = math.prod(x[:-1]) * max(kernel[-2:]) * itemsize <= _LARGE
    return fewest >= (_FEWEST if fits else _FEWEST_IN_BANDS)


def convolved(
    x: jax.Array,
    factors: jax.Array,
    padding: Sequence[tuple[int, int]],
    *,
    turned: bool,
    precision: Any,
) -> jax.Array:
    """The convolution of x (N, H, W, I) with a kernel, in steps of one.

    Args:
      factors: of the kernel, as ``sixteen`` returns them.
      turned: with the kernel of the derivative by the input instead, for x (N, H, W, O).
    """
    batch, *sizes, _ = x.shape
    height, width = (size + sum(pad) - 2 for size, pad in zip(sizes, padding, strict=True))
    row = batch * (width + 2) * max(factors.shape[-2:]) * x.dtype.itemsize
    rows = height
    if row * height > _LARGE:
        rows = 2 * max(1, _BAND // (2 * row))
    bands = -(-height // rows)
    rows = -(-height // bands)
    rows += rows % 2
    # To whole bands of whole tiles.
    x = padded(x, 1, padding[0][0], padding[0][1] + bands * rows - height, 0)
    edges = padding[1][0], padding[1][1] + width % 2

    def band(i: jax.Array | int) -> jax.Array:
        part = x if bands == 1 else jax.lax.dynamic_slice_in_dim(x, i * rows, rows + 2, 1)
        return _band(padded(part, 2, *edges, 0), factors, turned=turned, precision=precision)

    if bands == 1:
        y = band(0)
    else:
        # One after the other, in the same memory.
        y = jax.lax.map(band, jnp.arange(bands, dtype=jnp.int32))
        y = jnp.moveaxis(y, 0, 1).reshape(batch, bands * rows, *y.shape[3:])
    return y[:, :height, :width]


def _band(x: jax.Array, factors: jax.Array, *, turned: bool, precision: Any) -> jax.Array:
    """All of x (N, H + 2, W + 2, C), of even H and W, as (N, H, W, outputs)."""
    batch, height, width, channels = x.shape
    height, width = height // 2 - 1, width // 2 - 1
    # Turned by 180 degrees, a kernel's first and last factors change places, and its inputs with
    # its outputs.
    order = np.array((3, 1, 2, 0) if turned else (0, 1, 2, 3), np.int32)
    contracted = ((3,), (1 if turned else 0,)), ((), ())
    pairs = x.reshape(batch, height + 1, 2, width + 1, 2, channels)

    def places(i: jax.Array, j: jax.Array) -> jax.Array:
        start = [jnp.int32(place) for place in (0, i // 2, i % 2, j // 2, j % 2, 0)]
        found = jax.lax.dynamic_slice(pairs, start, (batch, height, 1, width, 1, channels))
        return found.reshape(batch, height, width, channels)

    # One product after the other, in a loop: written out, the sixteen take three times as long to
    # compile, and are no faster.
    def product(_: None, place: tuple[jax.Array, ...]) -> tuple[None, jax.Array]:
        i, j = place
        first, second, sign, at = map(jnp.asarray, (_FIRST, _SECOND, _SIGN, order))
        part = places(first[i], first[j]) + sign[j] * places(first[i], second[j])
        part += sign[i] * (places(second[i], first[j]) + sign[j] * places(second[i], second[j]))
        factor = factors[at[i], at[j]]
        return None, jax.lax.dot_general(part, factor, contracted, precision=precision)

    grid = tuple(jnp.asarray(axis.ravel()) for axis in np.indices((4, 4), np.int32))
    products = jax.lax.scan(product, None, grid)[1].reshape(4, 4, batch, height, width, -1)
    rows = _square(_output_line, [[products[i, j] for j in range(4)] for i in range(4)])
    lines = [jnp.stack(row, 3) for row in rows]
    return jnp.stack(lines, 2).reshape(batch, 2 * height, 2 * width, -1)
