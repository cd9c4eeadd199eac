"""CaffeNet, Caffe's bvlc_reference_caffenet (Jia et al. 2014): 60,965,224 parameters.

It is the network of Krizhevsky et al. 2012 with pooling before normalisation. Its second, fourth
and fifth convolution are in two groups, which once lay on two graphics cards.
"""

from __future__ import annotations

import jax
from flax import nnx

from reportgen.models.zoo.layers import LRN, ConvRelu, Flatten, LinearRelu, MaxPool, Softmax


class CaffeNet(nnx.Module):
    """Input (N, 227, 227, 3); returns logits (N, classes), the input of ``prob``.

    Layers are named as Caffe's blobs: convolutions and dense layers are rectified in place.
    """

    def __init__(self, *, classes: int = 1000, rngs: nnx.Rngs) -> None:
        self.conv1 = ConvRelu(3, 96, (11, 11), strides=4, padding="VALID", rngs=rngs)
        self.pool1 = MaxPool(3, 2, ceil=True)
        self.norm1 = LRN(size=5, alpha=1e-4, beta=0.75)
        self.conv2 = ConvRelu(96, 256, (5, 5), feature_group_count=2, rngs=rngs)
        self.pool2 = MaxPool(3, 2, ceil=True)
        self.norm2 = LRN(size=5, alpha=1e-4, beta=0.75)
        self.conv3 = ConvRelu(256, 384, (3, 3), rngs=rngs)
        self.conv4 = ConvRelu(384, 384, (3, 3), feature_group_count=2, rngs=rngs)
        self.conv5 = ConvRelu(384, 256, (3, 3), feature_group_count=2, rngs=rngs)
        self.pool5 = MaxPool(3, 2, ceil=True)
        self.flatten = Flatten()
        self.fc6 = LinearRelu(6 * 6 * 256, 4096, rngs=rngs)
        self.drop6 = nnx.Dropout(0.5, rngs=rngs)
        self.fc7 = LinearRelu(4096, 4096, rngs=rngs)
        self.drop7 = nnx.Dropout(0.5, rngs=rngs)
        self.fc8 = nnx.Linear(4096, classes, rngs=rngs)
        self.prob = Softmax()

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.norm1(self.pool1(self.conv1(x)))
        x = self.norm2(self.pool2(self.conv2(x)))
        x = self.pool5(self.conv5(self.conv4(self.conv3(x))))
        x = self.drop6(self.fc6(self.flatten(x)))
        logits = self.fc8(self.drop7(self.fc7(x)))
        # Run for its name only: scores are taken before.
        self.prob(logits)
        return logits

    def published(self) -> dict[str, dict[str, str]]:
        """Scheme to our module paths and the source's names of them."""
        layers = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")
        return {"caffe": {layer: layer for layer in layers}}

    def flattened(self) -> dict[str, tuple[int, int, int]]:
        """Dense layers on a flattened map: its height, width and channels."""
        return {"fc6": (6, 6, 256)}
