"""Times networks on a CPU, plain and lowered: ``python -m tests.bench.lowerings [--json FILE]``.

Beside them runs PyTorch, channels last, where the tests have its plain module. All take turns in
one process, and medians count, so ratios hold on a busy machine too; processor time is told beside
the wall clock. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # PyTorch's threads wait for shared cores
os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import jax.numpy as jnp
import numpy as np
from hydra import compose, initialize_config_dir

from reportgen.compose import conf_dir
from reportgen.config import read
from reportgen.models.base import Model
from reportgen.models.load import open_network
from tests.bench.alternating import machine

Run = Callable[[], Any]


def forward(model: Model, x: jax.Array) -> jax.Array:
    """Scores."""
    return model.apply(x)[0]


def gradient(model: Model, x: jax.Array) -> jax.Array:
    """Derivative of the highest score by the input."""
    return jax.grad(lambda x: model.apply(x)[0].max(axis=-1).sum())(x)


def loop(model: Model, x: jax.Array) -> jax.Array:
    """Three gradients in a loop, as integrated gradients and SmoothGrad take them."""
    total, _ = jax.lax.scan(
        lambda total, _: (total + gradient(model, x + 1e-3 * total), None),
        jnp.zeros_like(x),
        None,
        length=3,
    )
    return total


def ascent(model: Model, x: jax.Array) -> jax.Array:
    """Derivative of a unit of block5_conv1's mean by the input."""
    return jax.grad(lambda x: model.activation("block5_conv1", x)[..., 7].mean())(x)


class Job(NamedTuple):
    """What is timed.

    Attributes:
      peer: file in ``tests/peers`` that has the network in PyTorch; empty for none.
      side: of the images; 0 for the network's own.
    """

    network: str
    function: Callable[..., Any]
    batch: int
    peer: str = ""
    side: int = 0


JOBS = [
    *(
        Job("squeezenet1_0", function, batch, "torch_classic", 227)
        for function in (forward, gradient)
        for batch in (1, 4, 8)
    ),
    Job("squeezenet1_0", loop, 4, "", 227),
    Job("vgg16", ascent, 1, "torch_classic", 412),
    *(
        Job(name, function, 1, "torch_modern")
        for name in ("resnet50", "convnext_tiny", "vit_b16")
        for function in (forward, gradient)
    ),
    Job("resnet50", gradient, 4, "torch_modern"),
    Job("resnet50", loop, 1),
    *(
        Job(name, function, 1)
        for name in ("MobileNetV2", "EfficientNetB0")
        for function in (forward, gradient, loop)
    ),
]


def opened(job: Job) -> Model:
    """The network, plain, with weights that keep its values in range."""
    keras = [
        "model=custom",
        f"model.factory=keras.applications:{job.network}",
        "+model.kwargs.weights=null",
        *(f"model.input.{axis}=224" for axis in ("height", "width")),
        "model.input.channels=3",
        f"model.name={job.network}",
    ]
    sides = [f"model.input.{axis}={job.side}" for axis in ("height", "width")]
    sides = sides if job.side and job.function is not ascent else []  # which ends before fc1
    own = keras if job.network[0].isupper() else [f"model={job.network}", *sides]
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        network = open_network(read(compose("config", [*own, "weights=random"])))
    random = np.random.default_rng(0)
    weights = {}
    for name, leaf in network.adapted.shapes.items():
        if len(leaf.shape) > 1:
            values = random.normal(0, (2 / np.prod(leaf.shape[:-1])) ** 0.5, leaf.shape)
        else:
            values = np.full(leaf.shape, float("bias" not in name and "beta" not in name))
        weights[name] = jnp.asarray(values, leaf.dtype)
    return network.with_weights(weights)


def compiled(function: Callable[..., Any], model: Model, x: jax.Array) -> tuple[Run, float]:
    """A function that waits for its result, and the seconds it took to compile."""
    began = time.perf_counter()
    program = jax.jit(function).lower(model, x).compile()
    return lambda: jax.block_until_ready(program(model, x)), time.perf_counter() - began


def in_torch(job: Job, x: np.ndarray) -> Run:
    """The same in PyTorch, whose weights need not be the same to take as long."""
    import torch

    torch.set_num_threads(os.cpu_count() or 1)
    network = getattr(import_module(f"tests.peers.{job.peer}"), job.network)().eval()
    if job.function is ascent:
        network = network.features[:25]  # up to the first convolution of the fifth block
    network = network.to(memory_format=torch.channels_last).requires_grad_(False)
    images = torch.from_numpy(x.transpose(0, 3, 1, 2).copy())
    images = images.contiguous(memory_format=torch.channels_last)

    def run() -> Any:
        if job.function is forward:
            with torch.no_grad():
                return network(images)
        leaf = images.clone().requires_grad_()
        output = network(leaf)
        score = output[:, 7].mean() if job.function is ascent else output.max(dim=-1)[0].sum()
        return torch.autograd.grad(score, leaf)

    return run


def processor() -> float:
    """Seconds of processor time so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def measured(job: Job, turns: int) -> dict[str, Any]:
    """Medians of one job, in milliseconds."""
    plain = opened(job)
    height, width, channels = plain.spec.shape
    shape = (job.batch, job.side or height, job.side or width, channels)
    x = np.random.default_rng(1).normal(0, 1, shape).astype(np.float32)
    runs: dict[str, Run] = {}
    seconds = {}
    models = {"plain": replace(plain, kernels=None, prepared=()), "lowered": plain.for_cpu()}
    for name, model in models.items():
        runs[name], seconds[name] = compiled(job.function, model, jnp.asarray(x))
    if job.peer:
        runs["torch"] = in_torch(job, x)
    wall: dict[str, list[float]] = {name: [] for name in runs}
    cpu: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(turns + 1):
        for name, run in runs.items():
            before, began = processor(), time.perf_counter()
            run()
            if turn:
                wall[name].append(1e3 * (time.perf_counter() - began))
                cpu[name].append(1e3 * (processor() - before))
    return {
        "network": job.network,
        "what": job.function.__name__,
        "batch": job.batch,
        "wall_ms": {name: statistics.median(values) for name, values in wall.items()},
        "processor_ms": {name: statistics.median(values) for name, values in cpu.items()},
        "compile_s": seconds,
    }


def told(row: dict[str, Any]) -> str:
    """A line of the table."""
    wall, cpu, seconds = row["wall_ms"], row["processor_ms"], row["compile_s"]
    times = " ".join(
        f"{wall[name]:7.0f} ({cpu[name]:5.0f})" if name in wall else " " * 15
        for name in ("plain", "lowered", "torch")
    )
    return (
        f"{row['network']:<15} {row['what']:<9} {row['batch']:>5}   {times}   "
        f"{wall['plain'] / wall['lowered']:5.2f}   "
        f"{seconds['plain']:5.1f} {seconds['lowered']:5.1f}"
    )


def main() -> None:
    """Measure, print a table, write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--turns", type=int, default=5, help="of each, of which the median counts")
    parser.add_argument("--only", default="", help="networks whose name begins so")
    arguments = parser.parse_args()
    print(f"{machine()}; ms (processor)")
    print(
        f"{'network':<15} {'what':<9} batch   {'plain':>15} {'lowered':>15} {'torch':>15}   "
        "ratio   compiled in s"
    )
    rows = []
    for job in JOBS:
        if job.network.startswith(arguments.only):
            rows.append(measured(job, arguments.turns))
            print(told(rows[-1]), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
