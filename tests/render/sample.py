"""Reports to draw: blocks with arrays as methods make them, from a fixed seed."""

from __future__ import annotations

import shlex
from typing import Any

import numpy as np

from reportgen.core import blocks
from reportgen.core.report import DataCard, ModelCard, Provenance, Report, Section

HOSTILE = (
    '<script>alert("x")</script>',
    "<img src=x onerror=alert(1)>",
    "#let x = 1; $ a^2 $ *b* _c_ @d `e` \\f",
    "{{ 7 * 7 }} {% raw %}",
    "naïve\u202egnp.exe",
    "\U0001f600 层 \x00\x1b[31m",
    "udc\udcff",
    "x" * 300,
    "../../etc/passwd",
)


def caption(title: str = "a picture", **parts: str) -> blocks.Caption:
    return blocks.Caption(title=title, **parts)


def montage(tiles: Any, **changes: Any) -> blocks.Montage:
    """A joint viridis montage over 0..1 of two columns, unless changed."""
    settings: dict[str, Any] = {"low": 0.0, "high": 1.0, "columns": 2, "colormap": "viridis"}
    settings["caption"] = caption()
    return blocks.Montage(tiles=np.asarray(tiles, np.float64), **(settings | changes))


def blob(size: int, rng: np.random.Generator) -> np.ndarray:
    """A smooth bump, as an attribution map might be."""
    rows, columns = np.mgrid[0:size, 0:size] / size
    top, left = rng.uniform(0.3, 0.7, 2)
    return np.exp(-((rows - top) ** 2 + (columns - left) ** 2) / 0.05)


def units(name: str = "conv1", count: int = 3, seed: int = 1, **changes: Any) -> blocks.Units:
    """Units 4, 5, … of a layer with all kinds of pictures; the first is dead, the third repeats.

    The second has no crop but one, and no synthesised picture.
    """
    rng = np.random.default_rng(seed)
    largest = np.linspace(9.5, 0.25, count)
    largest[0] = 0.0
    responses = largest[:, None] * np.array([1.0, 0.9, 0.8, 0.7])
    images = np.tile(np.arange(4) % 2, (count, 1))
    responses[1, 1:], images[1, 1:] = 0.0, -1
    score = np.arange(count) + 2.5
    score[1] = np.nan
    counts = rng.integers(0, 90, (count, 16))
    counts[:, :4] = 0
    settings: dict[str, Any] = {
        "layer": name,
        "count": 2 * count + 3,
        "indices": 4 + np.arange(count),
        "largest": largest,
        "mean": largest / 7,
        "sparsity": np.linspace(1, 0.125, count),
        "dead": np.arange(count) == 0,
        "repeats": np.where(np.arange(count) == 2, 4, -1),
        "counts": counts,
        "bound": np.full(count, 16.0),
        "crops": rng.integers(0, 256, (count, 4, 6, 5, 1), np.uint8),
        "crop_size": (12, 10),
        "responses": responses,
        "images": images,
        "names": (name, "other.png"),
        "pictures": rng.integers(0, 256, (count, 8, 8, 3), np.uint8),
        "score": score,
        "climbed": "the activation",
        "kernels": rng.normal(size=(count, 4, 3, 3)),
        "inputs": np.tile([7, 1, 0, 2], (count, 1)),
        "effects": np.tile([0.5, 0.25], (count, 1)),
        "helped": np.tile([1, 0], (count, 1)),
        "classes": (name, "seven"),
        "colormap": "RdBu_r",
        "caption": caption(name, detail=name, override=f"reportgen x={name}"),
    }
    return blocks.Units(**(settings | changes))


