"""results.json: what is written is read back, follows the shipped schema, and is strict JSON."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from importlib import resources
from typing import Any

import jsonschema
import numpy as np
import pytest

from reportgen.core import results
from reportgen.core.blocks import (
    Caption,
    ComparedMap,
    Comparison,
    Curve,
    Group,
    Heatmap,
    KeyValues,
    Montage,
    Series,
)
from reportgen.core.errors import OutputError
from reportgen.core.report import DataCard, ModelCard, Provenance, Report, Section

TILES = np.arange(18, dtype=np.float32).reshape(2, 3, 3)


def report(*blocks: Any, **changes: Any) -> Report:
    words = ("name", "architecture", "framework", "evaluation", "input", "preprocessing", "weights")
    card = dict.fromkeys(words, "x")
    return Report(
        title="t",
        model=ModelCard(
            **card,
            layers=1,
            parameters=2,
            flops=3,
            weights_sha256="",
            weights_random=False,
            scores="",
            classes=("a", "b"),
        ),
        data=DataCard(source="s", count=1, labelled=False, sha256="", skipped=(("f", "why"),)),
        metrics={"accuracy": 0.1 + 0.2},
        findings=(),
        sections=(Section(method="weights", title="W", blocks=blocks),),
        provenance=Provenance(
            reportgen="0",
            python="3",
            packages={},
            device="cpu",
            seed=0,
            config_sha256="",
            git_commit="",
            git_dirty=None,
            created="",
        ),
        command="reportgen",
        **changes,
    )


def montage() -> Montage:
    return Montage(tiles=TILES, low=0.0, high=math.inf, columns=2, caption=Caption(title="m"))


def test_a_report_survives_strict_json() -> None:
    blocks = (
        Group(title="../conv1", blocks=(montage(), KeyValues(pairs=(("x", math.nan), ("n", 3))))),
        Group(title="../conv1", blocks=(montage(),)),
    )
    data, arrays = results.dump(report(*blocks))
    text = json.dumps(data, allow_nan=False)
    back = results.load(json.loads(text), lambda name: arrays[name])
    group: Any = back.sections[0].blocks[0]
    np.testing.assert_array_equal(group.blocks[0].tiles, TILES)
    assert group.blocks[0].high == math.inf
    (_, number), counted = group.blocks[1].pairs
    assert math.isnan(number)
    assert counted == ("n", 3)
    assert back.metrics["accuracy"] == 0.1 + 0.2
    assert results.dump(back)[0] == data


def test_arrays_have_names_that_say_what_they_are_and_are_safe_in_an_archive() -> None:
    same = np.ones(3)
    curve = Curve(
        series=(Series(name="s", x=same, y=same),),
        caption=Caption(title="c"),
        x_label="x",
        y_label="y",
    )
    other = Montage(tiles=TILES + 1, low=0.0, high=1.0, columns=1, caption=Caption(title="o"))
    _, arrays = results.dump(report(Group(title="/../a b", blocks=(montage(), curve, other))))
    assert list(arrays) == ["weights.npz"]
    assert list(arrays["weights.npz"]) == [
        "_.._a_b/montage/tiles",
        "_.._a_b/curve/x",
        "_.._a_b/montage/tiles-2",
    ]


def test_arrays_of_one_of_several_pictures_are_named_after_it() -> None:
    parts = (replace(montage(), part=f"channel {i}", tiles=TILES + i) for i in (3, 7))
    _, arrays = results.dump(report(Group(title="conv1", blocks=tuple(parts))))
    assert list(arrays["weights.npz"]) == [
        "conv1/channel_3/montage/tiles",
        "conv1/channel_7/montage/tiles",
    ]


def heatmap(image: np.ndarray, **changes: Any) -> Heatmap:
    values = np.linspace(0, 1, 6).reshape(2, 3)
    made = Heatmap(
        image=image, map=values, low=0, high=1, colormap="jet", caption=Caption(title="h")
    )
    return replace(made, **changes)


def test_images_and_compared_maps_are_stored_once_and_all_else_under_its_own_name() -> None:
    image = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    first, second = heatmap(image), heatmap(image.copy())
    compared = Comparison(
        image=image.copy(),
        maps=tuple(
            ComparedMap(title="m", map=values, low=0, high=1, colormap="jet", opacity=0.5)
            for values in (first.map.copy(), np.ones((2, 3)))
        ),
        caption=Caption(title="c"),
    )
    sections = [
        Section(method=name, title=name, blocks=(block,))
        for name, block in (("saliency", first), ("lrp", second), ("side_by_side", compared))
    ]
    data, arrays = results.dump(replace(report(), sections=tuple(sections)))
    assert {file: list(found) for file, found in arrays.items()} == {
        "saliency.npz": ["heatmap/image", "heatmap/map"],
        "lrp.npz": ["heatmap/map"],
        "side_by_side.npz": ["comparison/map"],
    }
    assert data["sections"][1]["blocks"][0]["image"]["file"] == "saliency.npz"
    back: Any = results.load(data, lambda name: arrays[name]).sections[2].blocks[0]
    np.testing.assert_array_equal(back.image, image)
    np.testing.assert_array_equal(back.maps[0].map, first.map)
    np.testing.assert_array_equal(back.maps[1].map, 1)


def test_images_that_differ_in_type_or_shape_alone_are_not_the_same() -> None:
    zeros = (np.zeros((2, 3, 1), np.uint8), np.zeros((3, 2, 1), np.uint8))
    blocks = [heatmap(image) for image in (*zeros, zeros[0].copy())]
    object.__setattr__(blocks[2], "image", zeros[0].astype(np.int8))
    _, arrays = results.dump(report(*blocks))
    assert [name for name in arrays["weights.npz"] if "image" in name] == [
        "heatmap/image",
        "heatmap/image-2",
        "heatmap/image-3",
    ]


@pytest.mark.parametrize(
    ("pixels", "dtype"),
    [
        ([0.0, 128.0, 255.0], np.uint8),
        ([0.0, 0.5, 255.0], np.float32),
        ([-1.0, 0.0, 1.0], np.float32),
        ([0.0, 1.0, 256.0], np.float32),
        ([0.0, 1.0, np.nan], np.float32),
    ],
)
def test_images_of_whole_numbers_are_kept_in_8_bits(pixels: list[float], dtype: type) -> None:
    image = np.array(pixels * 2, np.float32).reshape(2, 3, 1)
    kept = heatmap(image).image
    assert kept.dtype == dtype
    np.testing.assert_array_equal(kept, image)


def test_the_shipped_schema_is_the_code_and_takes_what_is_written() -> None:
    shipped = resources.files("reportgen.core").joinpath("results.schema.json").read_text("utf-8")
    assert json.loads(shipped) == results.json_schema()
    data, _ = results.dump(report(montage()))
    validator = jsonschema.Draft202012Validator(results.json_schema())
    assert list(validator.iter_errors(data)) == []
    data["sections"][0]["blocks"][0]["columns"] = "two"
    assert list(validator.iter_errors(data))


def test_another_version_or_a_damaged_file_is_refused() -> None:
    data, arrays = results.dump(report(montage()))
    with pytest.raises(OutputError, match="schema version 3; this reportgen reads 1 to 2"):
        results.load({**data, "schema_version": 3}, lambda name: arrays[name])
    with pytest.raises(OutputError, match="schema version None"):
        results.load([], lambda name: arrays[name])
    with pytest.raises(OutputError, match=r"damaged at sections\.0\.blocks\.0"):
        results.load(data, lambda name: {})
