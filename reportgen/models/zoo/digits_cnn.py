"""The convolutional network of Keras's MNIST example (mnist_cnn.py): 1,199,882 parameters."""

from __future__ import annotations

import jax
from flax import nnx

from reportgen.models.zoo.layers import Flatten, MaxPool, Relu, Softmax


class DigitsCNN(nnx.Module):
    """Input (N, 28, 28, 1); returns logits (N, classes), the input of ``prob``."""

    def __init__(self, *, classes: int = 10, rngs: nnx.Rngs) -> None:
        self.conv1 = nnx.Conv(1, 32, (3, 3), padding="VALID", rngs=rngs)
        self.relu1 = Relu()
        self.conv2 = nnx.Conv(32, 64, (3, 3), padding="VALID", rngs=rngs)
        self.relu2 = Relu()
        self.pool1 = MaxPool(2, 2)
        self.dropout1 = nnx.Dropout(0.25, rngs=rngs)
        self.flatten = Flatten()
        self.dense1 = nnx.Linear(12 * 12 * 64, 128, rngs=rngs)
        self.relu3 = Relu()
        self.dropout2 = nnx.Dropout(0.5, rngs=rngs)
        self.dense2 = nnx.Linear(128, classes, rngs=rngs)
        self.prob = Softmax()

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.relu1(self.conv1(x))
        x = self.relu2(self.conv2(x))
        x = self.flatten(self.dropout1(self.pool1(x)))
        x = self.dropout2(self.relu3(self.dense1(x)))
        logits = self.dense2(x)
        # Run for its name only: like Caffe's blob it can be captured, but scores are taken before.
        self.prob(logits)
        return logits
