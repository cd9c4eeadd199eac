"""Cost and memory as the job doubles: ``python -m tests.bench.scaling [--json FILE]``.

Units, images and layers on SqueezeNet, and JPEGs that are decoded, each two, four and eight times
as many. Each job is a process of its own, which runs it once to compile and then as often as
``--runs`` says. Seconds must grow in proportion; peak memory must not.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from reportgen.core.spec import InputSpec
from reportgen.data.load import load_images
from tests.bench.alternating import machine
from tests.bench.prepared import Prepared, composed, method

NETWORK = ("model=squeezenet1_0", "weights=random")
LAYERS = [f"fire{k}.{part}" for k in range(2, 10) for part in ("expand1x1", "expand3x3")]


def _filters(layers: list[str], units: int) -> Prepared:
    keys = {"size": 120, "scales": 3, "steps": 10, "units": list(range(units))}
    chosen = [f"method.filters.{name}={value}" for name, value in keys.items()]
    return method("filters", [*NETWORK, f"method.filters.layers=[{','.join(layers)}]", *chosen])


def _images(count: int) -> Prepared:
    # One image, seen so many times: what they take themselves does not count.
    one = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3), np.uint8)
    keys = ("engine.batch=16", "layers=kind:conv", "method.units.synthesis=null")
    return method("units", [*NETWORK, *keys], np.broadcast_to(one, (count, *one.shape[1:])))


def _decoded(count: int) -> Callable[[], object]:
    """JPEGs of 500 × 375 at 224 × 224, gone through 64 at a time."""
    spec = InputSpec(height=224, width=224, channels=3, resize="crop", crop_fraction=0.875)
    scratch = tempfile.TemporaryDirectory()
    folder = Path(scratch.name)
    y, x = np.mgrid[:375, :500][..., None]
    for k in range(8):
        noise = np.random.default_rng(k).normal(0, 8, (375, 500, 3))
        waves = 60 * np.sin(x / [7 + k, 31, 57]) + 50 * np.cos(y / [25, 13, 39])
        pixels = np.clip(128 + waves + noise, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{k:06d}.jpg", quality=88)
    for k in range(8, count):
        (folder / f"{k:06d}.jpg").symlink_to(f"{k % 8:06d}.jpg")
    config = composed([f"data.path={folder}", "data=folder"]).data

    def run(_: object = scratch) -> None:  # the folder lives as long as the job
        images = load_images(config, spec, [], 0)
        for start in range(0, images.listed, 64):
            images.pixels[start : start + 64]

    return run


# What doubles: the smallest number, and the job of so many.
JOBS: dict[str, tuple[int, Callable[[int], Callable[[], object]]]] = {
    "units": (8, lambda count: _filters(["fire5.expand3x3"], count)),
    "images": (64, _images),
    "layers": (2, lambda count: _filters(LAYERS[:count], 4)),
    "JPEGs": (250, _decoded),
}


def one(name: str, count: int, runs: int) -> None:
    """Print median seconds of a job and the process's peak in megabytes."""
    warnings.simplefilter("ignore")
    job = JOBS[name][1](count)
    job()
    seconds = []
    for _ in range(runs):
        began = time.perf_counter()
        job()
        seconds.append(time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps([statistics.median(seconds), peak]))


def main() -> None:
    """Measure, print a table, write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--one", nargs=2, metavar=("JOB", "COUNT"), help="what each process runs")
    arguments = parser.parse_args()
    if arguments.one:
        one(arguments.one[0], int(arguments.one[1]), arguments.runs)
        return
    print(f"SqueezeNet 1.0\n{machine()}")
    print(f"{'job':<8} {'count':>6} {'seconds':>9} {'each, s':>9} {'peak, MB':>9}")
    measured = []
    for name, (smallest, _) in JOBS.items():
        for count in (smallest, 2 * smallest, 4 * smallest, 8 * smallest):
            command = [sys.executable, "-m", "tests.bench.scaling", "--one", name, str(count)]
            process = subprocess.run(
                [*command, "--runs", str(arguments.runs)],
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            )
            seconds, peak = json.loads(process.stdout.splitlines()[-1])
            measured.append({"job": name, "count": count, "seconds": seconds, "peak_mb": peak})
            each = seconds / count
            print(f"{name:<8} {count:>6} {seconds:>9.2f} {each:>9.4f} {peak:>9.0f}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine(), "rows": measured}, indent=1))


if __name__ == "__main__":
    main()
