"""Parameterless layers as modules, so that a network's pools and activations have names.

Caffe calls every blob by its name; these make ``pool1``, ``relu1`` and ``prob`` layers that a
config can select like any other.
"""

from __future__ import annotations

from typing import ClassVar

import jax
from flax import nnx


class MaxPool(nnx.Module):
    """Maximum over windows of (N, H, W, C), without padding."""

    kind: ClassVar[str] = "pool"

    def __init__(self, size: int, stride: int) -> None:
        self.size = size
        self.stride = stride

    def __call__(self, x: jax.Array) -> jax.Array:
        return nnx.max_pool(x, (self.size, self.size), (self.stride, self.stride))


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