def every_block(rng: np.random.Generator, name: str = "conv1") -> tuple[Any, ...]:
    """One block of every type; ``name`` is put wherever a name can stand."""
    image = (blob(16, rng)[..., None] * 255).astype(np.uint8)
    weights = rng.normal(size=(8, 5, 5))
    counts, edges = np.histogram(weights, 20)
    steps = np.arange(30)
    made = caption(
        name,
        detail=f"{name}, 8 of 8",
        formula=name,
        override=shlex.join(["reportgen", f"x={name}"]),
    )
    inner = (
        blocks.Montage(
            tiles=weights,
            low=-2.0,
            high=2.0,
            columns=4,
            colormap="seismic",
            caption=made,
            labels=tuple(f"{name} {unit}" for unit in range(8)),
        ),
        blocks.KeyValues(pairs=(("mean", 0.01234567), (name, name), ("size", 61706)), title=name),
        blocks.Histogram(counts=counts, edges=edges, caption=made, x_label=name),
        blocks.Montage(
            tiles=rng.uniform(size=(4, 12, 12, 3)), low=0, high=1, columns=2, caption=made
        ),
        blocks.Heatmap(
            image=image,
            map=blob(16, rng) - 0.3,
            low=-0.7,
            high=0.7,
            colormap="seismic",
            caption=made,
            facts=(("class", name), ("score", 0.9731)),
        ),
    )
    return (
        blocks.Text(text=name),
        blocks.Text(text=name, tone="warning"),
        blocks.Table(
            columns=("layer", name, "accuracy"),
            rows=((name, 61706, 0.9731), ("fc", None, 0.5)),
            caption=name,
            totals=("sum", 61706, None),
        ),
        blocks.Curve(
            series=(
                blocks.Series(name=name, x=steps, y=np.sqrt(steps)),
                blocks.Series(name="other", x=steps, y=np.log1p(steps)),
            ),
            caption=made,
            x_label=name,
            y_label=name,
        ),
        blocks.Bars(
            names=(name, "1"),
            series=(
                blocks.BarSeries(name=name, values=np.array([0.9, 0.5])),
                blocks.BarSeries(name="other", values=np.array([0.25, np.nan])),
            ),
            caption=made,
            x_label="share",
            x_range=(0.0, 1.0),
        ),
        blocks.Matrix(
            values=rng.integers(0, 50, (4, 4)),
            row_labels=(name, "1", "2", "3"),
            column_labels=(name, "1", "2", "3"),
            row_title=name,
            column_title="prediction",
            colormap="Blues",
            caption=made,
        ),
        blocks.Comparison(
            image=image,
            maps=tuple(
                blocks.ComparedMap(
                    title=name,
                    subtitle=name,
                    map=rng.normal(size=image.shape[:2]),
                    low=-1.0,
                    high=1.0,
                    colormap=colormap,
                    opacity=0.5,
                )
                for colormap in ("RdBu_r", "inferno")
            ),
            caption=made,
        ),
        blocks.Gallery(
            items=(
                blocks.GalleryItem(
                    image=image, title=name, subtitle=name, bars=((name, 0.9),), mark="wrong"
                ),
            ),
            caption=made,
        ),
        blocks.Diagram(
            nodes=(
                blocks.Node(path=name, kind="Conv", shape=(28, 28, 6), parameters=156),
                blocks.Node(path="fc", kind=name, shape=(10,), parameters=850),
            ),
            caption=made,
        ),
        blocks.Finding(
            severity="warn",
            check=name,
            message=name,
            where=name,
            value=0.31234567,
            threshold=0.1,
            advice=name,
        ),
        blocks.Group(title=name, subtitle=name, blocks=(*inner, units(name))),
        blocks.Group(title=name, blocks=(blocks.Group(title="inner", blocks=inner[1:2]),)),
    )


def report(*sections: Section, name: str = "conv1", created: str = "") -> Report:
    """A report; without sections, one with every block and one that was skipped."""
    rng = np.random.default_rng(0)
    if not sections:
        sections = (
            Section(
                method="weights",
                title=f"Weights of {name}",
                blocks=every_block(rng, name),
                intro=name,
                command="reportgen method=weights",
                settings={"colormap": name, "layers": [name], "limit": None},
            ),
            Section(method="gradcam", title="Grad-CAM", blocks=(), skipped=f"No {name}."),
        )
    return Report(
        title=f"Report on {name}",
        model=ModelCard(
            name=name,
            architecture=name,
            framework="Flax nnx",
            evaluation="module.eval()",
            layers=2,
            parameters=61706,
            flops=830_000,
            input="28 × 28 × 1",
            preprocessing=name,
            weights=name,
            weights_sha256="ab" * 32,
            weights_random=False,
            scores="logits",
            classes=(name, "1"),
            weights_problems=(f"left over: {name}",),
        ),
        data=DataCard(
            source=name, count=4, labelled=True, sha256="cd" * 32, skipped=((name, "damaged"),)
        ),
        metrics={"accuracy": 0.973125, name: 0.12345678},
        findings=(
            blocks.Finding(severity="info", check="range", message=name),
            blocks.Finding(severity="fail", check="dead units", message="3 dead", where=name),
        ),
        sections=sections,
        provenance=Provenance(
            reportgen="0.1.0",
            python="3.11.2",
            packages={"jax": "0.8.0", "flax": "0.12.0"},
            device=name,
            seed=0,
            config_sha256="ef" * 32,
            git_commit="12" * 20,
            git_dirty=True,
            created=created,
        ),
        command=f"reportgen model={name}",
        banners=(f"Banner {name}",),
    )
