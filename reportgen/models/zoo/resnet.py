"""Residual networks of 18 to 152 layers (He et al. 2016), with torchvision's names of layers.

Two versions of the deep ones are in use. In He's own (``v1``; Caffe and Keras have it) the first
1x1 convolution of a block takes the stride; in torchvision's (``v1.5``) the 3x3 convolution does.
Weights of one give wrong answers in the other, though all shapes fit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from string import ascii_lowercase

import jax
from flax import nnx

from reportgen.core.errors import did_you_mean
from reportgen.models.zoo.layers import GlobalMean, MaxPool, Relu, kernel_init

VERSIONS = ("v1.5", "v1")
# Depth to the number of blocks in each of the four stages: table 1 of the paper.
STAGES: dict[int, tuple[int, int, int, int]] = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}


@dataclass(frozen=True)
class _Builder:
    """Makes convolutions and batch norms as one network has them."""

    bias: bool
    epsilon: float
    rngs: nnx.Rngs

    def conv(
        self, inputs: int, outputs: int, size: int, stride: int = 1, *, bias: bool = False
    ) -> nnx.Conv:
        """Padded alike on all sides: Flax's "SAME" pads the far sides only where it strides."""
        return nnx.Conv(
            inputs,
            outputs,
            (size, size),
            strides=stride,
            padding=size // 2,
            use_bias=bias or self.bias,
            kernel_init=kernel_init,
            rngs=self.rngs,
        )

    def norm(self, features: int) -> nnx.BatchNorm:
        return nnx.BatchNorm(features, epsilon=self.epsilon, rngs=self.rngs)

    def shortcut(self, inputs: int, outputs: int, stride: int) -> nnx.List[nnx.Module]:
        """A projection where the shape changes, else nothing."""
        if stride == 1 and inputs == outputs:
            return nnx.List([])
        return nnx.List([self.conv(inputs, outputs, 1, stride), self.norm(outputs)])


def _through(parts: nnx.List[nnx.Module], x: jax.Array) -> jax.Array:
    for part in parts:
        x = part(x)
    return x


class BasicBlock(nnx.Module):
    """Two 3x3 convolutions and a shortcut: (N, H, W, C) to (N, H / stride, W / stride, width)."""

    def __init__(self, inputs: int, width: int, stride: int, make: _Builder) -> None:
        self.conv1 = make.conv(inputs, width, 3, stride)
        self.bn1 = make.norm(width)
        self.relu = Relu()
        self.conv2 = make.conv(width, width, 3)
        self.bn2 = make.norm(width)
        self.downsample = make.shortcut(inputs, width, stride)

    def __call__(self, x: jax.Array) -> jax.Array:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu(y + _through(self.downsample, x))


class Bottleneck(nnx.Module):
    """1x1, 3x3, 1x1: (N, H, W, C) to (N, H / stride, W / stride, 4 * width).

    Args:
      early: the first convolution takes the stride (v1), not the second (v1.5).
    """

    def __init__(
        self, inputs: int, width: int, stride: int, make: _Builder, *, early: bool
    ) -> None:
        self.conv1 = make.conv(inputs, width, 1, stride if early else 1)
        self.bn1 = make.norm(width)
        self.relu = Relu()
        self.conv2 = make.conv(width, width, 3, 1 if early else stride)
        self.bn2 = make.norm(width)
        self.conv3 = make.conv(width, 4 * width, 1)
        self.bn3 = make.norm(4 * width)
        self.downsample = make.shortcut(inputs, 4 * width, stride)

    def __call__(self, x: jax.Array) -> jax.Array:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.relu(y + _through(self.downsample, x))


