"""Small networks for class activation: that of ``tests/peers/small.py`` and one for cam."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from reportgen.core.spec import InputSpec
from reportgen.models.zoo.layers import MaxPool
from tests.peers import small

SPEC = InputSpec(height=small.SIZE, width=small.SIZE, channels=small.CHANNELS)
WEIGHTS = {name: jnp.asarray(value) for name, value in small.weights().items()}
X = jnp.asarray(small.images())
TARGETS = jnp.array(small.TARGETS)


@jax.jit
def scored(model: Any, x: jax.Array) -> jax.Array:
    """Scores (N, classes), in one program."""
    scores: jax.Array = model.apply(x)[0]
    return scores


class Small(nnx.Module):
    """The network of ``tests/peers/small.py``; rectifiers are no layers, as in Keras."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.conv1 = Rectified(small.CHANNELS, 6, (3, 3), rngs=rngs)
        self.pool1 = MaxPool(2, 2)
        self.conv2 = Rectified(6, 8, (3, 3), rngs=rngs)
        self.dense1 = nnx.Linear(288, 10, rngs=rngs)
        self.dense2 = nnx.Linear(10, small.CLASSES, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.conv2(self.pool1(self.conv1(x)))
        return self.dense2(nnx.relu(self.dense1(x.reshape(len(x), -1))))


class Rectified(nnx.Conv):
    """A convolution and its rectifier."""

    def __call__(self, x: jax.Array) -> jax.Array:
        return nnx.relu(super().__call__(x))


class Averaged(nnx.Module):
    """Two convolutions, the mean over positions and a dense layer: the form that cam needs.

    Args:
      channels: of the input.
      shortcut: add the input's mean to the scores, past the maps.
      rectified: rectify the means.
    """

    def __init__(
        self,
        rngs: nnx.Rngs,
        *,
        channels: int = small.CHANNELS,
        shortcut: bool = False,
        rectified: bool = False,
    ) -> None:
        self.shortcut = shortcut
        self.rectified = rectified
        self.conv1 = Rectified(channels, 6, (3, 3), strides=2, rngs=rngs)
        self.conv2 = nnx.Conv(6, 8, (3, 3), rngs=rngs)
        self.out = nnx.Linear(8, 10, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        means = self.conv2(self.conv1(x)).mean((1, 2))
        scores = self.out(nnx.relu(means) if self.rectified else means)
        return scores + 3 * x.mean((1, 2, 3))[:, None] if self.shortcut else scores
