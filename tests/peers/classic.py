"""Weights and pictures for the classic networks without their peers, and where peers keep a layer.

Every tensor is drawn under its published name and in the layout of its source (PyTorch's and
Caffe's: OIHW), from a generator of its own that is seeded with the name. So a source and a network
get equal weights only if the network says rightly what its layers are called there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np
from flax import nnx

from reportgen.models.zoo.alexnet import AlexNet
from reportgen.models.zoo.caffenet import CaffeNet
from reportgen.models.zoo.googlenet import GoogLeNet
from reportgen.models.zoo.googlenet_bn import GoogLeNetBN
from reportgen.models.zoo.squeezenet import SqueezeNet10, SqueezeNet11
from reportgen.models.zoo.vgg import VGG16, VGG19

NETWORKS = {
    "caffenet": CaffeNet,
    "alexnet": AlexNet,
    "vgg16": VGG16,
    "vgg19": VGG19,
    "googlenet": GoogLeNet,
    "googlenet_bn": GoogLeNetBN,
    "squeezenet1_0": SqueezeNet10,
    "squeezenet1_1": SqueezeNet11,
}
# Network to the scheme of names that its peer has.
SCHEMES = {
    "caffenet": "caffe",
    "alexnet": "torchvision",
    "vgg16": "torchvision",
    "vgg19": "torchvision",
    "googlenet": "caffe",
    "googlenet_bn": "torchvision",
    "squeezenet1_0": "torchvision",
    "squeezenet1_1": "torchvision",
}
# Network to layers of ours, and the peer's module (a rectifier's, where ours is rectified in place)
# that has the same output.
PLACES = {
    "caffenet": {"norm1": "norm1", "conv4": "relu4", "fc6": "relu6"},
    "alexnet": {"pool1": "features.2", "conv3": "features.7", "fc7": "classifier.5"},
    "vgg16": {"block2_conv2": "features.8", "block5_pool": "features.30", "fc1": "classifier.1"},
    "vgg19": {"block3_conv4": "features.17", "block5_conv1": "features.29", "fc2": "classifier.4"},
    "googlenet": {
        "conv2.norm2": "conv2/norm2",
        "inception_4b.5x5": "inception_4b/relu_5x5",
        "pool4.3x3_s2": "pool4/3x3_s2",
    },
    "googlenet_bn": {
        "maxpool2": "maxpool2",
        "inception4c.branch3.1.bn": "inception4c.branch3.1.bn",
        "inception5a": "inception5a",
    },
    "squeezenet1_0": {
        "pool4": "features.6",
        "fire6.expand3x3": "features.8.expand3x3_activation",
        "conv10": "classifier.2",
    },
    "squeezenet1_1": {
        "fire4.squeeze1x1": "features.6.squeeze_activation",
        "pool5": "features.8",
        "fire9": "features.12",
    },
}
_LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}


def drawn(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A tensor of a source: kernels such that signals neither vanish nor explode."""
    rng = np.random.default_rng(list(name.encode()))
    leaf = name.rpartition(".")[2]
    if leaf == "running_var" or (leaf == "weight" and len(shape) == 1):
        return rng.random(shape, np.float32) + np.float32(0.5)
    scale = math.sqrt(2 / math.prod(shape[1:])) if leaf == "weight" else 0.3
    values = rng.standard_normal(shape, np.float32)
    values *= np.float32(scale)
    return values


@cache
def described(name: str) -> Any:
    """A network of ours without weights, to ask it what its layers are called elsewhere."""
    return nnx.eval_shape(lambda: NETWORKS[name](rngs=nnx.Rngs(0)))


def carried(
    name: str, shapes: Mapping[str, Any]
) -> Iterator[tuple[str, np.ndarray, str, np.ndarray]]:
    """Every parameter as the source's name and tensor, our name and the same in our layout.

    Args:
      name: of the network.
      shapes: dotted name of our parameters to anything with a ``shape``.
    """
    network = described(name)
    published, flattened = network.published()[SCHEMES[name]], network.flattened()
    for ours in sorted(shapes):
        path, _, leaf = ours.rpartition(".")
        theirs = f"{published[path]}.{_LEAVES[leaf]}"
        shape = tuple(shapes[ours].shape)
        if len(shape) == 4:
            height, width, inputs, outputs = shape
            tensor = drawn(theirs, (outputs, inputs, height, width))
            yield theirs, tensor, ours, tensor.transpose(2, 3, 1, 0)
        elif len(shape) == 2:
            tensor = drawn(theirs, shape[::-1])
            height, width, channels = flattened.get(path, (1, 1, shape[0]))
            maps = tensor.reshape(shape[1], channels, height, width)
            yield theirs, tensor, ours, maps.transpose(2, 3, 1, 0).reshape(shape)
        else:
            tensor = drawn(theirs, shape)
            yield theirs, tensor, ours, tensor


def picture(height: int, width: int) -> np.ndarray:
    """Pixels (1, H, W, 3), 0..255: coarse noise under fine noise."""
    rng = np.random.default_rng(5)
    coarse = rng.random((-(-height // 8), -(-width // 8), 3)).repeat(8, axis=0).repeat(8, axis=1)
    fine = rng.random((height, width, 3))
    return np.floor(128 * (coarse[:height, :width] + fine)).astype(np.float32)[None]


def sampled(values: Any) -> np.ndarray:
    """300 values of an output (channels last) at places that follow from its size."""
    flat = np.asarray(values).reshape(-1)
    return flat[np.random.default_rng(flat.size).integers(flat.size, size=300)]