class ResNet(nnx.Module):
    """Input (N, H, W, 3), 224 x 224 as published; returns logits (N, classes).

    Args:
      depth: 18, 34, 50, 101 or 152.
      version: ``v1.5`` or ``v1``, see above; one and the same for 18 and 34.
      conv_bias: convolutions have biases (Keras).
      stem_bias: ``conv1`` has one (He's Caffe model of depth 50 alone).
      epsilon: of the batch norms: 1e-5 in PyTorch and Caffe, 1.001e-5 in Keras; 1e-3 in Keras's
        first ResNet50, before 2019.
      pool_padding: of the first pool. 1 in PyTorch and Keras; with 0 (Caffe) the last window
        reaches over the far edge instead, so that all maps lie one pixel further.

    Raises:
      ValueError: on another depth or version.
    """

    def __init__(
        self,
        *,
        depth: int,
        version: str = "v1.5",
        conv_bias: bool = False,
        stem_bias: bool = False,
        epsilon: float = 1e-5,
        pool_padding: int = 1,
        classes: int = 1000,
        rngs: nnx.Rngs,
    ) -> None:
        if depth not in STAGES:
            raise ValueError(f"depth is {depth!r}. {did_you_mean(str(depth), map(str, STAGES))}")
        if version not in VERSIONS:
            raise ValueError(f"version is {version!r}. {did_you_mean(str(version), VERSIONS)}")
        self.depth = depth
        self.version = version
        self.conv_bias = conv_bias
        make = _Builder(conv_bias, epsilon, rngs)
        self.conv1 = make.conv(3, 64, 7, 2, bias=stem_bias)
        self.bn1 = make.norm(64)
        self.relu = Relu()
        self.maxpool = MaxPool(3, 2, padding=pool_padding, ceil=pool_padding == 0)
        self.layer1 = self._stage(1, make)
        self.layer2 = self._stage(2, make)
        self.layer3 = self._stage(3, make)
        self.layer4 = self._stage(4, make)
        self.avgpool = GlobalMean()
        self.fc = nnx.Linear(self._features(4), classes, rngs=rngs)

    def _features(self, stage: int) -> int:
        """Channels that a stage puts out; stage 0 is the stem."""
        if stage == 0:
            return 64
        return 64 * 2 ** (stage - 1) * (1 if self.depth < 50 else 4)

    def _stage(self, stage: int, make: _Builder) -> nnx.List[nnx.Module]:
        inputs, outputs = self._features(stage - 1), self._features(stage)
        width, stride = 64 * 2 ** (stage - 1), 1 if stage == 1 else 2
        blocks: list[nnx.Module] = []
        for _ in range(STAGES[self.depth][stage - 1]):
            if self.depth < 50:
                blocks.append(BasicBlock(inputs, width, stride, make))
            else:
                early = self.version == "v1"
                blocks.append(Bottleneck(inputs, width, stride, make, early=early))
            inputs, stride = outputs, 1
        return nnx.List(blocks)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = _through(stage, x)
        return self.fc(self.avgpool(x))

    def published(self) -> dict[str, dict[str, str]]:
        """Scheme to our paths to the source's names; only sources that compute the same.

        Caffe's batch norms are two layers, ``bn…`` and ``scale…``; the name of the first is given.
        """
        kinds = (nnx.Conv, nnx.BatchNorm, nnx.Linear)
        paths = [
            ".".join(str(part) for part in path)
            for path, module in nnx.iter_modules(self)
            if isinstance(module, kinds)
        ]
        schemes: dict[str, Callable[[str], str]] = {}
        if self.depth < 50 or self.version == "v1.5":
            if not self.conv_bias:
                schemes = {"torchvision": str, "timm": str}
        elif not self.conv_bias:
            schemes = {"caffe": self._caffe}
        else:
            schemes = {"keras": self._keras}
            if self.depth == 50:
                schemes["keras_legacy"] = self._caffe
        return {
            scheme: {path: rename(path) for path in paths} for scheme, rename in schemes.items()
        }

    def flattened(self) -> dict[str, tuple[int, int, int]]:
        """No dense layer sees a flattened map."""
        return {}

    def _keras(self, path: str) -> str:
        """``layer1.0.conv1`` is ``conv2_block1_1_conv``; the shortcut has number 0."""
        if path in ("conv1", "bn1", "fc"):
            return {"conv1": "conv1_conv", "bn1": "conv1_bn", "fc": "predictions"}[path]
        stage, index, part, number = _place(path)
        return f"conv{stage + 1}_block{index + 1}_{number}_{part}"

    def _caffe(self, path: str) -> str:
        """``layer1.0.conv1`` is ``res2a_branch2a``; the shortcut is ``branch1``."""
        if path in ("conv1", "bn1", "fc"):
            return {"conv1": "conv1", "bn1": "bn_conv1", "fc": "fc1000"}[path]
        stage, index, part, number = _place(path)
        # Where a stage has more blocks than the alphabet, Caffe counts: a, b1, b2, …
        counted = self.depth > 50 and stage in (2, 3) and index > 0
        block = f"b{index}" if counted else ascii_lowercase[index]
        branch = f"branch2{ascii_lowercase[number - 1]}" if number else "branch1"
        prefix = "res" if part == "conv" else "bn"
        return f"{prefix}{stage + 1}{block}_{branch}"


def _place(path: str) -> tuple[int, int, str, int]:
    """Of a block's part: stage from 1, block from 0, ``conv`` or ``bn``, number (shortcut 0)."""
    layer, index, part = path.split(".", 2)
    stage = int(layer.removeprefix("layer"))
    if part.startswith("downsample"):
        return stage, int(index), "conv" if part.endswith("0") else "bn", 0
    return stage, int(index), part[:-1], int(part[-1])
