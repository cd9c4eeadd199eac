"""Layers and units: what changed most comes first, what only one report has is listed."""

from __future__ import annotations

import math

import numpy as np

from reportgen.compare.compared import compared
from reportgen.core.blocks import Bars, Curve
from reportgen.core.measured import MeasuredLayer
from tests.audits.reports import report
from tests.compare.reading import groups, of_type, section, table
from tests.core.measurements import layer, measured

RANDOM = np.random.default_rng(0)
WEIGHTS = RANDOM.normal(size=64)
ANSWERS = RANDOM.normal(size=(50, 4)) + 1.0


def found_of(base: list[MeasuredLayer], candidate: list[MeasuredLayer]):  # type: ignore[no-untyped-def]
    return compared(
        report(measured(*base, images=[1], predicted=[0])),
        report(measured(*candidate, images=[1], predicted=[0])),
    )


def test_the_layer_that_changed_most_is_first_and_equal_ones_are_counted() -> None:
    base = [layer(name, WEIGHTS, ANSWERS) for name in ("a", "b", "c")]
    pool = layer("pool", answers=ANSWERS)
    moved = layer("pool", answers=ANSWERS + 0.5)
    changed = [
        base[0],
        layer("b", WEIGHTS * 1.5, ANSWERS),
        layer("c", -WEIGHTS, ANSWERS),
    ]
    found = found_of([*base, pool], [*changed, moved])
    blocks = section(found, "changed_layers").blocks
    rows = table(blocks, "3 of 4 layers changed").rows
    assert [row[0] for row in rows] == ["c", "b", "pool"]
    names = table(blocks, "3 of 4").columns
    first = dict(zip(names, rows[0], strict=True))
    assert first["weights, relative change"] == 2.0  # of a sketch: exact for multiples
    assert first["cosine"] == -1.0
    assert first["answers, PSI"] == 0.0
    assert math.isclose(dict(zip(names, rows[1], strict=True))["weights, relative change"], 0.5)
    last = dict(zip(names, rows[2], strict=True))
    assert last["weights, relative change"] is None
    assert last["KS"] > 0
    assert last["largest shift of a unit"] == np.max(0.5 / ANSWERS.std(axis=0))
    weights, answers = of_type(blocks, Bars)
    assert weights.names == ("c", "b")
    np.testing.assert_allclose(weights.series[0].values, [2.0, 0.5])
    assert answers.names == ("pool",)
    # What has no weights only passes on what another layer answered.
    assert list(groups(blocks)) == ["c", "b"]


def test_units_that_died_come_first_then_those_that_moved_most() -> None:
    before = np.abs(ANSWERS) + 0.1
    after = before.copy()
    after[:, 1] = -1.0  # dies
    after[:, 3] += 2 * before[:, 3].std()
    after[:, 0] += 5 * before[:, 0].std()
    norms = np.array([1.0, 2.0, 4.0, 8.0])
    found = found_of(
        [layer("conv1", WEIGHTS, before, unit_norms=norms)],
        [layer("conv1", WEIGHTS * 2, after, unit_norms=norms * [1, 1, 1.5, 1])],
    )
    group = groups(section(found, "changed_layers").blocks)["conv1"]
    assert group.layer == "conv1"
    units = table(group.blocks, "Changed units: 4 of 4")
    assert [row[0] for row in units.rows] == [1, 0, 3, 2]
    cells = [dict(zip(units.columns, row, strict=True)) for row in units.rows]
    assert cells[0]["state"] == "newly dead"
    assert cells[1]["state"] == ""
    np.testing.assert_allclose(cells[1]["shift"], 5)
    np.testing.assert_allclose(cells[2]["shift"], 2)
    assert (cells[3]["norm of the base"], cells[3]["change of the norm"]) == (4.0, 0.5)
    assert cells[3]["shift"] == 0.0
    (curve,) = of_type(group.blocks, Curve)
    assert curve.series[0].y[2] == 0
    assert found.metrics["newly dead units"] == 1


def test_layers_of_one_network_alone_are_listed_with_the_reason() -> None:
    found = found_of(
        [layer("a", WEIGHTS, ANSWERS), layer("b", WEIGHTS, ANSWERS), layer("old", shape=(5,))],
        [layer("a", WEIGHTS, ANSWERS), layer("b", WEIGHTS, ANSWERS, shape=(2, 4)), layer("new")],
    )
    unmatched = table(section(found, "changed_layers").blocks, "Layers that are not compared")
    assert unmatched.rows == (
        ("b", "conv", "8 × 8 × 4", "2 × 4", "another shape"),
        ("old", "conv", "5", None, "only in the base"),
        ("new", "conv", None, "8 × 8 × 4", "only in the candidate"),
    )
    (warning,) = [finding for finding in found.findings if finding.severity == "warn"]
    assert "1 have another shape, 1 are only in the base, 1 are only in" in warning.message


def test_weights_that_share_no_direction_are_said_to_be_of_another_training() -> None:
    other = np.random.default_rng(7).normal(size=64)
    found = found_of([layer("a", WEIGHTS, ANSWERS)], [layer("a", other, ANSWERS)])
    why = dict(table(section(found, "not_compared").blocks).rows)
    assert "as those of a network trained anew" in str(why["units, one by one"])
    near = found_of([layer("a", WEIGHTS, ANSWERS)], [layer("a", WEIGHTS + 0.1, ANSWERS)])
    assert "units, one by one" not in dict(table(section(near, "not_compared").blocks).rows)


def test_answers_that_are_no_numbers_are_changes() -> None:
    broken = ANSWERS.copy()
    broken[:, 2] = np.nan
    found = found_of([layer("a", WEIGHTS, ANSWERS)], [layer("a", WEIGHTS, broken)])
    blocks = section(found, "changed_layers").blocks
    units = table(groups(blocks)["a"].blocks, "Changed units: 1 of 4")
    assert units.rows[0][0] == 2


def test_without_images_weights_are_compared_alone() -> None:
    found = compared(
        report(measured(layer("a", WEIGHTS))), report(measured(layer("a", WEIGHTS * 2)))
    )
    (row,) = table(section(found, "changed_layers").blocks, "1 of 1 layer").rows
    assert row[2:] == (1.0, 1.0, None, None, None, None, None)
    why = dict(table(section(found, "not_compared").blocks).rows)
    assert why["answers of layers"] == "one of the reports saw no images"


def test_one_report_without_images_and_layers_without_units_to_tell_of() -> None:
    found = compared(
        report(measured(layer("a", WEIGHTS, shape=(8, 8, 4)), layer("norm", WEIGHTS))),
        report(measured(layer("a", WEIGHTS * 2, ANSWERS), layer("norm", WEIGHTS * 3))),
    )
    blocks = section(found, "changed_layers").blocks
    assert [row[0] for row in table(blocks, "2 of 2 layers").rows] == ["norm", "a"]
    assert groups(blocks) == {}
    norms = np.array([1.0, 2.0, 3.0, 4.0])
    found = compared(
        report(measured(layer("a", WEIGHTS, unit_norms=norms))),
        report(measured(layer("a", WEIGHTS * 2, unit_norms=norms * 2))),
    )
    units = table(groups(section(found, "changed_layers").blocks)["a"].blocks, "Changed units: 4")
    assert units.rows[0] == (0, 1.0, 1.0, None)
