"""Trains the embedded networks on handwritten digits: ``python -m reportgen.embedded.train``.

Needs the extra ``train`` (scikit-learn, for the images). The same seed on the same kind of machine
gives the same files; elsewhere rounding may differ in the last bits.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from PIL import Image
from safetensors.numpy import save_file

from reportgen.embedded import FOLDER
from reportgen.models import nnx as adapter
from reportgen.models.zoo.digits_cnn import DigitsCNN
from reportgen.models.zoo.lenet import LeNet

SEED = 0
HELD_OUT = 200
EPOCHS = 30
BATCH = 64
NETWORKS: dict[str, tuple[type[nnx.Module], float]] = {
    "lenet": (LeNet, 1 / 256),  # the scale of Caffe's lenet_train_test.prototxt
    "digits_cnn": (DigitsCNN, 1 / 255),
}


def load_digits() -> tuple[np.ndarray, np.ndarray]:
    """All 1,797 digits: (N, 28, 28, 1) uint8 and their labels (N,)."""
    from sklearn.datasets import load_digits as read

    small, labels = read(return_X_y=True)
    pixels = np.rint(small.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    large = [
        np.asarray(Image.fromarray(image).resize((28, 28), Image.Resampling.BICUBIC))
        for image in pixels
    ]
    return np.stack(large)[..., None], labels.astype(np.int32)


def split(labels: np.ndarray, held_out: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices to train on and to hold out, the latter with every class in equal number."""
    rng = np.random.default_rng(seed)
    classes = np.unique(labels)
    each = held_out // len(classes)
    chosen = [rng.permutation(np.flatnonzero(labels == label))[:each] for label in classes]
    test = rng.permutation(np.concatenate(chosen))
    return np.setdiff1d(np.arange(len(labels)), test), test


def _batches(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> Iterator[Any]:
    """One epoch in random order, each image shifted by up to one pixel."""
    order = rng.permutation(len(x))
    for start in range(0, len(x) - BATCH + 1, BATCH):
        part = order[start : start + BATCH]
        padded = np.pad(x[part], ((0, 0), (1, 1), (1, 1), (0, 0)))
        shifts = rng.integers(0, 3, (BATCH, 2))
        moved = [
            image[a : a + 28, b : b + 28] for image, (a, b) in zip(padded, shifts, strict=True)
        ]
        yield np.stack(moved), y[part]


def build(name: str, seed: int | None = SEED) -> nnx.Module:
    """An untrained network; without a seed, for its shapes alone."""
    return NETWORKS[name][0](rngs=nnx.Rngs(seed or 0))  # type: ignore[call-arg]


def train(name: str, x: np.ndarray, y: np.ndarray, epochs: int = EPOCHS) -> nnx.Module:
    """A trained network: Adam with a cosine schedule and weight decay; pixels (N, 28, 28, 1)."""
    scale = NETWORKS[name][1]
    model = build(name)
    steps = epochs * (len(x) // BATCH)
    rate = optax.cosine_decay_schedule(1e-3, steps)
    optimizer = nnx.Optimizer(model, optax.adamw(rate, weight_decay=1e-3), wrt=nnx.Param)

    @nnx.jit
    def step(model: Any, optimizer: Any, images: jax.Array, labels: jax.Array) -> jax.Array:
        def loss(model: Any) -> jax.Array:
            logits = model(images * scale)
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

        value, gradient = nnx.value_and_grad(loss)(model)
        optimizer.update(model, gradient)
        return value

    rng = np.random.default_rng(SEED)
    for _ in range(epochs):
        for images, labels in _batches(rng, x.astype(np.float32), y):
            step(model, optimizer, jnp.asarray(images), jnp.asarray(labels))
    return model


def main() -> None:
    """Train, print the held-out accuracy of the rounded weights, write the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=FOLDER)
    parser.add_argument("--network", choices=list(NETWORKS), action="append")
    arguments = parser.parse_args()
    pixels, labels = load_digits()
    train_set, test_set = split(labels, HELD_OUT, SEED)
    test_x, test_y = pixels[test_set], labels[test_set]
    np.savez_compressed(
        arguments.out / "digits.npz", pixels=test_x, labels=test_y, indices=test_set
    )
    for name in arguments.network or NETWORKS:
        model = train(name, pixels[train_set], labels[train_set])
        adapted = adapter.adapt(partial(build, name))
        trained = adapter.parameters_of(model)
        rounded = {key: np.asarray(value, np.float16) for key, value in trained.items()}
        weights = {key: jnp.asarray(rounded[key], value.dtype) for key, value in trained.items()}
        scores = adapted.program(weights, jnp.asarray(test_x * np.float32(NETWORKS[name][1])))
        accuracy = float((np.argmax(scores, -1) == test_y).mean())
        path = arguments.out / f"{name}.safetensors"
        save_file(rounded, path, {"seed": str(SEED), "held_out_accuracy": f"{accuracy:.4f}"})
        path.chmod(0o644)
        count = sum(value.size for value in rounded.values())
        print(f"{name}: {count:,} parameters, held-out accuracy {accuracy:.4f}, {path.name}")


if __name__ == "__main__":
    main()
