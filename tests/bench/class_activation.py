"""Class activation maps of SqueezeNet beside tf-keras-vis and pytorch-grad-cam.

``python -m tests.bench.class_activation [--json FILE]``, where tf-keras-vis (without its package
``tests``, which would stand before ours) and the sources of pytorch-grad-cam are on the path, as
for the goldens. Both leave their maps at the layer's size here; ours are enlarged to the image's.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from tests.bench.alternating import head, measure, write
from tests.bench.attribution import TARGET, Jobs, ours
from tests.goldens import class_activation_keras as keras
from tests.goldens import class_activation_torch as pytorch
from tests.peers import torch_classic

CHANNELS = 24
METHODS = {
    "gradcam": ["layer=fire9"],
    "gradcam_plus_plus": ["layer=fire9"],
    "layercam": ["layer=fire9"],
    "scorecam": ["layer=fire9", f"channels={CHANNELS}"],
    "hirescam": ["layer=fire9"],
    "eigencam": ["layer=fire9"],
}


def tf_keras_vis(x: np.ndarray) -> Jobs:
    """Its jobs by method."""
    model, score = keras.squeezenet(), keras.CategoricalScore([0] * len(x))
    raw = {"expand_cam": False, "normalize_cam": False, "seek_penultimate_conv_layer": False}

    def job(method: Callable[..., object], **more: int) -> Callable[[], object]:
        made = method(model, clone=False)
        return lambda: made(score, x, penultimate_layer="fire9", **raw, **more)  # type: ignore[operator]

    return {
        "gradcam": job(keras.Gradcam),
        "gradcam_plus_plus": job(keras.GradcamPlusPlus),
        "layercam": job(keras.Layercam),
        "scorecam": job(keras.Scorecam, max_N=CHANNELS),
    }


def pytorch_grad_cam(inputs: np.ndarray) -> Jobs:
    """Its jobs by method."""
    pytorch.library()
    target = pytorch.method("utils.model_targets", "ClassifierOutputTarget")(0)
    module: nn.Module = torch_classic.filled("squeezenet1_0").float().eval()
    module = module.to(memory_format=torch.channels_last)
    x = torch.from_numpy(inputs).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
    layer = module.get_submodule("features.12")

    def job(file: str, name: str) -> Callable[[], object]:
        made = pytorch.method(file, name)(module, [layer])
        return lambda: made(x, [target] * len(x))

    return {"hirescam": job("hirescam", "HiResCAM"), "eigencam": job("eigen_cam", "EigenCAM")}


def main() -> None:
    """Measure, print a table, write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    mine, x = ours(METHODS, arguments.images)
    peers = {"tf-keras-vis": tf_keras_vis(x), "pytorch-grad-cam": pytorch_grad_cam(x)}
    head(f"SqueezeNet 1.0, {arguments.images} images of 227 × 227")
    rows = [
        measure(name, mine[name], job, against=peer, runs=arguments.runs, target=TARGET)
        for peer, jobs in peers.items()
        for name, job in jobs.items()
    ]
    write(arguments.json, rows)


if __name__ == "__main__":
    main()
