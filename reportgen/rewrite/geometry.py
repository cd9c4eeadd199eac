"""Where a convolution's kernel meets its input: sizes, strides, padding, dilations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp

Sizes = tuple[int, ...]


@dataclass(frozen=True)
class Geometry:
    """A convolution of x (N, *directions, C) with a kernel (*directions, C / groups, outputs).

    Attributes:
      sizes: of x in each direction.
      kernel: sizes of the kernel.
      spread: input places are so far apart, zeros between them (``lhs_dilation``).
      dilation: of the kernel.
    """

    sizes: Sizes
    kernel: Sizes
    strides: Sizes
    padding: tuple[tuple[int, int], ...]
    spread: Sizes
    dilation: Sizes
    groups: int
    precision: Any

    @property
    def rank(self) -> int:
        """Number of directions."""
        return len(self.sizes)

    @property
    def reaches(self) -> Sizes:
        """Sizes of the dilated kernel."""
        return _apart(self.kernel, self.dilation)

    @property
    def outputs(self) -> Sizes:
        """Sizes of the output."""
        return tuple(
            (size + sum(pad) - reach) // stride + 1
            for size, pad, reach, stride in zip(
                _apart(self.sizes, self.spread),
                self.padding,
                self.reaches,
                self.strides,
                strict=True,
            )
        )

    def transposed(self) -> Geometry:
        """The convolution that is this one's derivative by its input."""
        before = [reach - 1 - pad[0] for reach, pad in zip(self.reaches, self.padding, strict=True)]
        apart = _apart(self.outputs, self.strides)
        after = [
            size + reach - 1 - out - near
            for size, reach, out, near in zip(
                _apart(self.sizes, self.spread), self.reaches, apart, before, strict=True
            )
        ]
        return replace(
            self,
            sizes=self.outputs,
            strides=self.spread,
            spread=self.strides,
            padding=tuple(zip(before, after, strict=True)),
        )


def _apart(sizes: Sizes, steps: Sizes) -> Sizes:
    return tuple((size - 1) * step + 1 for size, step in zip(sizes, steps, strict=True))


def placed(geometry: Geometry, x: jax.Array) -> jax.Array:
    """Input places spread out and padded, and of them those in steps of the stride."""
    edges = ((0, 0), *geometry.padding, (0, 0))
    steps = (1, *geometry.spread, 1)
    config = [(*edge, step - 1) for edge, step in zip(edges, steps, strict=True)]
    if any(part != (0, 0, 0) for part in config):
        x = jax.lax.pad(x, jnp.zeros((), x.dtype), config)
    if any(stride > 1 for stride in geometry.strides):
        x = jax.lax.slice(x, (0,) * x.ndim, x.shape, (1, *geometry.strides, 1))
    return x


def padded(x: jax.Array, padding: Sequence[tuple[int, int]]) -> jax.Array:
    """Zeros at the edges, or what a negative padding leaves of x (N, *directions, C)."""
    if all(pad == (0, 0) for pad in padding):
        return x
    config = [(0, 0, 0), *((*pad, 0) for pad in padding), (0, 0, 0)]
    return jax.lax.pad(x, jnp.zeros((), x.dtype), config)
