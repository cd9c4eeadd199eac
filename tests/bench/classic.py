"""The classic job beside its peers: ``python -m tests.bench.classic [--json FILE]``.

VGG16, layer block5_conv1, pictures of 412 × 412 in 9 scales of 15 steps (Keras's
conv_filter_visualization.py), one filter at a time on the peers' side as the script does it, so
many as ``--units`` says on ours. Weights are drawn the same for all. ``--peer keras`` needs
TensorFlow (extra ``bench``); ``--side`` and ``--scales`` make the job smaller.

The last line compares what the job reaches with what one large convolution reaches on the same
device. On a GPU nothing is different: PyTorch and TensorFlow use it
where their builds can.
"""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from tests.bench.alternating import Measured, head, measure, write
from tests.bench.prepared import Prepared, composed, method, network

LAYER, STEPS, FACTOR = "block5_conv1", 15, 1.2
TARGET, TARGET_ON_GPU, TARGET_SHARE = 1.2, 20.0, 0.5
REPEATS = 40
CHANNELS = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512)

Weights = list[tuple[np.ndarray, np.ndarray]]


def drawn() -> Weights:
    """He-normal kernels (3, 3, I, O) and biases of zero up to the layer."""
    random, inputs, made = np.random.default_rng(0), 3, []
    for width in CHANNELS:
        if isinstance(width, int):
            kernel = random.normal(0, np.sqrt(2 / (9 * inputs)), (3, 3, inputs, width))
            made.append((kernel.astype(np.float32), np.zeros(width, np.float32)))
            inputs = width
    return made


def sides(side: int, scales: int) -> list[int]:
    """The sizes that are climbed, and the last one, which is not."""
    return [int(side / FACTOR**k) for k in range(scales, -1, -1)]


def standardised(pixels: np.ndarray) -> np.ndarray:
    """The script's deprocess_image, to bytes."""
    pixels = (pixels - pixels.mean()) / (pixels.std() + 1e-7) * 0.25 + 0.5
    return np.asarray(np.clip(pixels, 0, 1) * 255, np.uint8)


def ascent(climb: Callable[[np.ndarray, int], np.ndarray], side: int, scales: int) -> np.ndarray:
    """The script's loop over sizes; ``climb`` takes the steps at one (H, W, 3)."""
    sizes = sides(side, scales)
    start = np.random.default_rng(1).random((sizes[0], sizes[0], 3))
    pixels = ((start - 0.5) * 20 + 128).astype(np.float32)
    for size in sizes[1:]:
        pixels = climb(pixels, STEPS)
        mean, deviation = pixels.mean(), pixels.std()
        larger = Image.fromarray(standardised(pixels)).resize(
            (size, size), Image.Resampling.BICUBIC
        )
        pixels = (np.asarray(larger, np.float32) / 255 - 0.5) * 4 * deviation + mean
    return pixels


def ours(weights: Weights, side: int, scales: int, units: list[int], *more: str) -> Prepared:
    """The preset keras_seed, as the method filters runs it."""
    overrides = ["model=vgg16", "weights=random"]
    layers = network(composed(overrides)).layers
    paths = [layer.path for layer in layers if layer.kind == "conv"][: len(weights)]
    names = [f"{path}.{leaf}" for path in paths for leaf in ("kernel", "bias")]
    values = [part for pair in weights for part in pair]
    filters = {
        "preset": "keras_seed",
        "layers": f"[{paths[-1]}]",
        "units": str(units),
        "size": side,
        "scales": scales,
        "steps": STEPS,
        "step_size": 1.0,
        "factor": FACTOR,
    }
    keys = [f"method.filters.{name}={value}" for name, value in filters.items()]
    given = dict(zip(names, values, strict=True))
    return method("filters", [*overrides, *keys, *more], weights=given)


