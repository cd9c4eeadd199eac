"""Top images and statistics of units over many images beside a plain PyTorch forward loop.

``python -m tests.bench.streaming [--images N] [--classes N] [--json FILE]``. All images are in
memory on both sides; PyTorch runs in the memory layout in which it is faster here, and keeps
nothing.
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
from tests.bench.prepared import method
from tests.peers import torch_classic

TARGET = 1 / 1.15
BATCH = 16


def ours(images: np.ndarray, classes: int) -> Callable[[], object]:
    """Top images and histograms of eight units of each convolution, as by default.

    Args:
      classes: named for each unit; 0 leaves the run of the network back out.
    """
    overrides = [
        *("model=squeezenet1_0", "weights=random", f"engine.batch={BATCH}"),
        *("model.input.height=227", "model.input.width=227"),
        *("layers=kind:conv", "method.units.synthesis=null", f"method.units.classes={classes}"),
    ]
    return method("units", overrides, images)


def theirs(images: np.ndarray) -> Callable[[], object]:
    """The network's output alone."""
    network: nn.Module = torch_classic.filled("squeezenet1_0").float().eval()
    network = network.to(memory_format=torch.channels_last)
    mean = torch.tensor([123.0, 117.0, 104.0])[:, None, None]

    def run() -> None:
        with torch.no_grad():
            for start in range(0, len(images), BATCH):
                x = torch.from_numpy(images[start : start + BATCH]).permute(0, 3, 1, 2)
                network(x.float() - mean)

    return run


def main() -> None:
    """Measure, print a table, write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--classes", type=int, default=0, help="0: no run of the network back")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    shape = (arguments.images, 227, 227, 3)
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    head(f"SqueezeNet 1.0, {arguments.images} images of 227 × 227")
    row = measure(
        "units", ours(images, arguments.classes), theirs(images),
        against="PyTorch, forward pass alone", runs=arguments.runs, target=TARGET,
    )  # fmt: skip
    write(arguments.json, [row])


if __name__ == "__main__":
    main()
