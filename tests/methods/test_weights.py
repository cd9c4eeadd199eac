"""Kernels are shown as they are, tile by tile."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from reportgen.core.blocks import Curve, Histogram, Montage, Table
from reportgen.core.errors import ConfigError, NotApplicableError


def _blocks(group: Any, kind: type) -> list[Any]:
    return [block for block in group.blocks if isinstance(block, kind)]


def test_a_row_holds_whole_filters_and_each_tile_is_one_input_channel(
    run_method: Any, lenet: Any
) -> None:
    (group,) = run_method("weights", "layers=conv2").blocks
    (montage,) = _blocks(group, Montage)
    kernel = np.asarray(lenet.parameters["conv2.kernel"])
    assert montage.tiles.shape == (1000, 5, 5)
    for filter_index, channel in ((0, 0), (0, 19), (1, 0), (49, 7)):
        tile = montage.tiles[filter_index * 20 + channel]
        np.testing.assert_array_equal(tile, kernel[:, :, channel, filter_index])
    assert montage.columns % 20 == 0
    assert montage.high == -montage.low == np.abs(kernel).max()
    assert "5×5×20×50" in montage.caption.detail
    assert "method.weights.layers=[conv2]" in montage.caption.override.replace("'", "")


def test_selection_of_filters_and_channels(run_method: Any, lenet: Any) -> None:
    chosen = ("layers=conv2", "method.weights.filters=[3,1]", "method.weights.channels=7")
    (group,) = run_method("weights", *chosen, "method.weights.scale=joint").blocks
    (montage,) = _blocks(group, Montage)
    kernel = np.asarray(lenet.parameters["conv2.kernel"])
    np.testing.assert_array_equal(montage.tiles, kernel[:, :, 7, [3, 1]].transpose(2, 0, 1))
    assert (montage.low, montage.high) == (montage.tiles.min(), montage.tiles.max())
    assert montage.labels == ("filter 3, channel 7", "filter 1, channel 7")
    with pytest.raises(ConfigError, match=r"conv2 has 50 filters; there is no filter 50\.\nThey"):
        run_method("weights", "layers=conv2", "method.weights.filters=50")


def test_what_does_not_fit_is_left_out_and_said(run_method: Any) -> None:
    (group,) = run_method("weights", "layers=conv2", "method.weights.max_side=60").blocks
    (montage,) = _blocks(group, Montage)
    assert len(montage.tiles) == 100
    assert "the first 100 of 1,000 tiles" in montage.caption.detail


def test_statistics_of_every_parameter(run_method: Any, lenet: Any) -> None:
    (group,) = run_method("weights", "layers=conv1").blocks
    (table,) = _blocks(group, Table)
    for row in table.rows:
        values = np.asarray(lenet.parameters[f"conv1.{row[0]}"], np.float64)
        np.testing.assert_allclose(
            row[2:7],
            (values.mean(), values.std(), values.min(), values.max(), (values == 0).mean()),
            rtol=1e-6,
        )
    (histogram,) = _blocks(group, Histogram)
    assert histogram.counts.sum() == 500
    assert len(histogram.counts) == 20


def test_dense_layers_are_a_curve_and_histograms(run_method: Any, lenet: Any) -> None:
    (group,) = run_method("weights", "layers=ip2").blocks
    assert _blocks(group, Montage) == []
    (curve,) = _blocks(group, Curve)
    kernel = np.asarray(lenet.parameters["ip2.kernel"], np.float64)
    np.testing.assert_allclose(curve.series[0].y, np.sqrt((kernel**2).sum(axis=0)), rtol=1e-6)
    positive, everything = _blocks(group, Histogram)
    assert (len(positive.counts), len(everything.counts)) == (100, 20)
    assert positive.counts.sum() == (kernel > 0).sum()
    assert everything.counts.sum() == kernel.size


def test_kernels_on_three_channels_are_in_colour(run_method: Any, model_of: Any) -> None:
    import jax
    from flax import nnx

    from reportgen.core.spec import InputSpec

    class Net(nnx.Module):
        def __init__(self, rngs: nnx.Rngs) -> None:
            self.conv = nnx.Conv(3, 6, (3, 3), rngs=rngs)

        def __call__(self, x: jax.Array) -> jax.Array:
            return self.conv(x).mean(axis=(1, 2))

    spec = InputSpec(height=8, width=8, channels=3, order="bgr")
    model = model_of(Net, spec)
    (group,) = run_method("weights", model=model).blocks
    (montage,) = _blocks(group, Montage)
    assert montage.colormap is None
    kernel = np.asarray(model.parameters["conv.kernel"])
    # The network's channels are BGR; the picture's are RGB.
    np.testing.assert_array_equal(montage.tiles[4], kernel[:, :, ::-1, 4])


def test_a_layer_without_a_kernel_is_refused(run_method: Any) -> None:
    with pytest.raises(NotApplicableError, match=r"pool1 \(pool\) has no kernel.*\nIt applies to"):
        run_method("weights", "layers=pool1")


def test_a_picture_of_each_input_channel_over_the_range_of_the_layer(
    run_method: Any, lenet: Any
) -> None:
    keys = ("pictures=channel", "grid=factors", "scale=joint", "channels=[3,7]", "gap=2")
    chosen = [f"method.weights.{key}" for key in keys]
    (group,) = run_method("weights", "layers=conv2", *chosen).blocks
    montages = _blocks(group, Montage)
    kernel = np.asarray(lenet.parameters["conv2.kernel"])
    for montage, channel in zip(montages, (3, 7), strict=True):
        np.testing.assert_array_equal(montage.tiles, kernel[:, :, channel].transpose(2, 0, 1))
        assert (montage.low, montage.high) == (kernel.min(), kernel.max())
        assert (montage.columns, montage.gap) == (10, 2)
        assert montage.caption.title == f"conv2 · kernel · channel {channel}"
        assert montage.labels[4] == "filter 4"
        assert montage.caption.override.endswith(f"'method.weights.channels=[{channel}]'")
        assert montage.part == f"channel {channel}"
    assert group.blocks[-2:] == tuple(montages)