def keras(weights: Weights, side: int, scales: int, unit: int) -> Callable[[], object]:
    """The script on Keras and TensorFlow, its step in a tf.function."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras as k
    import tensorflow as tf

    layers: list[Any] = [k.Input((None, None, 3))]
    for width in CHANNELS:
        layers.append(
            k.layers.MaxPooling2D()
            if width == "M"
            else k.layers.Conv2D(width, 3, padding="same", activation="relu")
        )
    network = k.Sequential(layers)
    network.set_weights([part for pair in weights for part in pair])

    @tf.function(reduce_retracing=True)
    def step(pixels: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(pixels)
            loss = tf.reduce_mean(network(pixels)[..., unit])
        gradient = tape.gradient(loss, pixels)
        return pixels + gradient / (tf.sqrt(tf.reduce_mean(tf.square(gradient))) + 1e-7)

    def climb(pixels: np.ndarray, steps: int) -> np.ndarray:
        x = tf.constant(pixels[None])
        for _ in range(steps):
            x = step(x)
        return np.asarray(x[0])

    return lambda: ascent(climb, side, scales)


def pytorch(weights: Weights, side: int, scales: int, unit: int) -> Callable[[], object]:
    """The script on PyTorch, channels last."""
    import torch
    from torch import nn

    layers: list[nn.Module] = []
    rest, inputs = iter(weights), 3
    for width in CHANNELS:
        if width == "M":
            layers.append(nn.MaxPool2d(2))
            continue
        layer = nn.Conv2d(inputs, int(width), 3, padding=1)
        kernel, bias = next(rest)
        layer.weight.data = torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy())
        layer.bias.data = torch.from_numpy(bias)  # type: ignore[union-attr]
        layers += [layer, nn.ReLU(inplace=True)]
        inputs = int(width)
    network = nn.Sequential(*layers).eval().requires_grad_(requires_grad=False)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = network.to(device, memory_format=torch.channels_last)

    def climb(pixels: np.ndarray, steps: int) -> np.ndarray:
        x = torch.from_numpy(pixels[None]).to(device).permute(0, 3, 1, 2)
        for _ in range(steps):
            x = x.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(network(x)[:, unit].mean(), x)
            x = x + gradient / (gradient.square().mean().sqrt() + 1e-7)
        return x.detach()[0].permute(1, 2, 0).cpu().numpy()

    return lambda: ascent(climb, side, scales)


PEERS = {"keras": (keras, "Keras, TensorFlow"), "pytorch": (pytorch, "PyTorch, channels last")}


def flops(side: int, scales: int) -> float:
    """Of one filter: forward, and as much again for the derivative by the input."""
    total = 0.0
    for size in sides(side, scales)[:-1]:
        inputs = 3
        for width in CHANNELS:
            if isinstance(width, int):
                total += 2 * 2 * 9 * inputs * width * size * size
                inputs = width
            else:
                size //= 2
    return STEPS * total


def throughput(batch: int) -> Callable[[], object]:
    """A convolution of VGG16, 256 channels of 103 × 103, 40 times on what it made before.

    The derivative by the input is such a convolution, too.
    """

    @jax.jit
    def run(x: jax.Array, kernel: jax.Array) -> jax.Array:
        def once(_: int, x: jax.Array) -> jax.Array:
            y = jax.lax.conv_general_dilated(
                x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
            return y * 1e-3

        return jax.lax.fori_loop(0, REPEATS, once, x)

    dtype = jnp.float32 if jax.default_backend() == "cpu" else jnp.bfloat16
    x, kernel = jnp.ones((batch, 103, 103, 256), dtype), jnp.ones((3, 3, 256, 256), dtype)
    return lambda: run(x, kernel).block_until_ready()


def share(mine: Callable[[], object], units: int, job: tuple[int, int], runs: int) -> Measured:
    """How much of that throughput the job reaches: both for the same number of operations."""
    batch = 1 if jax.default_backend() == "cpu" else 32
    work = units * flops(*job) / (REPEATS * 2 * 9 * 256 * 256 * 103 * 103 * batch)
    return measure(
        "share of throughput", mine, throughput(batch), against="one convolution's operations",
        runs=runs, target=TARGET_SHARE, times=work,
    )  # fmt: skip


def main() -> None:
    """Measure, print a table, write JSON if asked."""
    on_cpu = jax.default_backend() == "cpu"
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--side", type=int, default=412)
    parser.add_argument("--scales", type=int, default=9)
    parser.add_argument("--units", type=int, default=1 if on_cpu else 64)
    parser.add_argument("--peer", nargs="*", choices=PEERS, default=list(PEERS))
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    weights, job, units = drawn(), (arguments.side, arguments.scales), arguments.units
    size = f"{job[0]} × {job[0]}, {job[1]} × {STEPS} steps"
    head(f"VGG16 {LAYER}, {size}, filters: {units}")
    mine = ours(weights, *job, list(range(7, 7 + units)))
    rows = [
        measure(
            "classic job", mine, PEERS[name][0](weights, *job, 7), against=PEERS[name][1],
            runs=arguments.runs, target=TARGET if on_cpu else TARGET_ON_GPU, times=units,
        )
        for name in arguments.peer
    ]  # fmt: skip
    rows.append(share(mine, units, job, arguments.runs))
    write(arguments.json, rows)


if __name__ == "__main__":
    main()
