"""The keras_vis_mnist experiment against the same network in NumPy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest

from reportgen.core.blocks import Diagram, Heatmap, Montage, Table
from tests.experiments import classic
from tests.experiments.numpy_mnist import Network, enlarged

RULES = {"saliency": "plain", "guided_backprop": "guided", "deconvnet": "relu"}
CAMS = {"gradcam": "plain", "gradcam_guided": "guided", "gradcam_relu": "relu"}
COUNT = 2
METHODS = ("occlusion", *RULES, *CAMS)
# What every run makes: of each kind one.
SOME = ("weights", "deconvnet", "gradcam_guided")


def _each(methods: Iterable[str]) -> list[Any]:
    return [pytest.param(m, marks=() if m in SOME else pytest.mark.slow) for m in methods]


@pytest.fixture(scope="module")
def whole(make: Callable[..., Any]) -> Any:
    few = [f"method.{method}.count={COUNT}" for method in METHODS]
    return make("keras_vis_mnist", *few, "method.class_images.steps=20")


@pytest.fixture(scope="module")
def some(make: Callable[..., Any]) -> Any:
    few = [f"method.{method}.count={COUNT}" for method in SOME if method != "weights"]
    return make("keras_vis_mnist", *few, f"method=[{','.join(SOME)}]")


@pytest.fixture
def made(request: pytest.FixtureRequest, method: str) -> Any:
    """A report with a method."""
    return request.getfixturevalue("some" if method in SOME else "whole")


@pytest.fixture(scope="module")
def model(opened: Callable[..., Any]) -> Any:
    return opened("model=digits_cnn")


@pytest.fixture(scope="module")
def network(model: Any) -> Network:
    return Network(model.parameters)


def _first(made: Any, method: str) -> list[Heatmap]:
    """The map of each image."""
    found = [blocks[0] for blocks in made.groups(method).values()]
    assert len(found) == COUNT
    return found


def _image(heatmap: Heatmap) -> tuple[np.ndarray, int]:
    """What the network saw, and its true class, which is explained."""
    facts = dict(heatmap.facts)
    assert facts["explained class"] == facts["true class"]
    return heatmap.image.astype(np.float64) / 255, int(str(facts["true class"]))


@pytest.mark.slow
def test_table_and_diagram(whole: Any) -> None:
    diagram, table, health = whole.section("summary").blocks
    assert isinstance(diagram, Diagram)
    assert isinstance(table, Table)
    rectified, _, _ = health.blocks
    assert rectified.names == ("conv1", "conv2", "dense1")
    told = dict(zip(table.columns, table.totals, strict=True))
    assert told["parameters"] == 1_199_882
    kinds = [(row[0], row[1]) for row in table.rows if row[3]]
    assert kinds == [("conv1", "conv"), ("conv2", "conv"), ("dense1", "dense"), ("dense2", "dense")]


@pytest.mark.slow
def test_first_filters_are_grey(some: Any, model: Any) -> None:
    kernel = np.asarray(model.parameters["conv1.kernel"])[:, :, 0].transpose(2, 0, 1)
    (montage,) = (b for b in some.groups("weights")["conv1"] if isinstance(b, Montage))
    np.testing.assert_array_equal(montage.tiles, kernel)
    tiles = classic.matplotlib_colours(classic.joint(kernel), "gray")
    drawn = some.picture("weights-conv1-montage.webp")
    np.testing.assert_array_equal(drawn, classic.padded_grid(tiles, 6, 6, 1)[:-1, :-1])


@pytest.mark.slow
def test_class_images_of_all_ten_outputs_raise_what_is_before_softmax(
    whole: Any, network: Network
) -> None:
    blocks = whole.section("class_images").blocks
    montage = next(block for block in blocks if isinstance(block, Montage))
    table = next(block for block in blocks if isinstance(block, Table))
    assert montage.labels == tuple("0123456789")
    grey = network.forward(np.full((28, 28, 1), 0.5))["dense2"]
    for i, (row, tile) in enumerate(zip(table.rows, montage.tiles, strict=True)):
        logits = network.forward(tile.reshape(28, 28, 1).astype(np.float64) / 255)["dense2"]
        told = dict(zip(table.columns, row, strict=True))
        np.testing.assert_allclose(told["logit"], logits[i], rtol=1e-3, atol=1e-3)
        assert logits[i] > grey[i] + 1


@pytest.mark.parametrize("method", _each(RULES))
def test_saliency_under_three_rules(method: str, made: Any, network: Network) -> None:
    for heatmap in _first(made, method):
        x, target = _image(heatmap)
        gradient = network.gradients(network.forward(x), target, RULES[method])["x"]
        expected = np.abs(gradient).max(axis=-1)
        np.testing.assert_allclose(heatmap.map, expected, rtol=1e-3, atol=1e-4 * expected.max())
        assert heatmap.colormap == "jet"
        # keras-vis scales each map from its least to its greatest value.
        np.testing.assert_allclose(
            (heatmap.low, heatmap.high), (expected.min(), expected.max()), rtol=1e-3, atol=1e-6
        )


@pytest.mark.parametrize("method", _each(CAMS))
def test_gradcam_under_three_rules(method: str, made: Any, network: Network) -> None:
    for heatmap in _first(made, method):
        x, target = _image(heatmap)
        outputs = network.forward(x)
        gradient = network.gradients(outputs, target, CAMS[method])["pool1"]
        weights = gradient.mean(axis=(0, 1))
        expected = enlarged(np.maximum(outputs["pool1"] @ weights, 0), 28)
        np.testing.assert_allclose(
            heatmap.map, expected, rtol=1e-3, atol=1e-4 * max(expected.max(), 1)
        )
        assert heatmap.colormap == "jet"
        assert "layer pool1: 12 × 12 cells" in heatmap.caption.detail


@pytest.mark.slow
def test_the_three_are_told_apart(whole: Any) -> None:
    titles = [whole.section(method).title for method in CAMS]
    assert titles == ["Grad-CAM", "Grad-CAM, guided gradients", "Grad-CAM, relu gradients"]
    comparison = whole.section("side_by_side").blocks[0]
    maps = comparison.maps if hasattr(comparison, "maps") else comparison.blocks[0].maps
    assert {part.title for part in maps} >= set(titles)


@pytest.mark.slow
def test_occlusion_by_blocks_with_the_winning_classes(whole: Any, network: Network) -> None:
    """A square of 5 × 4 of half grey slides over the image in a margin of 2 × 4 zeros."""
    size = 4
    assert len(whole.groups("occlusion")) == COUNT
    for blocks in whole.groups("occlusion").values():
        heatmap, winning, table = blocks
        x, target = _image(heatmap)
        scores, winners = np.zeros((28, 28)), np.zeros((28, 28), int)
        for top in range(0, 28, size):
            for left in range(0, 28, size):
                padded = np.pad(x, ((2 * size,) * 2, (2 * size,) * 2, (0, 0)))
                padded[top : top + 5 * size, left : left + 5 * size] = 0.5
                inside = padded[2 * size : -2 * size, 2 * size : -2 * size]
                logits = network.forward(inside)["dense2"]
                scores[top : top + size, left : left + size] = logits[target]
                winners[top : top + size, left : left + size] = logits.argmax()
        np.testing.assert_allclose(heatmap.map, scores, rtol=1e-3, atol=1e-3)
        expected = Counter(winners[::size, ::size].ravel().tolist())
        counted = {int(str(row[1])): row[2] for row in table.rows}
        assert counted == dict(expected)
        ranks = {row[0]: int(str(row[1])) for row in table.rows}
        drawn = np.vectorize(ranks.get)(winning.map)
        np.testing.assert_array_equal(drawn, winners)
