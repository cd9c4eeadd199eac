"""Makes class_activation_torch.npz: maps of pytorch-grad-cam, for tests of class activation.

Run it in the root where torch and the sources of pytorch-grad-cam are on the path:
``python -m tests.goldens.class_activation_torch``. It was made with grad-cam 1.5.7 and PyTorch
2.13. What that imports and does not use here is left out. The maps are those before
enlarging and scaling to 0..1; Eigen-CAM's are before the ReLU too, since their sign is by chance.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import torch
from torch import nn

from tests.peers import small, torch_classic
from tests.peers.classic import picture

SQUEEZENET = (227, 7)  # side of the input, class


def library() -> Any:
    """pytorch-grad-cam without its package's own imports, which need much that is unused."""
    for name in ("cv2", "ttach", "torchvision", "torchvision.transforms", "tqdm"):
        sys.modules.setdefault(name, MagicMock())
    sys.modules["tqdm"].tqdm = lambda values: values  # type: ignore[attr-defined]
    folder = next(p for p in map(Path, sys.path) if (p / "pytorch_grad_cam").is_dir())
    package = ModuleType("pytorch_grad_cam")
    package.__path__ = [str(folder / "pytorch_grad_cam")]
    sys.modules["pytorch_grad_cam"] = package
    base = importlib.import_module("pytorch_grad_cam.base_cam")
    base.scale_cam_image = lambda maps, size=None: maps
    return package


def method(module: str, name: str) -> Any:
    return getattr(importlib.import_module(f"pytorch_grad_cam.{module}"), name)


def network() -> nn.Module:
    """The small network, with dense1's rows in the order of channels first."""
    made = nn.Sequential(
        nn.Conv2d(small.CHANNELS, 6, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(288, 10),
        nn.ReLU(),
        nn.Linear(10, small.CLASSES),
    )
    values = small.weights()
    with torch.no_grad():
        for place, name in ((0, "conv1"), (3, "conv2"), (6, "dense1"), (8, "dense2")):
            kernel = values[f"{name}.kernel"]
            if name == "dense1":
                kernel = kernel.reshape(6, 6, 8, 10).transpose(2, 0, 1, 3).reshape(288, 10)
            ordered = kernel.transpose(3, 2, 0, 1) if kernel.ndim == 4 else kernel.T
            made[place].weight.copy_(torch.from_numpy(ordered.copy()))
            made[place].bias.copy_(torch.from_numpy(values[f"{name}.bias"]))
    return made.eval()


def main() -> None:
    library()
    target = method("utils.model_targets", "ClassifierOutputTarget")
    side, index = SQUEEZENET
    squeezenet = torch_classic.filled("squeezenet1_0")
    tanh = np.tanh(picture(side, side) / 128 - 1).astype(np.float32)  # of either sign, near one
    inputs = {
        "small": (network(), small.images(), small.TARGETS, 4),
        "squeezenet": (squeezenet, tanh, (index,), "features.12"),
    }
    made = {}
    for name, (model, images, classes, place) in inputs.items():
        x = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
        targets = [target(index) for index in classes]
        layer = model.get_submodule(str(place))
        for module, title in (
            ("grad_cam", "GradCAM"),
            ("grad_cam_plusplus", "GradCAMPlusPlus"),
            ("hirescam", "HiResCAM"),
            ("layer_cam", "LayerCAM"),
        ):
            maps = method(module, title)(model, [layer])(x, targets)
            made[f"{name}/{module}"] = np.asarray(maps, np.float32)
        eigen = method("eigen_cam", "EigenCAM")(model, [layer])
        eigen(x, targets)
        (activation,) = eigen.activations_and_grads.activations
        made[f"{name}/eigen_cam"] = eigen.get_cam_image(
            x, layer, targets, activation.numpy(), None, False
        )
    model, images, classes, _ = inputs["small"]
    x = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    # At the size of the input, where masks need not be enlarged.
    score = method("score_cam", "ScoreCAM")(model, [model[1]])
    made["small/score_cam"] = np.asarray(score(x, [target(i) for i in classes]), np.float32)
    np.savez_compressed(Path(__file__).with_suffix(".npz"), **made)


if __name__ == "__main__":
    main()
