"""What attribution methods are compared on: networks, inputs and noise that need no peer.

The small network is drawn as the classic ones are, under the names of its PyTorch twin.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax import nnx

from reportgen.core.spec import InputSpec
from tests.peers.classic import drawn, picture

# Network to the class that is explained. The classes of random weights mean nothing; these score.
TARGETS = {"small": 3, "squeezenet1_0": 5}
# Rules of integrated gradients that are compared: each is a program to compile.
RULES = {
    "small": (
        "gauss_legendre",
        "riemann_trapezoid",
        "riemann_left",
        "riemann_right",
        "riemann_middle",
    ),
    "squeezenet1_0": ("gauss_legendre", "riemann_trapezoid"),
}
SIZES = {"small": (24, 28), "squeezenet1_0": (95, 79)}
SAMPLES, STEPS = 4, 5
NOISE = 0.3  # its deviation, in normalised units
# Of LRP. Captum's also stands in its max pools, which share nothing out, and counts a mean where we
# count a sum: a small one shows the rule itself.
EPSILON = 1e-11
# Network to the layer of class activation, by our name and the peer's.
LAYERS = {"small": ("bn2", "bn2"), "squeezenet1_0": ("fire9", "features.12")}
# Name to the side of a covering square and how far it moves: side by side, overlapping, and over
# the whole height. The last squares are cut off where they reach over an edge.
OCCLUSIONS = {
    "small": {"occlusion": (9, 9), "occlusion_overlapping": (7, 3), "occlusion_large": (24, 4)},
    "squeezenet1_0": {"occlusion_overlapping": (40, 17)},
}
FILL = np.array([0.5, -0.25, 1.0])  # covers them
PARTS = 6  # perturbations of each kind, for infidelity


class Small(nnx.Module):
    """Convolution, batch norm, ReLU and pooling, twice over dense layers; 5 classes."""

    def __init__(self, *, rngs: nnx.Rngs) -> None:
        self.conv1 = nnx.Conv(3, 8, (3, 3), rngs=rngs)
        self.bn1 = nnx.BatchNorm(8, epsilon=1e-5, rngs=rngs)
        self.conv2 = nnx.Conv(8, 12, (3, 3), padding="VALID", rngs=rngs)
        self.bn2 = nnx.BatchNorm(12, epsilon=1e-5, rngs=rngs)
        self.fc1 = nnx.Linear(12 * 5 * 6, 16, rngs=rngs)
        self.fc2 = nnx.Linear(16, 5, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = nnx.max_pool(jax.nn.relu(self.bn1(self.conv1(x))), (2, 2), (2, 2))
        x = jax.nn.relu(self.bn2(self.conv2(x)))
        x = nnx.max_pool(x, (2, 2), (2, 2)).reshape(len(x), -1)
        return self.fc2(jax.nn.relu(self.fc1(x)))


SMALL_SPEC = InputSpec(
    height=24, width=28, channels=3, scale=1 / 255, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4)
)
_LEAVES = {"scale": "weight", "mean": "running_mean", "var": "running_var", "bias": "bias"}


def small_parameters(shapes: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Parameters of ``Small`` by our names, drawn under PyTorch's and in its layout."""
    made = {}
    for name, leaf in shapes.items():
        path, _, last = name.rpartition(".")
        if last != "kernel":
            made[name] = drawn(f"{path}.{_LEAVES[last]}", leaf.shape)
        elif path == "fc1":  # PyTorch flattens channels first
            tensor = drawn("fc1.weight", (16, 12 * 5 * 6)).reshape(16, 12, 5, 6)
            made[name] = tensor.transpose(2, 3, 1, 0).reshape(leaf.shape)
        else:
            tensor = drawn(f"{path}.weight", leaf.shape[:-3:-1] + leaf.shape[:-2])
            axes = (2, 3, 1, 0) if tensor.ndim == 4 else (1, 0)
            made[name] = tensor.transpose(axes)
    return made


def inputs(name: str, spec: InputSpec) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Input (1, H, W, 3), baseline of the same shape, and noise (SAMPLES, 1, H, W, 3)."""
    height, width = SIZES[name]
    rng = np.random.default_rng(height * width)
    x = spec.normalise(picture(height, width))
    start = spec.normalise(rng.uniform(0, 255, x.shape).astype(np.float32))
    return x, start, NOISE * rng.standard_normal((SAMPLES, *x.shape), np.float32)


def perturbations(name: str) -> tuple[np.ndarray, np.ndarray]:
    """A map (H, W) to test, and what part of each pixel is taken away (2, PARTS, H, W).

    First squares, then gaussian parts.
    """
    height, width = SIZES[name]
    rng = np.random.default_rng(3)
    squares = np.zeros((PARTS, height, width), np.float32)
    side = height // 3
    for part in squares:
        top, left = rng.integers(0, (height - side + 1, width - side + 1))
        part[top : top + side, left : left + side] = 1
    gaussian = 0.4 * rng.standard_normal(squares.shape, np.float32)
    heat = 0.02 * rng.standard_normal((height, width), np.float32)
    return heat, np.stack([squares, gaussian])
