"""Presets of synthesis: what they resolve to, what they refuse, and what the report says of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from reportgen.config import read
from reportgen.core.blocks import KeyValues, Montage, Table, Text
from reportgen.core.errors import ConfigError, NotApplicableError
from reportgen.data.load import load_images
from reportgen.methods.synthesis import presets

FILTERS = ("method.filters.layers=conv2", "method.filters.units=[4,6]")


def _one(result: Any, kind: type) -> Any:
    blocks = result.blocks[0].blocks if hasattr(result.blocks[0], "blocks") else result.blocks
    (block,) = (block for block in blocks if isinstance(block, kind))
    return block


def _said(result: Any) -> dict[str, Any]:
    (block,) = (block for block in result.blocks if isinstance(block, KeyValues))
    return dict(block.pairs)


def test_lucid_s_numbers() -> None:
    values = presets.ASCENTS["lucid"]
    assert (values["size"], values["steps"], values["step_size"]) == (128, 512, 0.05)
    assert values["pad"] == 12
    assert [2 * most for most in values["jitter"]] == [8, 4]
    np.testing.assert_allclose(values["zoom"], np.arange(90, 111, 2) / 100)
    assert sorted(values["rotate"]) == sorted([*range(-10, 11), 0, 0, 0, 0, 0])
    assert presets.KINDS["lucid"].optimiser == "adam"


def test_penalties_are_the_peers_in_pixels_of_0_to_1() -> None:
    """A weight on pixels of 0..255 is one on pixels of 0..1 times 255 to the penalty's degree."""
    assert presets.ASCENTS["keras_vis"]["tv_weight"] / 255**2 == 10
    assert presets.ASCENTS["keras_vis"]["lp_weight"] / 255 == 10
    assert presets.ASCENTS["tf_keras_vis"]["tv_weight"] / 255 == 1
    assert presets.ASCENTS["tf_keras_vis"]["lp_weight"] / 255 == pytest.approx(0.3)


LUCID = ("method.filters.preset=lucid", "method.filters.steps=2")


@pytest.fixture(scope="module")
def lucid(run_method: Callable[..., Any], averaged: Any) -> Any:
    return run_method("filters", *FILTERS, *LUCID, model=averaged)


def test_a_null_takes_the_preset_s_value_and_a_given_one_wins(lucid: Any) -> None:
    result = lucid
    said = _said(result)
    assert (said["preset"], said["steps"], said["step_size"]) == ("lucid", "2", "0.05")
    assert said["zoom"] == "0.9…1.1 (11 values)"
    montage = _one(result, Montage)
    # 128 pixels, but three times the network's 28 at the most.
    assert montage.tiles.shape == (1, 84, 84)
    assert (montage.low, montage.high) == (0.0, 255.0)
    formula = montage.caption.formula
    assert formula.startswith("lucid: ascent of the mean activation; Fourier coefficients")
    assert "steps 2, step size 0.05" in formula
    assert "tv weight" not in formula
    table = _one(result, Table)
    assert table.columns == ("unit", "score", "rank", "drawn", "start")
    assert {row[0] for row in table.rows} == {4, 6}
    assert table.rows[0][1] > table.rows[1][1]


def test_the_script_s_numbers_are_said_too(run_method: Callable[..., Any], averaged: Any) -> None:
    keys = ("method.filters.scales=1", "method.filters.steps=1")
    result = run_method("filters", *FILTERS, *keys, model=averaged)
    assert _said(result) == {
        "preset": "keras_seed",
        "scales": "1",
        "factor": "1.2",
        "steps": "1",
        "step_size": "1",
        "start": "128",
        "noise": "20",
        "subtract_mean": "no",
        "rectify": "yes",
    }


def test_a_network_of_16_bits_is_said_and_climbs_too(
    run_method: Callable[..., Any], lucid: Any, averaged: Any
) -> None:
    bits = "engine.bfloat16=true"
    half, whole = run_method("filters", *FILTERS, *LUCID, bits, model=averaged), lucid
    assert _said(half)["network"] == "in bfloat16"
    assert "network" not in _said(whole)
    ours, exact = (_one(result, Table).rows for result in (half, whole))
    assert [row[0] for row in ours] == [row[0] for row in exact]
    scores = np.array([[row[1] for row in rows] for rows in (ours, exact)])
    np.testing.assert_allclose(scores[0], scores[1], rtol=0.1)
    assert (scores[0] != scores[1]).all()


