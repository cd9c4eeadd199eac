"""GoogLeNet (Szegedy et al. 2015) as Caffe's bvlc_googlenet: 6,998,552 parameters.

The two auxiliary classifiers serve training only and are left out.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from reportgen.models.zoo.layers import LRN, ConvRelu, GlobalMean, MaxPool, Softmax

# Filters of each inception module: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection; after
# 3b and 4e follows a pool. Table 1 of the paper.
INCEPTIONS: dict[str, tuple[int, int, int, int, int, int]] = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
_CONVOLUTIONS = ("1x1", "3x3_reduce", "3x3", "5x5_reduce", "5x5", "pool_proj")


class Inception(nnx.Module):
    """Four branches side by side: (N, H, W, inputs) to (N, H, W, filters of all branches)."""

    def __init__(self, inputs: int, filters: tuple[int, ...], *, rngs: nnx.Rngs) -> None:
        self.pool = MaxPool(3, 1, padding=1, ceil=True)
        width = dict(zip(_CONVOLUTIONS, filters, strict=True))
        sources = {"3x3": width["3x3_reduce"], "5x5": width["5x5_reduce"]}
        sides = {"3x3": 3, "5x5": 5}
        for name in _CONVOLUTIONS:
            side = sides.get(name, 1)
            conv = ConvRelu(sources.get(name, inputs), width[name], (side, side), rngs=rngs)
            setattr(self, name, conv)

    def __call__(self, x: jax.Array) -> jax.Array:
        conv = {name: getattr(self, name) for name in _CONVOLUTIONS}
        branches = [
            conv["1x1"](x),
            conv["3x3"](conv["3x3_reduce"](x)),
            conv["5x5"](conv["5x5_reduce"](x)),
            conv["pool_proj"](self.pool(x)),
        ]
        return jnp.concatenate(branches, axis=-1)


class GoogLeNet(nnx.Module):
    """Input (N, H, W, 3), published for 224x224; returns logits (N, classes), ``prob``'s input.

    Layers are named as Caffe's, with a dot for the slash; convolutions are rectified in place. The
    output of Caffe's ``inception_3a/output`` is that of ``inception_3a``. Caffe's mean over 7x7 is
    over the whole map here, the same at 224x224.
    """

    def __init__(self, *, classes: int = 1000, rngs: nnx.Rngs) -> None:
        self.conv1 = nnx.Dict(
            {"7x7_s2": ConvRelu(3, 64, (7, 7), strides=2, padding=3, rngs=rngs)},
        )
        self.pool1 = nnx.Dict({"3x3_s2": MaxPool(3, 2, ceil=True), "norm1": LRN()})
        self.conv2 = nnx.Dict(
            {
                "3x3_reduce": ConvRelu(64, 64, (1, 1), rngs=rngs),
                "3x3": ConvRelu(64, 192, (3, 3), rngs=rngs),
                "norm2": LRN(),
            }
        )
        self.pool2 = nnx.Dict({"3x3_s2": MaxPool(3, 2, ceil=True)})
        inputs = 192
        for name, filters in INCEPTIONS.items():
            setattr(self, f"inception_{name}", Inception(inputs, filters, rngs=rngs))
            inputs = filters[0] + filters[2] + filters[4] + filters[5]
        self.pool3 = nnx.Dict({"3x3_s2": MaxPool(3, 2, ceil=True)})
        self.pool4 = nnx.Dict({"3x3_s2": MaxPool(3, 2, ceil=True)})
        self.pool5 = nnx.Dict(
            {"7x7_s1": GlobalMean(), "drop_7x7_s1": nnx.Dropout(0.4, rngs=rngs)},
        )
        self.loss3 = nnx.Dict({"classifier": nnx.Linear(inputs, classes, rngs=rngs)})
        self.prob = Softmax()

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.pool1["norm1"](self.pool1["3x3_s2"](self.conv1["7x7_s2"](x)))
        x = self.conv2["norm2"](self.conv2["3x3"](self.conv2["3x3_reduce"](x)))
        x = self.pool2["3x3_s2"](x)
        pools = {"3b": self.pool3, "4e": self.pool4}
        for name in INCEPTIONS:
            x = getattr(self, f"inception_{name}")(x)
            if name in pools:
                x = pools[name]["3x3_s2"](x)
        x = self.pool5["drop_7x7_s1"](self.pool5["7x7_s1"](x))
        logits: jax.Array = self.loss3["classifier"](x)
        # Run for its name only: scores are taken before.
        self.prob(logits)
        return logits

    def published(self) -> dict[str, dict[str, str]]:
        """Scheme to our module paths and the source's names of them."""
        paths = ["conv1.7x7_s2", "conv2.3x3_reduce", "conv2.3x3"]
        paths += [f"inception_{name}.{conv}" for name in INCEPTIONS for conv in _CONVOLUTIONS]
        paths += ["loss3.classifier"]
        return {"caffe": {path: path.replace(".", "/") for path in paths}}

    def flattened(self) -> dict[str, tuple[int, int, int]]:
        """Dense layers on a flattened map: there are none."""
        return {}

    def ignored(self) -> tuple[str, ...]:
        """Globs of the source's tensors that evaluation does not use: the auxiliary classifiers."""
        return ("loss1/*", "loss2/*")
