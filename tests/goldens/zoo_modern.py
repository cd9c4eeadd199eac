"""Makes zoo_modern.npz: what ResNet, ConvNeXt and ViT compute in PyTorch and Keras.

Run it in the repository's root: ``python -m tests.goldens.zoo_modern``. The file was made with
PyTorch 2.13 and Keras 3.15.1 on JAX 0.10.2. Weights are made by NumPy from a seed, so that no
weights need to be kept: ``seeded`` makes them in Flax's names and layouts, ``tests.peers`` brings
them over.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from hydra import compose, initialize_config_dir

from reportgen.compose import conf_dir
from reportgen.config import read
from reportgen.models.load import Network, open_network

PATH = Path(__file__).with_suffix(".npz")
SAMPLES, LOGITS = 200, 20
# Networks that are as deep and wide as it takes to have every kind of layer: what they are made of.
NARROW: dict[str, tuple[str, ...]] = {
    "convnext_narrow": (
        "convnext_tiny",
        "model.kwargs.depths=[1,1,2,1]",
        "model.kwargs.widths=[8,16,24,32]",
        "+model.kwargs.classes=10",
        "model.input.height=64",
        "model.input.width=64",
    ),
    "vit_narrow": (
        "vit_b16",
        "model.kwargs={image:32,patch:8,width:24,depth:2,heads:3,hidden:40}",
        "+model.kwargs.classes=10",
        "model.input.height=32",
        "model.input.width=32",
    ),
}
_RESNET = ("maxpool", "layer2.0", "layer3.1.bn2", "layer4.0.downsample.1")
# Network to the layers whose output is kept.
LAYERS: dict[str, tuple[str, ...]] = {
    "resnet18": _RESNET,
    "resnet34": _RESNET,
    "resnet50": _RESNET,
    "resnet101": _RESNET,
    "resnet152": _RESNET,
    "resnet50_caffe": _RESNET,
    "resnet50_keras": _RESNET,
    "resnet101_keras": _RESNET,
    "resnet152_keras": _RESNET,
    "convnext_tiny": (
        "stages.0",
        "stages.1.downsample.1",
        "stages.2.blocks.4.mlp.act",
        "stages.3.blocks.2",
    ),
    "convnext_narrow": (
        "stages.0",
        "stages.1.downsample.1",
        "stages.2.blocks.1.mlp.act",
        "stages.3.blocks.0",
    ),
    "vit_b16": ("blocks.0", "blocks.5.attn.weights", "blocks.7.mlp.act", "norm"),
    "vit_narrow": ("blocks.0", "blocks.1.attn.weights", "blocks.1.mlp.act", "norm"),
}


# Weights made small where a first norm follows, so that its epsilon counts: with variances near one
# nobody would see a wrong one.
_FAINT = {
    "bn1.var": 1e-5,
    "bn1.scale": 3e-3,
    "stem.0.kernel": 1e-3,
    "stem.0.bias": 1e-3,
    "patch_embed.proj.kernel": 1e-3,
    "patch_embed.proj.bias": 1e-3,
    "cls_token": 1e-3,
    "pos_embed": 1e-3,
}


@dataclass(frozen=True)
class Case:
    """A network of ``conf/model`` with seeded weights and an input."""

    name: str
    network: Network
    x: np.ndarray

    def parameters(self) -> dict[str, np.ndarray]:
        """Dotted name to array, in Flax's layout."""
        return seeded(self.network.adapted.shapes)

    @property
    def published(self) -> dict[str, dict[str, str]]:
        """Scheme to our paths to the source's names."""
        return self.network.adapted.network.published()

    @property
    def scheme(self) -> str:
        """That of the peer."""
        suffix = self.name.rpartition("_")[2]
        return suffix if suffix in ("keras", "caffe") else "torchvision"

    def count(self) -> int:
        """Parameters without the statistics of batch norms."""
        shapes = self.network.adapted.shapes
        sizes = {name: math.prod(given.shape) for name, given in shapes.items()}
        return sum(n for name, n in sizes.items() if not name.endswith((".mean", ".var")))


@cache
def case(name: str, *overrides: str) -> Case:
    """A network by its name; nothing large is made before it is asked for."""
    model, *own = NARROW.get(name, (name,))
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = read(compose("config", [f"model={model}", "weights=random", *own, *overrides]))
    return Case(name, open_network(config), picture(config.model.input.shape))


def seeded(shapes: Mapping[str, Any], seed: int = 1) -> dict[str, np.ndarray]:
    """Weights that let signals through, drawn in the alphabetical order of the names.

    Args:
      shapes: dotted name to anything with a ``shape``.
    """
    rng = np.random.default_rng(seed)

    def draw(leaf: str, shape: tuple[int, ...]) -> np.ndarray:
        if leaf in ("scale", "var", "gamma"):
            return rng.random(shape, np.float32) + np.float32(0.5)
        normal = rng.standard_normal(shape, np.float32)
        if leaf == "kernel":
            return normal / np.float32(math.sqrt(math.prod(shape[:-1])))
        return normal * np.float32(0.2)

    drawn = {name: draw(name.rpartition(".")[2], shapes[name].shape) for name in sorted(shapes)}
    return {name: array * np.float32(_FAINT.get(name, 1)) for name, array in drawn.items()}


