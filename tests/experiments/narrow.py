"""Networks with the classic ones' kinds and names of layers, as narrow and shallow as may be.

Their weights are drawn by NumPy: Flax's own take seconds to compile for each shape.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from reportgen.models.zoo.layers import LRN, Flatten, LinearRelu, MaxPool, Softmax


def drawn(key: jax.Array, shape: tuple[int, ...], *_: Any, **__: Any) -> jax.Array:
    """Such that signals neither vanish nor explode; of a shape always the same."""
    limit = math.sqrt(6 / math.prod(shape[:-1]))
    values = np.random.default_rng(shape).uniform(-limit, limit, shape)
    return jnp.asarray(values, jnp.float32)


class ConvRelu(nnx.Conv):
    """Rectified in place, as the classic networks' are."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, kernel_init=drawn, **kwargs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return nnx.relu(super().__call__(x))


class VGG(nnx.Module):
    """The first block of VGG16, of six filters; input of any size."""

    def __init__(self, *, rngs: nnx.Rngs) -> None:
        self.block1_conv1 = ConvRelu(3, 4, (3, 3), rngs=rngs)
        self.block1_conv2 = ConvRelu(4, 6, (3, 3), rngs=rngs)
        self.predictions = nnx.Linear(6, 10, kernel_init=drawn, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.block1_conv2(self.block1_conv1(x))
        return self.predictions(x.mean((1, 2)))


class CaffeNet(nnx.Module):
    """A layer of each kind that CaffeNet has; input (N, 67, 67, 3)."""

    def __init__(self, *, rngs: nnx.Rngs) -> None:
        self.conv1 = ConvRelu(3, 8, (11, 11), strides=4, padding="VALID", rngs=rngs)
        self.pool1 = MaxPool(3, 2, ceil=True)
        self.norm1 = LRN(size=5, alpha=1e-4, beta=0.75)
        self.conv2 = ConvRelu(8, 8, (5, 5), feature_group_count=2, rngs=rngs)
        self.pool5 = MaxPool(3, 2, ceil=True)
        self.flatten = Flatten()
        self.fc6 = LinearRelu(3 * 3 * 8, 16, kernel_init=drawn, rngs=rngs)
        self.fc8 = nnx.Linear(16, 10, kernel_init=drawn, rngs=rngs)
        self.prob = Softmax()

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.norm1(self.pool1(self.conv1(x)))
        logits = self.fc8(self.fc6(self.flatten(self.pool5(self.conv2(x)))))
        self.prob(logits)
        return logits
