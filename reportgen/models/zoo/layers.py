"""Small layers as modules, so that a network's pools, norms and activations have names.

Caffe calls every blob by its name; these make ``pool1``, ``relu1`` and ``prob`` layers that a
config can select like any other.
"""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx


class MaxPool(nnx.Module):
    """Maximum over windows of (N, H, W, C); NaN in a window is its maximum.

    Of equal values the first in reading order gets the gradient, as in Caffe, PyTorch and XLA.

    Args:
      size, stride: of the windows, in both directions.
      padding: pixels of minus infinity on each of the four sides.
      ceil: round the number of windows up, as Caffe does and PyTorch on demand: the last window
        may reach over the far edge, but begins on the input or on the near padding.
    """

    kind: ClassVar[str] = "pool"

    def __init__(self, size: int, stride: int, *, padding: int = 0, ceil: bool = False) -> None:
        self.size = size
        self.stride = stride
        self.padding = padding
        self.ceil = ceil

    def _reach(self, side: int) -> int:
        """Pixels from where the first window begins to where the last one does, both counted."""
        spare = side + 2 * self.padding - self.size
        steps = -(-spare // self.stride) if self.ceil else spare // self.stride
        if self.ceil and steps * self.stride >= side + self.padding:
            steps -= 1
        if steps < 0:
            raise ValueError(f"no window of {self.size} pixels fits into {side} pixels")
        return steps * self.stride + 1

    def __call__(self, x: jax.Array) -> jax.Array:
        rows, columns = (self._reach(side) for side in x.shape[1:3])
        near = self.padding
        below = max(0, rows + self.size - 1 - near - x.shape[1])
        right = max(0, columns + self.size - 1 - near - x.shape[2])
        if near or below or right:
            edges = ((0, 0), (near, below), (near, right), (0, 0))
            x = jnp.pad(x, edges, constant_values=-jnp.inf)
        # A choice between strided slices: XLA's CPU backend takes several times as long over the
        # gradient of a reduce_window.
        stride = self.stride
        best = x[:, :rows:stride, :columns:stride]
        for i in range(self.size):
            for j in range(self.size):
                part = x[:, i : i + rows : stride, j : j + columns : stride]
                best = jnp.where((part > best) | (part != part), part, best)
        return best


class GlobalMean(nnx.Module):
    """Mean over H and W: (N, H, W, C) to (N, C)."""

    kind: ClassVar[str] = "pool"

    def __call__(self, x: jax.Array) -> jax.Array:
        return x.mean(axis=(1, 2))


class LRN(nnx.Module):
    """Local response normalisation across channels (Krizhevsky et al. 2012), as Caffe computes it.

    ``x / (1 + alpha / size * sum of squares over size channels around)**beta``. The paper does not
    divide alpha by the size.

    Args:
      size: number of channels, odd; those beyond the first and the last count as zero.
    """

    kind: ClassVar[str] = "norm"

    def __init__(self, *, size: int = 5, alpha: float = 1e-4, beta: float = 0.75) -> None:
        self.size = size
        self.alpha = alpha
        self.beta = beta

    def __call__(self, x: jax.Array) -> jax.Array:
        channels, reach = x.shape[-1], self.size // 2
        squares = jnp.pad(x * x, ((0, 0), (0, 0), (0, 0), (reach, reach)))
        # A sum of slices, for the same reason as in MaxPool.
        total = sum(squares[..., i : i + channels] for i in range(self.size))
        return x * (1 + self.alpha / self.size * total) ** -self.beta


class ConvRelu(nnx.Conv):
    """Convolution rectified in place, as in Caffe's and Keras's networks: one name, one output."""

    def __call__(self, *args: Any, **kwargs: Any) -> jax.Array:
        return nnx.relu(super().__call__(*args, **kwargs))


class LinearRelu(nnx.Linear):
    """Dense layer rectified in place; see ``ConvRelu``."""

    def __call__(self, *args: Any, **kwargs: Any) -> jax.Array:
        return nnx.relu(super().__call__(*args, **kwargs))


class Relu(nnx.Module):
    """max(x, 0)."""

    kind: ClassVar[str] = "activation"

    def __call__(self, x: jax.Array) -> jax.Array:
        return nnx.relu(x)


class Flatten(nnx.Module):
    """(N, H, W, C) to (N, H * W * C), channels last."""

    kind: ClassVar[str] = "flatten"

    def __call__(self, x: jax.Array) -> jax.Array:
        return x.reshape(x.shape[0], -1)


class Softmax(nnx.Module):
    """Probabilities over the last axis."""

    kind: ClassVar[str] = "softmax"

    def __call__(self, x: jax.Array) -> jax.Array:
        return nnx.softmax(x)
