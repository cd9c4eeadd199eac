"""Montages and cards side by side: the same tiles, one scale, exact differences, largest first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from reportgen.compare.compared import Compared, compared
from reportgen.core.blocks import Caption, Group, Montage, Table
from reportgen.core.report import Section
from tests.audits.reports import report
from tests.compare.reading import groups, section, table
from tests.core.measurements import layer, measured
from tests.render import sample

RANDOM = np.random.default_rng(0)
TILES = RANDOM.normal(size=(4, 3, 3)).astype(np.float32)
FILTERS = tuple(f"filter {i}" for i in range(4))


def montage(tiles: np.ndarray, labels: tuple[str, ...] = FILTERS, **changes: Any) -> Montage:
    bound = float(np.abs(tiles).max())
    settings: dict[str, Any] = {
        "tiles": tiles,
        "low": -bound,
        "high": bound,
        "columns": 2,
        "colormap": "PuOr",
        "labels": labels,
        "caption": Caption(title="conv1 · kernel"),
    }
    return Montage(**(settings | changes))


def weights(*blocks: Any, **changes: Any) -> Section:
    group = Group(title="conv1", layer="conv1", blocks=blocks)
    return Section(method="weights", title="Weights", blocks=(group,), **changes)


def found_of(base: Section, candidate: Section) -> Compared:
    return compared(report(None, base), report(None, candidate))


def three(found: Compared, title: str = "conv1 · kernel") -> tuple[Montage, Montage, Montage]:
    group = groups(section(found, "changed_pictures").blocks)[title]
    first, second, third = group.blocks
    assert isinstance(first, Montage)
    assert isinstance(second, Montage)
    assert isinstance(third, Montage)
    return first, second, third


def test_tiles_stand_in_the_order_of_their_difference_on_one_scale() -> None:
    after = TILES.copy()
    after[3] += 2
    after[0] -= 0.5
    after[1, 0, 0] += 0.25
    found = found_of(weights(montage(TILES)), weights(montage(after)))
    base, candidate, difference = three(found)
    assert base.labels == ("filter 3", "filter 0", "filter 1")  # filter 2 is as it was
    np.testing.assert_array_equal(base.tiles, TILES[[3, 0, 1]])
    np.testing.assert_array_equal(candidate.tiles, after[[3, 0, 1]])
    np.testing.assert_array_equal(difference.tiles, (after - TILES)[[3, 0, 1]])
    bound = float(np.abs(after).max())
    for drawn in (base, candidate):
        assert (drawn.low, drawn.high, drawn.scale) == (-bound, bound, "joint")
        assert drawn.colormap == "PuOr"
    assert difference.colormap == "RdBu_r"
    assert difference.high == -difference.low == float(np.abs(after - TILES).max())
    assert difference.labels == (
        "filter 3: RMS 2",
        "filter 0: RMS 0.5",
        "filter 1: RMS 0.08333",
    )
    row = table(section(found, "changed_pictures").blocks, "1 of 1 picture").rows[0]
    assert row[:4] == ("conv1 · kernel", "Weights", 4, 3)
    assert row[4] == pytest.approx(2.0, rel=1e-6)
    sizes = np.sqrt(np.square(after.astype(float) - TILES).mean() / np.square(TILES).mean())
    assert row[5] == pytest.approx(sizes, rel=1e-6)


def test_colours_differ_without_a_sign() -> None:
    before = RANDOM.uniform(size=(2, 5, 5, 3))
    after = before.copy()
    after[1, ..., 0] -= 0.25
    shape = {"colormap": None, "low": 0.0, "high": 1.0, "labels": ("a", "b")}
    found = found_of(weights(montage(before, **shape)), weights(montage(after, **shape)))
    _, _, difference = three(found)
    assert difference.colormap is None
    assert (difference.low, difference.high) == (0.0, 0.25)
    np.testing.assert_allclose(difference.tiles[0, ..., 0], 0.25)
    np.testing.assert_array_equal(difference.tiles[0, ..., 1:], 0)


def test_tiles_are_matched_by_their_names_without_their_scores() -> None:
    before = montage(TILES[:3], ("unit 4, loss 1.5", "unit 2, loss 1.25", "unit 9, loss 1"))
    after = montage(
        TILES[[1, 0, 3]] + 1, ("unit 2, loss 3", "unit 4, loss 2e-05", "unit 7, loss 1")
    )
    found = found_of(weights(before), weights(after))
    base, candidate, difference = three(found)
    assert base.labels == ("unit 2", "unit 4")
    np.testing.assert_array_equal(base.tiles, TILES[[1, 0]])
    np.testing.assert_array_equal(candidate.tiles, TILES[[1, 0]] + 1)
    group = groups(section(found, "changed_pictures").blocks)["conv1 · kernel"]
    assert group.subtitle == "Weights: 2 of 2 tiles differ; 2 more are in one report only"
    np.testing.assert_allclose(difference.tiles, 1, atol=1e-6)


def test_many_kernels_are_named_by_filter_and_channel_and_the_first_are_drawn() -> None:
    tiles = RANDOM.normal(size=(600, 3, 3))
    shapes = Table(columns=("parameter", "shape"), rows=(("kernel", "3×3×20×30"), ("bias", "30")))
    after = tiles * np.linspace(1, 2, 600)[:, None, None]
    found = found_of(weights(montage(tiles, ()), shapes), weights(montage(after, ()), shapes))
    base, _, difference = three(found)
    assert len(base.tiles) == len(difference.tiles) == 36
    sizes = np.sqrt(np.square(after - tiles).mean(axis=(1, 2)))
    order = np.argsort(-sizes)[:36]
    assert base.labels == tuple(f"filter {i // 20}, channel {i % 20}" for i in order)
    group = groups(section(found, "changed_pictures").blocks)["conv1 · kernel"]
    assert group.subtitle == "Weights: 599 of 600 tiles differ; the 36 that differ most are drawn"


def test_pictures_of_another_size_or_of_one_report_alone_are_told() -> None:
    other = montage(TILES, caption=Caption(title="conv2 · kernel"))
    base = weights(montage(TILES), other, montage(TILES, caption=Caption(title="old")))
    wide = montage(np.zeros((4, 5, 5)), caption=Caption(title="conv2 · kernel"))
    found = found_of(base, weights(montage(TILES + 1), wide))
    why = dict(table(section(found, "not_compared").blocks).rows)
    assert why["pictures of Weights"] == "1 of another size; 1 only in the base"


def test_layers_of_another_shape_have_other_units() -> None:
    def made(units: int, tiles: np.ndarray) -> Any:
        return report(measured(layer("conv1", shape=(2, 2, units))), weights(montage(tiles)))

    found = compared(made(4, TILES), made(5, TILES + 1))
    assert "changed_pictures" not in [one.method for one in found.sections]
    why = dict(table(section(found, "not_compared").blocks).rows)
    assert why["pictures of Weights"] == "1 of layers of another shape"


def test_values_that_are_no_numbers_come_first() -> None:
    after = TILES + np.float32(0.5)
    after[2, 1, 1] = np.nan
    base, _, difference = three(found_of(weights(montage(TILES)), weights(montage(after))))
    assert base.labels[0] == "filter 2"
    assert difference.labels[0] == "filter 2: RMS ∞"
    assert difference.high == pytest.approx(0.5)
    both = TILES.copy()
    both[0, 0, 0] = np.nan
    found = found_of(weights(montage(both)), weights(montage(both.copy())))
    assert "changed_pictures" not in [one.method for one in found.sections]


def test_tiles_of_one_value_are_no_pictures() -> None:
    one = np.zeros((4, 1, 1))
    found = found_of(weights(montage(one, high=1.0)), weights(montage(one + 1)))
    assert "changed_pictures" not in [section.method for section in found.sections]


def cards(block: Any) -> Section:
    group = Group(title="conv1", layer="conv1", blocks=(block,))
    return Section(method="units", title="Units", blocks=(group,))


def test_cards_of_units_give_their_synthesised_pictures_and_kernels() -> None:
    block = sample.units()
    pictures, kernels = np.array(block.pictures), np.array(block.kernels)
    pictures[2] = 255 - pictures[2]
    kernels[0, 3] += 1
    other = replace(block, pictures=pictures, kernels=kernels)
    found = found_of(cards(block), cards(other))
    base, candidate, _ = three(found, "conv1 · synthesised pictures")
    # Unit 5 has no picture, unit 4 the same.
    assert base.labels == ("unit 6",)
    assert (base.low, base.high, base.colormap) == (0, 255, None)
    np.testing.assert_array_equal(candidate.tiles[0], pictures[2])
    base, candidate, difference = three(found, "conv1 · kernels")
    assert base.labels == ("unit 4, input 2",)
    np.testing.assert_allclose(difference.tiles[0], 1, rtol=1e-6)
    # Where kernels are drawn as such, cards do not show them again.
    drawn = [(cards(one), weights(montage(TILES))) for one in (block, other)]
    found = compared(report(None, *drawn[0]), report(None, *drawn[1]))
    assert list(groups(section(found, "changed_pictures").blocks)) == [
        "conv1 · synthesised pictures"
    ]


@pytest.mark.parametrize(
    ("side", "count", "columns", "drawn"),
    [
        (3, 4, 2, 4),
        (3, 100, 6, 36),
        (28, 100, 6, 36),
        (84, 20, 3, 9),
        (112, 20, 6, 6),
        (900, 3, 1, 1),
    ],
)
def test_layout(side: int, count: int, columns: int, drawn: int) -> None:
    tiles = np.zeros((count, side, side), np.float32)
    labels = tuple(f"tile {i}" for i in range(count))
    found = found_of(weights(montage(tiles, labels)), weights(montage(tiles + 1, labels)))
    base, candidate, difference = three(found)
    assert {(one.columns, len(one.tiles)) for one in (base, candidate, difference)} == {
        (columns, drawn)
    }
