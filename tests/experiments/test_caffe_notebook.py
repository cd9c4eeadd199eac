"""The caffe_notebook experiment shows of CaffeNet what Caffe's notebook did.

Every run shows it of a narrow network with the same kinds of layers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from reportgen.core.blocks import Curve, Histogram, Montage, Table
from tests.experiments import classic

# For a batch of 50, as the notebook prints them.
BLOBS = {
    "conv1": (50, 96, 55, 55),
    "pool1": (50, 96, 27, 27),
    "norm1": (50, 96, 27, 27),
    "conv2": (50, 256, 27, 27),
    "pool2": (50, 256, 13, 13),
    "norm2": (50, 256, 13, 13),
    "conv3": (50, 384, 13, 13),
    "conv4": (50, 384, 13, 13),
    "conv5": (50, 256, 13, 13),
    "pool5": (50, 256, 6, 6),
    "fc6": (50, 4096),
    "fc7": (50, 4096),
    "fc8": (50, 1000),
    "prob": (50, 1000),
}
PARAMETERS = {
    "conv1": (96, 3, 11, 11),
    "conv2": (256, 48, 5, 5),
    "conv3": (384, 256, 3, 3),
    "conv4": (384, 192, 3, 3),
    "conv5": (256, 192, 3, 3),
    "fc6": (4096, 9216),
    "fc7": (4096, 4096),
    "fc8": (1000, 4096),
}


class Case(NamedTuple):
    """A network: overrides that choose it, its shapes, and how many maps of conv1 are shown."""

    overrides: tuple[str, ...]
    blobs: dict[str, tuple[int, ...]]
    parameters: dict[str, tuple[int, ...]]
    maps: int


CAFFENET = Case((), BLOBS, PARAMETERS, 36)
NARROW = Case(
    (
        *("model=custom", "preprocessing=caffe", "model.factory=tests.experiments.narrow:CaffeNet"),
        *("model.input.height=67", "model.input.width=67"),
        "method.activations.channels.conv1=[0,1,2,3]",
    ),
    {
        "conv1": (50, 8, 15, 15),
        "pool1": (50, 8, 7, 7),
        "norm1": (50, 8, 7, 7),
        "conv2": (50, 8, 7, 7),
        "pool5": (50, 8, 3, 3),
        "fc6": (50, 16),
        "fc8": (50, 10),
        "prob": (50, 10),
    },
    {"conv1": (8, 3, 11, 11), "conv2": (8, 4, 5, 5), "fc6": (16, 72), "fc8": (10, 16)},
    4,
)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(NARROW, id="narrow"),
        pytest.param(CAFFENET, id="caffenet", marks=pytest.mark.slow),
    ],
)
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


@pytest.fixture(scope="module")
def made(make: Callable[..., Any], case: Case) -> Any:
    return make("caffe_notebook", *case.overrides, "data.count=1")


def _assert_shapes(table: Table, case: Case) -> None:
    rows = {str(row[0]): row for row in table.rows}
    for layer, shape in case.blobs.items():
        assert rows[layer][2] == " × ".join(map(str, shape))
    for layer, shape in case.parameters.items():
        assert rows[layer][3] == f"bias {shape[0]}, kernel {'×'.join(map(str, shape))}"
    assert [layer for layer, row in rows.items() if row[3]] == list(case.parameters)
    order = [layer for layer in rows if layer in case.blobs]
    assert order == list(case.blobs)


def test_shapes_of_blobs_and_parameters(made: Any, case: Case) -> None:
    (table,) = (b for b in made.section("summary").blocks if isinstance(b, Table))
    _assert_shapes(table, case)
    page = (made.folder / "report.html").read_text()
    assert " × ".join(map(str, case.blobs["conv1"])) in page
    assert "×".join(map(str, case.parameters["conv2"])) in page


def test_shapes_of_the_whole_network_are_those_of_the_notebook(composed: Any) -> None:
    """Without its weights."""
    from reportgen.methods.summary import layer_table
    from reportgen.pipeline import list_layers

    network = list_layers(composed("experiment=caffe_notebook"))
    outline, adapted = network.outline, network.adapted
    table = layer_table(
        outline.layers, adapted.shapes, adapted.statistics, outline.flops, "nchw", 50
    )
    _assert_shapes(table, CAFFENET)


def test_every_page_says_that_nothing_was_learned(made: Any) -> None:
    assert made.report.model.weights_random
    assert "nothing in this report was learned" in made.report.banners[0]


def test_first_filters_are_in_colour(made: Any, case: Case) -> None:
    tiles = made.arrays("weights")["conv1/montage/tiles"]
    count, side = case.parameters["conv1"][0], math.isqrt(case.parameters["conv1"][0]) + 1
    assert tiles.shape == (count, 11, 11, 3)
    (montage,) = (b for b in made.groups("weights")["conv1"] if isinstance(b, Montage))
    assert (montage.columns, montage.rows) == (side, side)
    drawn = made.picture("weights-conv1-montage.webp")
    np.testing.assert_array_equal(drawn, classic.caffe_montage(tiles))


def test_colours_are_those_of_the_picture_not_of_bgr(
    opened: Callable[..., Any], made: Any, case: Case
) -> None:
    """The notebook showed blue for red, as the network takes BGR."""
    tiles = made.arrays("weights")["conv1/montage/tiles"]
    model = opened("experiment=caffe_notebook", *case.overrides)
    kernel = np.asarray(model.parameters["conv1.kernel"])
    np.testing.assert_array_equal(tiles, kernel[:, :, ::-1].transpose(3, 0, 1, 2))


@pytest.mark.parametrize("layer", ["conv1", "pool5"])
def test_maps(layer: str, made: Any, case: Case) -> None:
    tiles = made.arrays("activations")[f"{layer}/montage/tiles"]
    count = case.maps if layer == "conv1" else case.blobs[layer][1]
    side = math.ceil(math.sqrt(count))
    assert tiles.shape == (count, *case.blobs[layer][2:])
    assert tiles.min() >= 0  # rectified in place
    assert tiles.max() > 0
    (montage,) = (b for b in made.groups("activations")[layer] if isinstance(b, Montage))
    assert (montage.columns, montage.rows) == (side, side)
    drawn = made.picture(f"activations-{layer}-montage.webp")
    expected = classic.caffe_montage(tiles)
    assert drawn.shape == expected.shape
    # Where a value lies on the edge between two of 256 greys.
    assert np.abs(drawn.astype(int) - expected).max() <= 1
    assert (drawn == expected).mean() > 0.99


def test_fc6_is_a_line_and_a_histogram_of_what_is_positive(made: Any, case: Case) -> None:
    curve, positive, *_ = made.groups("activations")["fc6"]
    assert isinstance(curve, Curve)
    assert isinstance(positive, Histogram)
    values = curve.series[0].y
    assert values.shape == case.blobs["fc6"][1:]
    assert (len(positive.counts), positive.counts.sum()) == (100, (values > 0).sum())
    expected = np.histogram(values[values > 0].astype(np.float64), 100, (0, float(values.max())))
    np.testing.assert_array_equal(positive.counts, expected[0])


def test_prob_is_a_line(made: Any, case: Case) -> None:
    curve = made.groups("activations")["prob"][0]
    assert isinstance(curve, Curve)
    assert curve.series[0].y.shape == case.blobs["prob"][1:]
    np.testing.assert_allclose(curve.series[0].y.sum(), 1, rtol=1e-5)
    assert list(made.groups("activations")) == ["conv1", "pool5", "fc6", "prob"]
