"""GoogLeNet with batch normalisation, as torchvision has it: 6,624,904 parameters.

Its third branch is 3x3 where the paper says 5x5, and its fourth pool 2x2; the published weights are
made for that. The two auxiliary classifiers serve training only and are left out.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from reportgen.models.zoo.googlenet import INCEPTIONS
from reportgen.models.zoo.layers import GlobalMean, MaxPool, Relu, kernel_init


class BasicConv(nnx.Module):
    """Convolution without bias, padded to keep its size at stride 1; batch norm; rectifier."""

    def __init__(
        self, inputs: int, outputs: int, side: int, *, stride: int = 1, rngs: nnx.Rngs
    ) -> None:
        self.conv = nnx.Conv(
            inputs,
            outputs,
            (side, side),
            strides=stride,
            padding=side // 2,
            use_bias=False,
            kernel_init=kernel_init,
            rngs=rngs,
        )
        self.bn = nnx.BatchNorm(outputs, epsilon=1e-3, rngs=rngs)
        self.relu = Relu()

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.relu(self.bn(self.conv(x)))


class Inception(nnx.Module):
    """Four branches side by side: (N, H, W, inputs) to (N, H, W, filters of all branches)."""

    def __init__(self, inputs: int, filters: tuple[int, ...], *, rngs: nnx.Rngs) -> None:
        one, three_reduce, three, five_reduce, five, projection = filters
        self.branch1 = BasicConv(inputs, one, 1, rngs=rngs)
        self.branch2 = nnx.List(
            [
                BasicConv(inputs, three_reduce, 1, rngs=rngs),
                BasicConv(three_reduce, three, 3, rngs=rngs),
            ]
        )
        self.branch3 = nnx.List(
            [
                BasicConv(inputs, five_reduce, 1, rngs=rngs),
                BasicConv(five_reduce, five, 3, rngs=rngs),
            ]
        )
        self.branch4 = nnx.List(
            [MaxPool(3, 1, padding=1, ceil=True), BasicConv(inputs, projection, 1, rngs=rngs)]
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        outputs = [self.branch1(x)]
        for branch in (self.branch2, self.branch3, self.branch4):
            first, second = branch
            outputs.append(second(first(x)))
        return jnp.concatenate(outputs, axis=-1)


class GoogLeNetBN(nnx.Module):
    """Input (N, H, W, 3), published for 224x224; returns logits (N, classes).

    Layers have torchvision's names.
    """

    def __init__(self, *, classes: int = 1000, rngs: nnx.Rngs) -> None:
        self.conv1 = BasicConv(3, 64, 7, stride=2, rngs=rngs)
        self.maxpool1 = MaxPool(3, 2, ceil=True)
        self.conv2 = BasicConv(64, 64, 1, rngs=rngs)
        self.conv3 = BasicConv(64, 192, 3, rngs=rngs)
        self.maxpool2 = MaxPool(3, 2, ceil=True)
        inputs = 192
        for name, filters in INCEPTIONS.items():
            setattr(self, f"inception{name}", Inception(inputs, filters, rngs=rngs))
            inputs = filters[0] + filters[2] + filters[4] + filters[5]
        self.maxpool3 = MaxPool(3, 2, ceil=True)
        self.maxpool4 = MaxPool(2, 2, ceil=True)
        self.avgpool = GlobalMean()
        self.dropout = nnx.Dropout(0.2, rngs=rngs)
        self.fc = nnx.Linear(inputs, classes, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.maxpool1(self.conv1(x))
        x = self.maxpool2(self.conv3(self.conv2(x)))
        pools = {"3b": self.maxpool3, "4e": self.maxpool4}
        for name in INCEPTIONS:
            x = getattr(self, f"inception{name}")(x)
            if name in pools:
                x = pools[name](x)
        logits: jax.Array = self.fc(self.dropout(self.avgpool(x)))
        return logits

    def published(self) -> dict[str, dict[str, str]]:
        """Scheme to our module paths and the source's names of them: the same."""
        blocks = ["conv1", "conv2", "conv3"]
        for name in INCEPTIONS:
            parts = ("branch1", "branch2.0", "branch2.1", "branch3.0", "branch3.1", "branch4.1")
            blocks += [f"inception{name}.{part}" for part in parts]
        paths = [f"{block}.{leaf}" for block in blocks for leaf in ("conv", "bn")]
        return {"torchvision": {path: path for path in [*paths, "fc"]}}

    def flattened(self) -> dict[str, tuple[int, int, int]]:
        """Dense layers on a flattened map: there are none."""
        return {}

    def ignored(self) -> tuple[str, ...]:
        """Globs of the source's tensors that evaluation does not use: the auxiliary classifiers."""
        return ("aux1.*", "aux2.*")
