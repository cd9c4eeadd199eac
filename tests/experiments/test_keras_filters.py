"""The keras_filters experiment is Keras's conv_filter_visualization.py on VGG16."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from reportgen.core.blocks import KeyValues, Montage, Table

COUNT, SIZE = 6, 40


# The first block of it; block1_conv2 sees but its layer and the one before in both.
NARROW = (
    "method.filters.scales=1",
    *("model=custom", "preprocessing=keras_caffe"),
    "model.factory=tests.experiments.narrow:VGG",
    *("model.input.height=32", "model.input.width=32", "model.input.fixed_size=true"),
)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(NARROW, id="narrow"),
        pytest.param((), id="vgg16", marks=pytest.mark.slow),
    ],
)
def made(request: pytest.FixtureRequest, make: Callable[..., Any]) -> Any:
    units = list(range(COUNT))
    return make(
        "keras_filters",
        "method.filters.layers=block1_conv2",
        f"method.filters.units={units}".replace(" ", ""),
        f"method.filters.size={SIZE}",
        "method.filters.scales=3",
        "method.filters.steps=4",
        *request.param,
    )


def test_the_whole_job_has_the_numbers_of_the_script(composed: Callable[..., Any]) -> None:
    from reportgen import config
    from reportgen.chosen import chosen_methods

    read = config.read(composed("experiment=keras_filters"))
    method = chosen_methods(read, ()).methods["filters"]
    values = method.values  # type: ignore[attr-defined]
    expected = {"size": 412, "scales": 9, "factor": 1.2, "steps": 15, "step_size": 1.0}
    expected |= {"start": 128.0, "noise": 20.0, "subtract_mean": False}
    assert {key: values[key] for key in expected} == expected
    assert method.layers == ("block5_conv1",)  # type: ignore[attr-defined]
    assert (method.units, method.keep) == (None, None)  # type: ignore[attr-defined]
    assert read.model.input.order == "bgr"
    assert read.model.input.mean == (103.939, 116.779, 123.68)


def test_the_best_n_by_n_in_order_with_a_black_margin(made: Any) -> None:
    blocks = made.groups("filters")["block1_conv2"]
    (table,) = (b for b in blocks if isinstance(b, Table))
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    alive = [row for row in rows if row["rank"] != "dead"]
    losses = [row["loss"] for row in alive]
    assert losses == sorted(losses, reverse=True)
    assert min(losses) > 1e-7
    assert all(row["loss"] <= 1e-7 for row in rows if row["rank"] == "dead")
    assert sorted(row["unit"] for row in rows) == list(range(COUNT))
    n = math.floor(math.sqrt(len(alive)))
    (montage,) = (b for b in blocks if isinstance(b, Montage))
    shown = [row["unit"] for row in alive[: n * n]]
    assert [int(label.split()[1].rstrip(",")) for label in montage.labels] == shown
    tiles = made.arrays("filters")["block1_conv2/montage/tiles"]
    assert tiles.shape == (n * n, SIZE, SIZE, 3)
    side = n * SIZE + (n - 1) * 5
    expected = np.zeros((side, side, 3), np.uint8)
    for i, tile in enumerate(tiles):
        top, left = (i // n) * (SIZE + 5), (i % n) * (SIZE + 5)
        expected[top : top + SIZE, left : left + SIZE] = np.floor(255 * tile + 0.5)
    drawn = made.picture("filters-block1-conv2-montage.webp")
    assert np.abs(drawn.astype(int) - expected).max() <= 1


def test_pictures_are_standardised(made: Any) -> None:
    """Mean 0.5 and deviation 0.25 before they are cut to 0..1."""
    tiles = made.arrays("filters")["block1_conv2/montage/tiles"]
    assert tiles.min() >= 0
    assert tiles.max() <= 1
    np.testing.assert_allclose(tiles.mean(axis=(1, 2, 3)), 0.5, atol=0.02)
    np.testing.assert_allclose(tiles.std(axis=(1, 2, 3)), 0.25, atol=0.03)


def test_the_report_says_how_and_that_nothing_was_learned(made: Any) -> None:
    (procedure,) = (b for b in made.section("filters").blocks if isinstance(b, KeyValues))
    assert dict(procedure.pairs)["preset"] == "keras_seed"
    assert made.report.model.weights_random
    assert made.report.banners
