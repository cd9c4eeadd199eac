"""A report of layers and maps whose arrays are known, to look things up in."""

from __future__ import annotations

import numpy as np

from reportgen.core import blocks
from reportgen.core.report import Report, Section
from tests.render.sample import caption, report

HOSTILE = "block\"2'].conv<b>&amp;=#%41 +\\ 层"
IMAGES = ("cat.png", "dog.png", "<i>owl</i>.png")
_rng = np.random.default_rng(5)
PICTURES = [_rng.integers(0, 256, (24, 32, 3), np.uint8) for _ in IMAGES]
MAPS = [_rng.normal(size=(24, 32)) for _ in IMAGES]
MAPS[1][3, 5] = np.nan
TILES = _rng.normal(size=(8, 5, 7)).astype(np.float32)
LAYERS = ("conv1", "conv2", HOSTILE, *(f"block{i}.conv{j}" for i in (3, 4, 5) for j in range(1, 5)))


def layer(path: str, shift: float) -> blocks.Group:
    montage = blocks.Montage(
        tiles=TILES + shift,
        low=-2.0,
        high=2.0,
        columns=3,
        gap=2,
        frame="all",
        colormap="seismic",
        caption=caption(f"{path} · kernel", detail="8 filters"),
        labels=tuple(f"filter {unit}" for unit in range(8)),
    )
    return blocks.Group(title=path, layer=path, subtitle="conv, 280 parameters", blocks=(montage,))


def heatmap(index: int) -> blocks.Group:
    name = IMAGES[index]
    return blocks.Group(
        title=name,
        subtitle="class tabby",
        blocks=(
            blocks.Heatmap(
                image=PICTURES[index],
                map=MAPS[index],
                low=-2.0,
                high=2.0,
                colormap="RdBu_r",
                caption=caption(f"Grad-CAM of {name}", detail="224 pixels"),
                facts=(("predicted class", "tabby"), ("true class", "tabby")),
            ),
        ),
    )


def layered() -> Report:
    maps = tuple(
        blocks.ComparedMap(
            title=title, map=MAPS[0] * factor, low=-2.0, high=2.0, colormap="RdBu_r", opacity=0.5
        )
        for title, factor in (("Saliency", 1.0), ("Grad-CAM", 2.0))
    )
    compared = blocks.Comparison(
        image=PICTURES[0], maps=maps, caption=caption("cat.png by 2 methods")
    )
    weights = tuple(layer(path, float(i)) for i, path in enumerate(LAYERS))
    return report(
        Section(method="weights", title="Weights", blocks=weights, settings={"scale": "joint"}),
        Section(method="gradcam", title="Grad-CAM", blocks=tuple(map(heatmap, range(3)))),
        Section(method="side_by_side", title="Side by side", blocks=(compared,)),
    )