def picture(shape: tuple[int, ...], seed: int = 2) -> np.ndarray:
    """A normalised input (1, H, W, C): coarse noise, so that pixels depend on their neighbours."""
    height, width, channels = shape
    rng = np.random.default_rng(seed)
    coarse = rng.standard_normal((-(-height // 8), -(-width // 8), channels), np.float32)
    fine = rng.standard_normal(shape, np.float32)
    return (coarse.repeat(8, axis=0).repeat(8, axis=1)[:height, :width] + fine / 2)[None]


def sampled(output: np.ndarray) -> np.ndarray:
    """The same few values of a layer's output on every call."""
    return output.ravel()[np.random.default_rng(3).integers(0, output.size, SAMPLES)]


def torch_outputs(case: Case) -> dict[str, np.ndarray]:
    """Logits (under "") and the kept layers by our path, channels last."""
    import torch

    from tests.peers import torch_modern

    names = case.published[case.scheme]
    if case.scheme == "caffe":  # the peer is in PyTorch, with the names of the other ResNets
        names = {path: path for path in names}
    network = torch_modern.fill(getattr(torch_modern, case.name)(), case.parameters(), names)
    outputs: dict[str, np.ndarray] = {}

    def keep(path: str, last: bool) -> Any:
        def hook(_: Any, __: Any, output: torch.Tensor) -> None:
            moved = output.movedim(1, -1) if output.ndim == 4 and not last else output
            outputs[path] = moved.numpy()

        return hook

    for path in LAYERS[case.name]:
        last = case.name.startswith("vit") or path.endswith("mlp.act")
        place = TORCH_PLACES.get(path, path)
        network.get_submodule(place).register_forward_hook(keep(path, last))
    with torch.no_grad():
        outputs[""] = network(torch.from_numpy(case.x).movedim(-1, 1)).numpy()
    for path in outputs:
        if path.endswith("attn.weights"):
            outputs[path] = network.get_submodule(TORCH_PLACES[path]).attention.numpy()
    return outputs


# Where torchvision's name of a layer is another than ours.
TORCH_PLACES = {
    "stages.0": "features.1",
    "stages.1.downsample.1": "features.2.1",
    "stages.2.blocks.4.mlp.act": "features.5.4.block.4",
    "stages.2.blocks.1.mlp.act": "features.5.1.block.4",
    "stages.3.blocks.2": "features.7.2",
    "stages.3.blocks.0": "features.7.0",
    "blocks.0": "encoder.layers.encoder_layer_0",
    "blocks.5.attn.weights": "encoder.layers.encoder_layer_5",
    "blocks.1.attn.weights": "encoder.layers.encoder_layer_1",
    "blocks.7.mlp.act": "encoder.layers.encoder_layer_7.mlp.1",
    "blocks.1.mlp.act": "encoder.layers.encoder_layer_1.mlp.1",
    "norm": "encoder.ln",
}
KERAS_PLACES = {
    "maxpool": "pool1_pool",
    "layer2.0": "conv3_block1_out",
    "layer3.1.bn2": "conv4_block2_2_bn",
    "layer4.0.downsample.1": "conv5_block1_0_bn",
}


def keras_outputs(case: Case) -> dict[str, np.ndarray]:
    """The same by keras.applications; every weight of the network must be given."""
    os.environ.setdefault("KERAS_BACKEND", "jax")
    import keras

    make = getattr(keras.applications, case.name.removesuffix("_keras").replace("resnet", "ResNet"))
    network = make(weights=None, classifier_activation=None)
    order = ("kernel", "scale", "bias", "mean", "var")
    parameters = case.parameters()
    given = {theirs: ours for ours, theirs in case.published[case.scheme].items()}
    for layer in network.layers:
        if layer.weights:
            own = given.pop(layer.name)
            values = [parameters.get(f"{own}.{leaf}") for leaf in order]
            layer.set_weights([value for value in values if value is not None])
    assert not given
    places = {path: network.get_layer(KERAS_PLACES[path]).output for path in LAYERS[case.name]}
    values = keras.Model(network.input, [*places.values(), network.output]).predict(
        case.x, verbose=0
    )
    return {path: np.asarray(v) for path, v in zip((*places, ""), values, strict=True)}


def main() -> None:
    kept = {}
    for name in LAYERS:
        given = case(name)
        outputs = (keras_outputs if given.scheme == "keras" else torch_outputs)(given)
        kept[f"{name}/"] = outputs.pop("")[0, :LOGITS]
        kept |= {f"{name}/{path}": sampled(output) for path, output in outputs.items()}
    np.savez_compressed(PATH, **kept)


if __name__ == "__main__":
    main()
