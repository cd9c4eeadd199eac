"""A small seeded network for class activation, as arrays: what its peers and ours are made of.

conv1 3×3 same, ReLU, max-pool 2×2, conv2 3×3 same, ReLU, flatten, dense1, ReLU, dense2. Kernels are
HWIO, dense ones (in, out) behind a flattened map whose channels come last.
"""

from __future__ import annotations

import numpy as np

SIZE, CHANNELS, CLASSES = 12, 2, 5
TARGETS = (3, 0, 4)

_SHAPES = {
    "conv1": (3, 3, CHANNELS, 6),
    "conv2": (3, 3, 6, 8),
    "dense1": (6 * 6 * 8, 10),
    "dense2": (10, CLASSES),
}


def weights() -> dict[str, np.ndarray]:
    """Kernel and bias of each layer by dotted name."""
    rng = np.random.default_rng(11)
    made = {}
    for name, shape in _SHAPES.items():
        scale = np.sqrt(2 / np.prod(shape[:-1]))
        made[f"{name}.kernel"] = rng.normal(0, scale, shape).astype(np.float32)
        made[f"{name}.bias"] = rng.normal(0, 0.2, shape[-1]).astype(np.float32)
    return made


def images() -> np.ndarray:
    """(3, 12, 12, 2), about −2 to 2."""
    rng = np.random.default_rng(12)
    return rng.normal(size=(len(TARGETS), SIZE, SIZE, CHANNELS)).astype(np.float32)
