"""SqueezeNet 1.0 and 1.1 (Iandola et al. 2016), with the names of the authors' prototxt."""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from reportgen.models.zoo.layers import ConvRelu, GlobalMean, MaxPool, Softmax

# Filters of each fire module: squeeze, and each of the two expansions.
FIRES = {
    "fire2": (16, 64),
    "fire3": (16, 64),
    "fire4": (32, 128),
    "fire5": (32, 128),
    "fire6": (48, 192),
    "fire7": (48, 192),
    "fire8": (64, 256),
    "fire9": (64, 256),
}


class Fire(nnx.Module):
    """(N, H, W, inputs) to (N, H, W, 2 * expand): the 1x1 expansion, then the 3x3 one."""

    def __init__(self, inputs: int, squeeze: int, expand: int, *, rngs: nnx.Rngs) -> None:
        self.squeeze1x1 = ConvRelu(inputs, squeeze, (1, 1), rngs=rngs)
        self.expand1x1 = ConvRelu(squeeze, expand, (1, 1), rngs=rngs)
        self.expand3x3 = ConvRelu(squeeze, expand, (3, 3), rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.squeeze1x1(x)
        return jnp.concatenate([self.expand1x1(x), self.expand3x3(x)], axis=-1)


class SqueezeNet(nnx.Module):
    """Input (N, H, W, 3) of any size that the pools leave something of.

    Returns logits (N, classes), the mean over ``conv10``'s rectified maps and the input of
    ``prob``: so they are never negative.

    Args:
      head_padding: of ``conv10``. The authors' own 1.0 for Caffe has 1, torchvision 0.
    """

    # Filters and size of the first convolution.
    first: ClassVar[tuple[int, int]]
    # Layers between that and the head.
    middle: ClassVar[tuple[str, ...]]

    def __init__(self, *, classes: int = 1000, head_padding: int = 0, rngs: nnx.Rngs) -> None:
        inputs, size = self.first
        self.conv1 = ConvRelu(3, inputs, (size, size), strides=2, padding="VALID", rngs=rngs)
        for name in self.middle:
            if name in FIRES:
                squeeze, expand = FIRES[name]
                setattr(self, name, Fire(inputs, squeeze, expand, rngs=rngs))
                inputs = 2 * expand
            else:
                setattr(self, name, MaxPool(3, 2, ceil=True))
        self.drop9 = nnx.Dropout(0.5, rngs=rngs)
        self.conv10 = ConvRelu(inputs, classes, (1, 1), padding=head_padding, rngs=rngs)
        self.pool10 = GlobalMean()
        self.prob = Softmax()

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.conv1(x)
        for name in self.middle:
            x = getattr(self, name)(x)
        logits = self.pool10(self.conv10(self.drop9(x)))
        # Run for its name only: scores are taken before.
        self.prob(logits)
        return logits

    def published(self) -> dict[str, dict[str, str]]:
        """Scheme to our module paths and the source's names of them."""
        torchvision, caffe = {"conv1": "features.0"}, {"conv1": "conv1"}
        # In torchvision the first rectifier is a layer of its own.
        for position, name in enumerate(self.middle, start=2):
            if name in FIRES:
                for ours, theirs in (
                    ("squeeze1x1", "squeeze"),
                    ("expand1x1", "expand1x1"),
                    ("expand3x3", "expand3x3"),
                ):
                    torchvision[f"{name}.{ours}"] = f"features.{position}.{theirs}"
                    caffe[f"{name}.{ours}"] = f"{name}/{ours}"
        return {
            "torchvision": torchvision | {"conv10": "classifier.1"},
            "caffe": caffe | {"conv10": "conv10"},
        }

    def flattened(self) -> dict[str, tuple[int, int, int]]:
        """Dense layers on a flattened map: there are none."""
        return {}


class SqueezeNet10(SqueezeNet):
    """Version 1.0, as in the paper: 1,248,424 parameters."""

    first = (96, 7)
    middle = (
        *("pool1", "fire2", "fire3", "fire4"),
        *("pool4", "fire5", "fire6", "fire7", "fire8"),
        *("pool8", "fire9"),
    )


class SqueezeNet11(SqueezeNet):
    """Version 1.1, with less than half of the computation: 1,235,496 parameters."""

    first = (64, 3)
    middle = (
        *("pool1", "fire2", "fire3"),
        *("pool3", "fire4", "fire5"),
        *("pool5", "fire6", "fire7", "fire8", "fire9"),
    )
