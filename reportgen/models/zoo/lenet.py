"""LeNet as Caffe and DIGITS ship it (lenet_train_test.prototxt): 431,080 parameters.

There is no rectifier after the convolutions; the only one follows ``ip1``.
"""

from __future__ import annotations

import jax
from flax import nnx

from reportgen.models.zoo.layers import Flatten, MaxPool, Relu, Softmax


class LeNet(nnx.Module):
    """Input (N, 28, 28, 1); returns logits (N, classes), the input of ``prob``."""

    def __init__(self, *, classes: int = 10, rngs: nnx.Rngs) -> None:
        self.conv1 = nnx.Conv(1, 20, (5, 5), padding="VALID", rngs=rngs)
        self.pool1 = MaxPool(2, 2)
        self.conv2 = nnx.Conv(20, 50, (5, 5), padding="VALID", rngs=rngs)
        self.pool2 = MaxPool(2, 2)
        self.flatten = Flatten()
        self.ip1 = nnx.Linear(4 * 4 * 50, 500, rngs=rngs)
        self.relu1 = Relu()
        self.ip2 = nnx.Linear(500, classes, rngs=rngs)
        self.prob = Softmax()

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.pool1(self.conv1(x))
        x = self.pool2(self.conv2(x))
        x = self.relu1(self.ip1(self.flatten(x)))
        logits = self.ip2(x)
        # Run for its name only: like Caffe's blob it can be captured, but scores are taken before.
        self.prob(logits)
        return logits
