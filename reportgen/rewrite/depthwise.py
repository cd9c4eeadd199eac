"""Depthwise convolutions as sums of products, which XLA's CPU backend has no fast form for."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from itertools import product

import jax
import jax.numpy as jnp

from reportgen.rewrite.geometry import Geometry, padded, placed


def depthwise(geometry: Geometry, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Groups of one input or of one output each: a sum of products for each place of the kernel."""
    groups, inputs = geometry.groups, kernel.shape[-2]
    if inputs == 1:
        x = jnp.repeat(x, kernel.shape[-1] // groups, -1)
        return _by_places(geometry, x, kernel[..., 0, :])
    # The other way round: what a group's inputs give is added up.
    weights = kernel.swapaxes(-1, -2).reshape(*kernel.shape[:-2], groups * inputs)
    y = _by_places(geometry, x, weights)
    return y.reshape(*y.shape[:-1], groups, inputs).sum(-1)


def _by_places(geometry: Geometry, x: jax.Array, weights: jax.Array) -> jax.Array:
    """Channel by channel, with weights (*kernel, C)."""
    rank = geometry.rank
    if any(step > 1 for step in geometry.spread):
        if all(step == 1 for step in (*geometry.strides, *geometry.dilation)):
            return _by_phases(geometry, x, weights)
        x = placed(replace(geometry, strides=(1,) * rank), x)
    else:
        x = padded(x, geometry.padding)
    wide = jnp.promote_types(x.dtype, jnp.float32)  # a long sum in half precision is none
    terms = []
    for place in product(*map(range, geometry.kernel)):
        starts = [i * step for i, step in zip(place, geometry.dilation, strict=True)]
        ends = [
            start + (count - 1) * stride + 1
            for start, count, stride in zip(starts, geometry.outputs, geometry.strides, strict=True)
        ]
        part = jax.lax.slice(
            x,
            (0, *starts, 0),
            (x.shape[0], *ends, x.shape[-1]),
            (1, *geometry.strides, 1),
        )
        terms.append(part.astype(wide) * weights[place])
    return reduce(jnp.add, terms).astype(x.dtype)


def _by_phases(geometry: Geometry, x: jax.Array, weights: jax.Array) -> jax.Array:
    """A spread input without multiplying its zeros.

    Output places that are a spread apart meet the same part of the kernel.
    """
    rank, spread = geometry.rank, geometry.spread
    rounds = tuple(-(-out // step) for out, step in zip(geometry.outputs, spread, strict=True))
    phases = []
    for phase in product(*map(range, spread)):
        near = [pad[0] for pad in geometry.padding]
        first = [(n - p) % s for n, p, s in zip(near, phase, spread, strict=True)]
        part = weights[tuple(slice(f, None, s) for f, s in zip(first, spread, strict=True))]
        before = [(n - p - f) // s for n, p, f, s in zip(near, phase, first, spread, strict=True)]
        padding = tuple(
            (lo, count + taps - 1 - size - lo)
            for lo, count, taps, size in zip(
                before, rounds, part.shape[:-1], geometry.sizes, strict=True
            )
        )
        if 0 in part.shape:
            phases.append(jnp.zeros((x.shape[0], *rounds, x.shape[-1]), x.dtype))
            continue
        one = replace(geometry, kernel=part.shape[:-1], padding=padding, spread=(1,) * rank)
        phases.append(_by_places(one, x, part))
    batch, channels = x.shape[0], x.shape[-1]
    whole = jnp.stack(phases).reshape(*spread, batch, *rounds, channels)
    order = [rank, *(axis for i in range(rank) for axis in (rank + 1 + i, i)), 2 * rank + 1]
    whole = whole.transpose(order).reshape(
        batch, *(count * step for count, step in zip(rounds, spread, strict=True)), channels
    )
    return whole[(slice(None), *(slice(out) for out in geometry.outputs))]
