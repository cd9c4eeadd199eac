"""Memory and time of decoding many photographs: ``python tests/bench/loading.py [COUNT]``.

Not part of the tests: it takes minutes, and times depend on the machine.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from reportgen.config import DataConfig
from reportgen.core.spec import InputSpec
from reportgen.data.load import load_images


def photographs(folder: Path, count: int) -> None:
    """Links to 8 JPEGs of 500 × 375."""
    y, x = np.mgrid[:375, :500][..., None]
    for k in range(min(8, count)):
        noise = np.random.default_rng(k).normal(0, 8, (375, 500, 3))
        waves = 60 * np.sin(x / [7 + k, 31, 57]) + 50 * np.cos(y / [25, 13, 39])
        pixels = np.clip(128 + waves + noise, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{k:06d}.jpg", quality=88)
    for k in range(8, count):
        (folder / f"{k:06d}.jpg").symlink_to(f"{k % 8:06d}.jpg")


def measure(folder: Path) -> None:
    """Decode a folder to 224 × 224 and go through it once, 64 at a time."""
    spec = InputSpec(height=224, width=224, channels=3, resize="crop", crop_fraction=0.875)
    config = DataConfig(
        source="folder",
        path=str(folder),
        count=None,
        balanced=False,
        classes=(),
        files=(),
        images="auto",
        labels="auto",
        max_pixels=10**8,
    )
    began = time.perf_counter()
    images = load_images(config, spec, [], 0)
    images.pixels[:16]
    first = time.perf_counter() - began
    for start in range(0, images.listed, 64):
        images.pixels[start : start + 64]
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{len(images):6d} images: the first 16 after {first:.2f} s, all after {seconds:.1f} s, "
        f"peak of resident memory {peak:.0f} MiB"
    )


def main() -> None:
    """A tenth of the images, then all, each in a process of its own."""
    if len(sys.argv) == 3:
        measure(Path(sys.argv[2]))
        return
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    for number in (count // 10, count):
        with tempfile.TemporaryDirectory() as folder:
            photographs(Path(folder), number)
            subprocess.run([sys.executable, __file__, "measure", folder], check=True)


if __name__ == "__main__":
    main()
