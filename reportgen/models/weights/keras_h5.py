"""Keras's legacy .h5: weights, or a whole saved model, as keras.applications publishes them.

Each layer is a group of its own name that lists its weights; the names of weights changed over the
years (``block1_conv1_W_1:0``, ``block1_conv1/kernel:0``, ``vgg16/block1_conv1/kernel``).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from reportgen.core.errors import WeightsError
from reportgen.models.weights.checkpoint import Checkpoint, Tensor
from reportgen.models.weights.hdf5 import child, opened, tensor, text

# Keras 1 called a variance running_std; what it stored is the variance.
_OLD = {"W": "kernel", "b": "bias", "running_mean": "moving_mean", "running_std": "moving_variance"}


def is_legacy(file: Any) -> bool:
    """True if an open HDF5 file lists layers in attributes, which no other layout does."""
    return "model_weights" in file or bool(_listed(file, "layer_names"))


def read(path: Path) -> Checkpoint:
    """The weights by layer and variable (``block1_conv1.kernel``); the optimiser's are left aside.

    Raises:
      WeightsError: if the file is damaged.
    """
    tensors: dict[str, Tensor] = {}
    with opened(path, lambda: path) as file:
        whole = "model_weights" in file
        root = child(file, "model_weights") if whole else file
        for layer in [*_listed(root, "layer_names"), "top_level_model_weights"]:
            if layer not in root:
                continue
            group = child(root, layer)
            for weight in _listed(group, "weight_names"):
                name = _dotted(layer, weight)
                if name in tensors:
                    name = f"{layer}.{name}"
                if name in tensors:
                    raise WeightsError(f"{path} holds {name} twice.")
                tensors[name] = tensor(path, lambda: path, child(group, weight))
    kind = "whole model" if whole else "weights"
    return Checkpoint(f"Keras .h5 (legacy, {kind})", tensors)


def _listed(group: Any, name: str) -> list[str]:
    """Names in an attribute, which Keras splits in numbered parts where it is too long for HDF5."""
    if name in group.attrs:
        return [text(value) for value in group.attrs[name]]
    names: list[str] = []
    part = 0
    while f"{name}{part}" in group.attrs:
        names += [text(value) for value in group.attrs[f"{name}{part}"]]
        part += 1
    return names


def _dotted(layer: str, weight: str) -> str:
    """``block1_conv1`` and ``block1_conv1_W_1:0`` to ``block1_conv1.kernel``."""
    folder, _, leaf = weight.rpartition("/")
    leaf = re.sub(r":\d+$", "", leaf)
    # A weight of a nested model or of a layer within a layer stands in a folder of another name.
    own = not folder or re.sub(r"_\d+$", "", folder.rpartition("/")[2]) in (
        layer,
        re.sub(r"_\d+$", "", layer),
    )
    module = layer if own else folder
    last = module.rpartition("/")[2]
    if leaf.startswith(f"{last}_"):
        leaf = re.sub(r"_\d+$", "", leaf.removeprefix(f"{last}_"))
    return f"{module}.{_OLD.get(leaf, leaf)}".replace("/", ".")
