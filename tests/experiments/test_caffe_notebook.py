"""The caffe_notebook experiment shows of CaffeNet what Caffe's notebook did."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from reportgen.core.blocks import Curve, Histogram, Montage, Table
from tests.experiments import classic

pytestmark = pytest.mark.slow

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


@pytest.fixture(scope="module")
def made(make: Callable[..., Any]) -> Any:
    return make("caffe_notebook", "data.count=1")


def test_shapes_of_blobs_and_parameters(made: Any) -> None:
    (table,) = (b for b in made.section("summary").blocks if isinstance(b, Table))
    rows = {str(row[0]): row for row in table.rows}
    for layer, shape in BLOBS.items():
        assert rows[layer][2] == " × ".join(map(str, shape))
    for layer, shape in PARAMETERS.items():
        assert rows[layer][3] == f"bias {shape[0]}, kernel {'×'.join(map(str, shape))}"
    assert [layer for layer, row in rows.items() if row[3]] == list(PARAMETERS)
    order = [layer for layer in rows if layer in BLOBS]
    assert order == list(BLOBS)
    page = (made.folder / "report.html").read_text()
    assert "50 × 96 × 55 × 55" in page
    assert "256×48×5×5" in page


def test_every_page_says_that_nothing_was_learned(made: Any) -> None:
    assert made.report.model.weights_random
    assert "nothing in this report was learned" in made.report.banners[0]


def test_first_filters_are_in_colour(made: Any) -> None:
    tiles = made.arrays("weights")["conv1/montage/tiles"]
    assert tiles.shape == (96, 11, 11, 3)
    (montage,) = (b for b in made.groups("weights")["conv1"] if isinstance(b, Montage))
    assert (montage.columns, montage.rows) == (10, 10)
    drawn = made.picture("weights-conv1-montage.webp")
    np.testing.assert_array_equal(drawn, classic.caffe_montage(tiles))


def test_colours_are_those_of_the_picture_not_of_bgr(opened: Callable[..., Any], made: Any) -> None:
    """The notebook showed blue for red, as the network takes BGR."""
    tiles = made.arrays("weights")["conv1/montage/tiles"]
    kernel = np.asarray(opened("experiment=caffe_notebook").parameters["conv1.kernel"])
    np.testing.assert_array_equal(tiles, kernel[:, :, ::-1].transpose(3, 0, 1, 2))


@pytest.mark.parametrize(("layer", "count", "side"), [("conv1", 36, 6), ("pool5", 256, 16)])
def test_maps(layer: str, count: int, side: int, made: Any) -> None:
    tiles = made.arrays("activations")[f"{layer}/montage/tiles"]
    assert tiles.shape == (count, *BLOBS[layer][2:])
    assert tiles.min() >= 0  # rectified in place
    (montage,) = (b for b in made.groups("activations")[layer] if isinstance(b, Montage))
    assert (montage.columns, montage.rows) == (side, side)
    drawn = made.picture(f"activations-{layer}-montage.webp")
    expected = classic.caffe_montage(tiles)
    assert drawn.shape == expected.shape
    # Where a value lies on the edge between two of 256 greys.
    assert np.abs(drawn.astype(int) - expected).max() <= 1
    assert (drawn == expected).mean() > 0.999


def test_fc6_is_a_line_and_a_histogram_of_what_is_positive(made: Any) -> None:
    curve, positive, *_ = made.groups("activations")["fc6"]
    assert isinstance(curve, Curve)
    assert isinstance(positive, Histogram)
    values = curve.series[0].y
    assert values.shape == (4096,)
    assert (len(positive.counts), positive.counts.sum()) == (100, (values > 0).sum())
    expected = np.histogram(values[values > 0].astype(np.float64), 100, (0, float(values.max())))
    np.testing.assert_array_equal(positive.counts, expected[0])


def test_prob_is_a_line(made: Any) -> None:
    curve = made.groups("activations")["prob"][0]
    assert isinstance(curve, Curve)
    assert curve.series[0].y.shape == (1000,)
    np.testing.assert_allclose(curve.series[0].y.sum(), 1, rtol=1e-5)
    assert list(made.groups("activations")) == ["conv1", "pool5", "fc6", "prob"]
