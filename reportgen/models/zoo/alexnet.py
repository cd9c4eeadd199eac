"""AlexNet as torchvision has it ("one weird trick", Krizhevsky 2014): 61,100,840 parameters.

Without groups and normalisation, and with 64, 192, 384, 256 and 256 filters.
"""

from __future__ import annotations

import jax
from flax import nnx

from reportgen.models.zoo.layers import ConvRelu, Flatten, LinearRelu, MaxPool, Softmax


class AlexNet(nnx.Module):
    """Input (N, 224, 224, 3); returns logits (N, classes), the input of ``prob``.

    Layers are named as in CaffeNet: convolutions and dense layers are rectified in place.
    torchvision's adaptive mean over 6x6 bins changes nothing at this size and is left out.
    """

    def __init__(self, *, classes: int = 1000, rngs: nnx.Rngs) -> None:
        self.conv1 = ConvRelu(3, 64, (11, 11), strides=4, padding=2, rngs=rngs)
        self.pool1 = MaxPool(3, 2)
        self.conv2 = ConvRelu(64, 192, (5, 5), rngs=rngs)
        self.pool2 = MaxPool(3, 2)
        self.conv3 = ConvRelu(192, 384, (3, 3), rngs=rngs)
        self.conv4 = ConvRelu(384, 256, (3, 3), rngs=rngs)
        self.conv5 = ConvRelu(256, 256, (3, 3), rngs=rngs)
        self.pool5 = MaxPool(3, 2)
        self.flatten = Flatten()
        self.drop6 = nnx.Dropout(0.5, rngs=rngs)
        self.fc6 = LinearRelu(6 * 6 * 256, 4096, rngs=rngs)
        self.drop7 = nnx.Dropout(0.5, rngs=rngs)
        self.fc7 = LinearRelu(4096, 4096, rngs=rngs)
        self.fc8 = nnx.Linear(4096, classes, rngs=rngs)
        self.prob = Softmax()

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.pool2(self.conv2(self.pool1(self.conv1(x))))
        x = self.pool5(self.conv5(self.conv4(self.conv3(x))))
        x = self.fc6(self.drop6(self.flatten(x)))
        logits = self.fc8(self.fc7(self.drop7(x)))
        # Run for its name only: scores are taken before.
        self.prob(logits)
        return logits

    def published(self) -> dict[str, dict[str, str]]:
        """Scheme to our module paths and the source's names of them."""
        return {
            "torchvision": {
                "conv1": "features.0",
                "conv2": "features.3",
                "conv3": "features.6",
                "conv4": "features.8",
                "conv5": "features.10",
                "fc6": "classifier.1",
                "fc7": "classifier.4",
                "fc8": "classifier.6",
            }
        }

    def flattened(self) -> dict[str, tuple[int, int, int]]:
        """Dense layers on a flattened map: its height, width and channels."""
        return {"fc6": (6, 6, 256)}