@pytest.mark.slow
def test_several_pictures_of_a_unit_lie_in_a_row(
    run_method: Callable[..., Any], averaged: Any
) -> None:
    keys = ("preset=keras_vis", "steps=2", "size=30", "images=3")
    more = [f"method.filters.{key}" for key in keys]
    result = run_method("filters", *FILTERS, *more, model=averaged)
    montage = _one(result, Montage)
    assert montage.tiles.shape == (6, 30, 30)
    assert montage.columns == 3
    assert [label.split(",")[0] for label in montage.labels][2:4] == [
        montage.labels[0].split(",")[0],
        montage.labels[5].split(",")[0],
    ]
    assert "less 1 × score × cosine of Gram matrices" in montage.caption.formula


@pytest.mark.slow
def test_a_class_is_recognised_in_its_picture(run_method: Callable[..., Any]) -> None:
    result = run_method(
        "class_images",
        "method.class_images.preset=lucid",
        "method.class_images.classes=[2,5]",
        "method.class_images.steps=80",
        "method.class_images.size=40",
        "method.class_images.images=2",
    )
    table = _one(result, Table)
    assert [row[0] for row in table.rows] == ["2", "2", "5", "5"]
    assert all(row[0] == row[3] and row[2] > 0.9 for row in table.rows)
    montage = _one(result, Montage)
    assert montage.labels == ("2", "2", "5", "5")
    assert montage.tiles.shape == (4, 40, 40)
    assert not [block for block in result.blocks if isinstance(block, Text)]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("filters.pad=3",), "keras_seed has no use for pad; it takes factor, noise"),
        (("filters.preset=lucid", "filters.scales=3"), "lucid has no use for scales"),
        (("filters.preset=lucid", "filters.crops=3"), "lucid has no use for crops"),
        (("filters.objective=neuron",), "keras_seed climbs channels alone"),
        (("filters.images=2",), "keras_seed makes one image of a unit"),
        (("filters.preset=lucid", "filters.objective=direction"), "needs a direction"),
        (("filters.preset=lucid", "filters.direction=[1.0]"), "no other takes one"),
        (("filters.preset=lucid", r"filters.position=[1,1]"), "is of objective=neuron"),
        (("filters.preset=lucid", "filters.power=2.0"), "power is of objective=direction"),
        (
            (
                "filters.preset=lucid",
                "filters.objective=neuron",
                "filters.position=[0,1]",
                "filters.size=50",
            ),
            "leave size=null",
        ),
        (("filters.preset=lucid", "filters.zoom=[0.0]"), "factors above 0"),
        (("filters.preset=maco", "filters.box=[0.5,0.0]"), "above 0 and at most 1"),
        (
            (
                "filters.preset=lucid",
                "filters.objective=direction",
                "filters.direction=[1.0,2.0]",
                "filters.layers=conv2",
            ),
            "has 2 values; conv2 has 50 channels",
        ),
        (
            (
                "filters.preset=lucid",
                "filters.objective=neuron",
                "filters.position=[0,8]",
                "filters.layers=conv2",
            ),
            r"\[0, 8\] is outside of conv2, whose maps are 8×8",
        ),
        (("class_images.jitter=[1,2]",), "octaves takes one jitter"),
        (("class_images.value_range=[3.0,2.0]",), "the lower first"),
    ],
)
def test_what_does_not_go_together_is_refused(
    overrides: tuple[str, ...], message: str, run_method: Callable[..., Any]
) -> None:
    name = overrides[0].partition(".")[0]
    with pytest.raises(ConfigError, match=message):
        run_method(name, *(f"method.{override}" for override in overrides))


def test_maco_needs_images(run_method: Any, composed: Any, lenet: Any) -> None:
    none = load_images(read(composed("data=none")).data, lenet.spec, lenet.classes, 0)
    with pytest.raises(NotApplicableError, match="maco takes its magnitudes from images"):
        run_method("filters", "method.filters.preset=maco", images=none)
