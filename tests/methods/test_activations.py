"""Activations are the network's own outputs, for the chosen images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from reportgen.core.blocks import Curve, Gallery, Group, Histogram, KeyValues, Montage
from reportgen.core.errors import ConfigError, NotApplicableError


def test_every_layer_against_numpy(run_method: Any, digits: Any, numpy_lenet: Any) -> None:
    result = run_method("activations", "method.activations.images=[2,5]")
    gallery, *groups = result.blocks
    assert isinstance(gallery, Gallery)
    assert [item.title for item in gallery.items] == [digits.names[2], digits.names[5]]
    expected = [numpy_lenet(digits.pixels[i].astype(np.float64) / 256) for i in (2, 5)]
    seen = []
    for group in groups:
        assert isinstance(group, Group)
        seen.append(group.title)
        if group.title == "prob":
            continue
        pictures = [b for b in group.blocks if isinstance(b, Montage | Curve)]
        pictures = pictures[-2:]  # after what compares the images
        facts = [b for b in group.blocks if isinstance(b, KeyValues)]
        for picture, fact, outputs in zip(pictures, facts, expected, strict=True):
            values = outputs[group.title]
            if isinstance(picture, Montage):
                shown = picture.tiles.transpose(1, 2, 0)
                np.testing.assert_allclose(
                    (picture.low, picture.high), (values.min(), values.max()), rtol=1e-3, atol=1e-3
                )
            else:
                shown = picture.series[0].y
            np.testing.assert_allclose(shown, values, rtol=1e-3, atol=1e-3)
            pairs = dict(fact.pairs)
            np.testing.assert_allclose(pairs["mean"], values.mean(), rtol=1e-3, atol=1e-4)
            np.testing.assert_allclose(pairs["zero fraction"], (values == 0).mean())
    # flatten repeats pool2, so it is not shown.
    assert seen == ["conv1", "pool1", "conv2", "pool2", "ip1", "relu1", "ip2", "prob"]


def test_softmax_is_drawn_unnormalised(run_method: Any) -> None:
    group = run_method("activations", "layers=[prob]").blocks[1]
    curve = group.blocks[0]
    assert curve.y_range == (0.0, 1.0)
    np.testing.assert_allclose(curve.series[0].y.sum(), 1.0, rtol=1e-5)


def test_dense_layers_have_a_histogram_of_positive_values(run_method: Any) -> None:
    group = run_method("activations", "layers=[relu1]").blocks[1]
    values = group.blocks[0].series[0].y
    positive, everything = (b for b in group.blocks if isinstance(b, Histogram))
    assert (len(positive.counts), positive.counts.sum()) == (100, (values > 0).sum())
    assert everything.counts.sum() == 500


def test_selection_of_channels_and_range_of_each_map(run_method: Any) -> None:
    everything = run_method("activations", "layers=conv1").blocks[1].blocks[0]
    chosen = ("method.activations.channels=[4,2]", "method.activations.scale=each")
    some = run_method("activations", "layers=conv1", *chosen).blocks[1].blocks[0]
    np.testing.assert_array_equal(some.tiles, everything.tiles[[4, 2]])
    assert some.labels == ("channel 4", "channel 2")
    assert (some.scale, everything.scale) == ("each", "joint")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("images=200", r"images has 200; there are 200 images.\nThey are counted from 0 to 199"),
        ("channels=20", r"conv1 has 20 channels; there is no channel 20"),
        ("channels={conv2:[50]}", r"conv2 has 50 channels; there is no channel 50"),
        (
            "channels={conv3:[1]}",
            r"there is no layer conv3 with maps.\nDid you mean conv1 or conv2",
        ),
        ("channels={conv1:[-1]}", r"channels.*expected"),
        ("layers=[flatten]", r"flatten \(flatten\) only repeats the layer before it"),
    ],
)
def test_what_is_not_there_is_refused(override: str, message: str, run_method: Any) -> None:
    with pytest.raises((ConfigError, NotApplicableError), match=message):
        run_method("activations", f"method.activations.{override}")


def test_channels_of_one_layer(run_method: Any) -> None:
    chosen = ("layers=[conv1,conv2]", "method.activations.channels={conv1:[4,2]}")
    _, one, two = run_method("activations", *chosen).blocks
    assert one.blocks[0].labels == ("channel 4", "channel 2")
    assert len(two.blocks[0].tiles) == 50


def test_a_picture_of_each_map_over_the_range_of_the_layer(run_method: Any) -> None:
    (whole,) = (b for b in run_method("activations", "layers=conv1").blocks[1].blocks[:1])
    keys = ("pictures=channel", "interpolation=bicubic", "channels=[4,2]")
    chosen = [f"method.activations.{key}" for key in keys]
    group = run_method("activations", "layers=conv1", *chosen).blocks[1]
    maps = [block for block in group.blocks if isinstance(block, Montage)]
    for one, channel in zip(maps, (4, 2), strict=True):
        np.testing.assert_array_equal(one.tiles, whole.tiles[[channel]])
        assert (one.low, one.high) == (whole.low, whole.high)
        assert one.interpolation == "bicubic"
        assert one.caption.title.endswith(f"· channel {channel}")
        assert one.caption.override.endswith(f"'method.activations.channels=[{channel}]'")
        assert one.part == f"channel {channel}"


def test_units_as_tiles_of_one_value(run_method: Any) -> None:
    chosen = ("method.activations.dense=tiles", "method.activations.grid=digits")
    _, relu, prob = run_method("activations", "layers=[relu1,prob]", *chosen).blocks
    curve = run_method("activations", "layers=[relu1]").blocks[1].blocks[0]
    montage = relu.blocks[0]
    np.testing.assert_array_equal(montage.tiles[:, 0, 0], curve.series[0].y)
    assert (montage.columns, montage.gap) == (22, 0)
    assert (montage.low, montage.high) == (montage.tiles.min(), montage.tiles.max())
    assert (prob.blocks[0].low, prob.blocks[0].high) == (0.0, 1.0)
    assert [type(block) for block in relu.blocks] == [Montage, KeyValues, Histogram]


def test_the_maps_that_differ_most_are_compared_across_images(
    run_method: Any, digits: Any, numpy_lenet: Any
) -> None:
    chosen = ("layers=[conv1,ip1]", "method.activations.images=[2,5,9]")
    _, maps, units = run_method("activations", *chosen).blocks
    compared = maps.blocks[0]
    values = np.stack(
        [numpy_lenet(digits.pixels[i].astype(np.float64) / 256)["conv1"] for i in (2, 5, 9)]
    )
    order = np.argsort(-values.var(axis=0).mean(axis=(0, 1)))[:12]
    expected = values[..., order].transpose(0, 3, 1, 2).reshape(-1, *values.shape[1:3])
    np.testing.assert_allclose(compared.tiles, expected, rtol=1e-3, atol=1e-3)
    assert compared.columns == 12
    assert compared.labels[13] == f"{digits.names[5]} · channel {order[1]}"
    assert (compared.low, compared.high) == (compared.tiles.min(), compared.tiles.max())
    assert "the 12 of 20 that differ most" in compared.caption.detail
    assert not any(isinstance(block, Montage) for block in units.blocks)


def test_images_are_compared_only_in_the_channels_and_room_there_is(run_method: Any) -> None:
    keys = ("images=[0,1,2]", "channels=[4,2]", "max_side=52")
    chosen = [f"method.activations.{key}" for key in keys]
    compared = run_method("activations", "layers=[conv1]", *chosen).blocks[1].blocks[0]
    assert len(compared.tiles) == 2 * 2  # two maps of 24 and a gap fit on either side
    assert compared.caption.detail.endswith("the first 2 of 3 images")
    assert {label.split("channel ")[1] for label in compared.labels} == {"4", "2"}


def test_one_image_is_compared_with_none(run_method: Any) -> None:
    maps = run_method("activations", "layers=[conv1]").blocks[1]
    assert sum(isinstance(block, Montage) for block in maps.blocks) == 1
    assert maps.layer == "conv1"
