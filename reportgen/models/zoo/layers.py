"""Parameterless layers as modules, so that a network's pools and activations have names.

Caffe calls every blob by its name; these make ``pool1``, ``relu1`` and ``prob`` layers that a
config can select like any other.
"""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx


class MaxPool(nnx.Module):
    """Maximum over windows of (N, H, W, C), without padding; NaN in a window is its maximum.

    Of equal values the first in reading order gets the gradient, as in Caffe, PyTorch and XLA.
    """

    kind: ClassVar[str] = "pool"

    def __init__(self, size: int, stride: int) -> None:
        self.size = size
        self.stride = stride

    def __call__(self, x: jax.Array) -> jax.Array:
        # A choice between strided slices: XLA's CPU backend takes several times as long over the
        # gradient of a reduce_window.
        stride = self.stride
        rows, columns = (side - self.size + 1 for side in x.shape[1:3])
        best = x[:, :rows:stride, :columns:stride]
        for i in range(self.size):
            for j in range(self.size):
                part = x[:, i : i + rows : stride, j : j + columns : stride]
                best = jnp.where((part > best) | (part != part), part, best)
        return best


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
