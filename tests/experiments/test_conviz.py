"""The conviz experiment draws kernels by input channel and each feature map by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from reportgen.core.blocks import Montage
from tests.experiments import classic

SOME = {"conv1": [0, 7, 19], "conv2": [3, 40, 49]}  # channels whose maps every run draws
ALL = {"conv1": list(range(20)), "conv2": list(range(50))}


@pytest.fixture(
    scope="module",
    params=[pytest.param(SOME, id="some"), pytest.param(ALL, id="all", marks=pytest.mark.slow)],
)
def shown(request: pytest.FixtureRequest) -> dict[str, list[int]]:
    found: dict[str, list[int]] = request.param
    return found


@pytest.fixture(scope="module")
def made(make: Callable[..., Any], shown: dict[str, list[int]]) -> Any:
    if shown == ALL:
        return make("conviz")
    some = ",".join(f"{layer}:{channels}" for layer, channels in shown.items()).replace(" ", "")
    return make("conviz", f"method.activations.channels={{{some}}}")


def _montages(made: Any, method: str, layer: str) -> list[Montage]:
    return [block for block in made.groups(method)[layer] if isinstance(block, Montage)]


@pytest.mark.parametrize(("layer", "channels"), [("conv1", 1), ("conv2", 20)])
def test_kernels(layer: str, channels: int, made: Any, lenet: Any) -> None:
    kernel = np.asarray(lenet.parameters[f"{layer}.kernel"])
    rows, columns = classic.middle_factors(kernel.shape[3])
    montages = _montages(made, "weights", layer)
    assert len(montages) == channels
    scaled = classic.joint(kernel)  # one range for the layer
    for channel, montage in enumerate(montages):
        stored = made.arrays("weights")[f"{layer}/channel_{channel}/montage/tiles"]
        np.testing.assert_array_equal(stored, kernel[:, :, channel].transpose(2, 0, 1))
        assert montage.columns == columns
        tiles = classic.matplotlib_colours(scaled[:, :, channel].transpose(2, 0, 1), "seismic")
        expected = classic.padded_grid(tiles, rows, columns, 1)[:-1, :-1]
        drawn = made.picture(f"weights-{layer}-channel-{channel}-montage.webp")
        np.testing.assert_array_equal(drawn, expected)


@pytest.mark.parametrize("layer", ["conv1", "conv2"])
def test_feature_maps(layer: str, shown: dict[str, list[int]], made: Any, numpy_lenet: Any) -> None:
    arrays = made.arrays("activations")
    values = numpy_lenet(arrays["gallery/image"].astype(np.float64) / 256)[layer]
    montages = _montages(made, "activations", layer)
    low, high = values.min(), values.max()
    for channel, montage in zip(shown[layer], montages, strict=True):
        stored = arrays[f"{layer}/channel_{channel}/montage/tiles"]
        np.testing.assert_allclose(stored[0], values[:, :, channel], rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose((montage.low, montage.high), (low, high), rtol=1e-4)
        assert (montage.colormap, montage.interpolation) == ("hot", "bicubic")
        drawn = made.picture(f"activations-{layer}-channel-{channel}-montage.webp")
        zoom = drawn.shape[0] // stored.shape[1]
        assert drawn.shape[:2] == (zoom * stored.shape[1], zoom * stored.shape[2])
        assert zoom >= 8
        smooth = classic.bicubic(stored[0].astype(np.float64), zoom)
        scaled = np.clip((smooth - montage.low) / (montage.high - montage.low), 0, 1)
        expected = classic.matplotlib_colours(scaled, "hot")
        # On the edge between two of 256 colours either may be drawn.
        assert (drawn == expected).all(axis=-1).mean() > 0.99
        assert np.abs(drawn.astype(int) - expected).max() <= 11


def test_any_subset_of_channels_and_filters(make: Callable[..., Any], lenet: Any) -> None:
    some = make(
        "conviz",
        "layers=conv2",
        "method.weights.channels=[7,3]",
        "method.weights.filters=[1,4,9,16,25,36]",
        "method.activations.channels=[40]",
    )
    kernel = np.asarray(lenet.parameters["conv2.kernel"])
    for channel in (7, 3):
        stored = some.arrays("weights")[f"conv2/channel_{channel}/montage/tiles"]
        wanted = kernel[:, :, channel, [1, 4, 9, 16, 25, 36]].transpose(2, 0, 1)
        np.testing.assert_array_equal(stored, wanted)
    montages = _montages(some, "weights", "conv2")
    assert [montage.columns for montage in montages] == [3, 3]
    assert {(m.low, m.high) for m in montages} == {(kernel.min(), kernel.max())}
    (one,) = _montages(some, "activations", "conv2")
    assert one.part == "channel 40"
