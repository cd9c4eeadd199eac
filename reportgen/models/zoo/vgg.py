"""VGG networks of 16 and 19 layers (Simonyan and Zisserman 2015), with Keras's names of layers."""

from __future__ import annotations

from typing import ClassVar

import jax
from flax import nnx

from reportgen.models.zoo.layers import ConvRelu, Flatten, LinearRelu, MaxPool, Softmax


class VGG(nnx.Module):
    """Input (N, 224, 224, 3); returns logits (N, classes), the input of ``prob``.

    As in Keras, convolutions and dense layers are rectified in place and there is no dropout.
    """

    # Convolutions of each of the five blocks: columns D and E of table 1 in the paper.
    blocks: ClassVar[tuple[int, ...]]

    def __init__(self, *, classes: int = 1000, rngs: nnx.Rngs) -> None:
        inputs = 3
        for block, convolutions in enumerate(self.blocks, start=1):
            width = min(32 * 2**block, 512)
            for number in range(1, convolutions + 1):
                conv = ConvRelu(inputs, width, (3, 3), rngs=rngs)
                setattr(self, f"block{block}_conv{number}", conv)
                inputs = width
            setattr(self, f"block{block}_pool", MaxPool(2, 2))
        self.flatten = Flatten()
        self.fc1 = LinearRelu(7 * 7 * 512, 4096, rngs=rngs)
        self.fc2 = LinearRelu(4096, 4096, rngs=rngs)
        self.predictions = nnx.Linear(4096, classes, rngs=rngs)
        self.prob = Softmax()

    def __call__(self, x: jax.Array) -> jax.Array:
        for block, convolutions in enumerate(self.blocks, start=1):
            for number in range(1, convolutions + 1):
                x = getattr(self, f"block{block}_conv{number}")(x)
            x = getattr(self, f"block{block}_pool")(x)
        logits: jax.Array = self.predictions(self.fc2(self.fc1(self.flatten(x))))
        # Run for its name only: scores are taken before.
        self.prob(logits)
        return logits

    def published(self) -> dict[str, dict[str, str]]:
        """Scheme to our module paths and the source's names of them."""
        torchvision, caffe = {}, {}
        position = 0
        for block, convolutions in enumerate(self.blocks, start=1):
            for number in range(1, convolutions + 1):
                path = f"block{block}_conv{number}"
                torchvision[path] = f"features.{position}"
                caffe[path] = f"conv{block}_{number}"
                position += 2  # the rectifier is a layer of its own there
            position += 1  # the pool
        dense = ("fc1", "fc2", "predictions")
        torchvision |= {path: f"classifier.{3 * i}" for i, path in enumerate(dense)}
        caffe |= {path: f"fc{6 + i}" for i, path in enumerate(dense)}
        return {"keras": {path: path for path in caffe}, "torchvision": torchvision, "caffe": caffe}

    def flattened(self) -> dict[str, tuple[int, int, int]]:
        """Dense layers on a flattened map: its height, width and channels."""
        return {"fc1": (7, 7, 512)}


class VGG16(VGG):
    """Column D of the paper: 138,357,544 parameters."""

    blocks = (2, 2, 3, 3, 3)


class VGG19(VGG):
    """Column E of the paper: 143,667,240 parameters."""

    blocks = (2, 2, 4, 4, 4)
