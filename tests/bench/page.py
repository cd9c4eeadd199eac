"""How fast a large page opens and scrolls: ``python -m tests.bench.page [--json FILE]``.

13 layers of 512 units, a card each, of made-up pictures with the entropy of photographs; opened in
Chromium (REPORTGEN_CHROMIUM, or the one on the path) from a local file.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

from reportgen.core.blocks import Caption, Group, Units
from reportgen.core.report import Section
from reportgen.render.report import render_report
from tests.bench.alternating import machine
from tests.render.sample import report

LAYERS, UNITS, IMAGES = 13, 512, 1000
TARGET = 2.0  # seconds until the page is loaded
# Milliseconds from one frame to the next while the page scrolls by less than half a screen a frame.
_SCROLL = """async () => {
  const times = [];
  let last = performance.now();
  for (let i = 0; i < 120; i++) {
    scrollBy(0, 400);
    await new Promise(requestAnimationFrame);
    times.push(performance.now() - last);
    last = performance.now();
  }
  return times;
}"""


def _photographs(random: np.random.Generator, shape: tuple[int, ...], side: int) -> np.ndarray:
    """(…, side, side, 3): smooth, with a little grain."""
    coarse = random.integers(0, 256, (int(np.prod(shape)), 6, 6, 3), np.uint8)
    size = (side, side)
    smooth = [
        np.asarray(Image.fromarray(one).resize(size, Image.Resampling.BICUBIC)) for one in coarse
    ]
    grain = random.integers(-4, 5, (len(smooth), side, side, 3))
    pixels = np.clip(np.stack(smooth) + grain, 0, 255).astype(np.uint8)
    return pixels.reshape(*shape, side, side, 3)


def _layer(random: np.random.Generator, path: str) -> Units:
    largest = random.gamma(2, 4, UNITS)
    falling = np.exp(-np.arange(48) / random.uniform(2, 12, (UNITS, 1)))
    counts = np.zeros((UNITS, 128), int)
    counts[:, 64:112] = 1e5 * falling
    crops = -np.sort(-random.random((UNITS, 9)), axis=1)
    return Units(
        layer=path,
        count=UNITS,
        indices=np.arange(UNITS),
        largest=largest,
        mean=largest / 9,
        sparsity=random.random(UNITS),
        dead=random.random(UNITS) < 0.03,
        repeats=np.where(random.random(UNITS) < 0.04, 0, -1),
        counts=counts,
        bound=np.full(UNITS, 32.0),
        crops=_photographs(random, (UNITS, 9), 21),
        crop_size=(99, 99),
        responses=crops * largest[:, None],
        images=random.integers(0, IMAGES, (UNITS, 9)),
        names=tuple(f"n{i:08d}.JPEG" for i in range(IMAGES)),
        pictures=_photographs(random, (UNITS,), 45),
        score=random.gamma(3, 5, UNITS),
        climbed="the activation at the centre",
        kernels=random.normal(size=(UNITS, 4, 3, 3)),
        inputs=random.integers(0, UNITS, (UNITS, 4)),
        effects=-np.sort(-random.random((UNITS, 3)), axis=1),
        helped=random.integers(0, IMAGES, (UNITS, 3)),
        classes=tuple(f"class {i}" for i in range(IMAGES)),
        colormap="RdBu_r",
        caption=Caption(title=f"{path} · units"),
    )


def _drawn(folder: Path) -> float:
    """Seconds that drawing the page and the PDF took."""
    random = np.random.default_rng(0)
    paths = [f"block{k // 3 + 1}.conv{k % 3 + 1}" for k in range(LAYERS)]
    groups = [Group(title=path, layer=path, blocks=(_layer(random, path),)) for path in paths]
    made = report(Section(method="units", title="Units", blocks=tuple(groups)))
    began = time.perf_counter()
    render_report(made, folder)
    return time.perf_counter() - began


def _opened(page: Path, runs: int) -> list[dict[str, Any]]:
    chromium = os.environ.get("REPORTGEN_CHROMIUM") or shutil.which("chromium")
    found = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for _ in range(runs):
            context = browser.new_context(viewport={"width": 1440, "height": 900})
            tab = context.new_page()
            began = time.perf_counter()
            tab.goto(page.as_uri(), wait_until="load")
            loaded = time.perf_counter() - began
            paint = tab.evaluate(
                "performance.getEntriesByName('first-contentful-paint')[0].startTime"
            )
            frames = sorted(tab.evaluate(_SCROLL))
            found.append({"loaded": loaded, "first_paint": paint / 1e3, "frames_ms": frames})
            context.close()
        browser.close()
    return found


def main() -> None:
    """Measure, print a table, write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        drawn = _drawn(folder)
        assets = sum(path.stat().st_size for path in (folder / "assets").iterdir())
        sizes = {
            "html_mb": (folder / "report.html").stat().st_size / 1e6,
            "assets_mb": assets / 1e6,
        }
        runs = _opened(folder / "report.html", arguments.runs)
    frames = [run["frames_ms"] for run in runs]
    rows = {
        "drawn, s": drawn,
        **{name.replace("_mb", ", MB"): size for name, size in sizes.items()},
        "first paint, s": statistics.median(run["first_paint"] for run in runs),
        f"loaded, s (target {TARGET:g})": statistics.median(run["loaded"] for run in runs),
        "frame while scrolling, ms, median": statistics.median(f[len(f) // 2] for f in frames),
        "frame while scrolling, ms, worst": statistics.median(f[-1] for f in frames),
    }
    print(f"{LAYERS} layers of {UNITS} units\n{machine()}")
    for name, value in rows.items():
        print(f"{name:<36} {value:9.2f}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
