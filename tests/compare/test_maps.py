"""Maps of one image in both reports: agreement, order, one scale, exact differences."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from reportgen.compare.compared import Compared, compared
from reportgen.core.agreement import rank_correlation, similarity
from reportgen.core.blocks import Bars, Comparison, Group
from tests.audits.reports import maps, report
from tests.compare.reading import groups, of_type, section, table

RANDOM = np.random.default_rng(0)
BEFORE = [RANDOM.random((12, 12)) for _ in range(8)]
NUMBERS = list(range(1, 9))


def found_of(base: Any, candidate: Any) -> Compared:
    return compared(report(None, base), report(None, candidate))


def pictures(found: Compared, title: str = "saliency") -> list[Comparison]:
    return of_type(groups(section(found, "changed_maps").blocks)[title].blocks, Comparison)


def test_maps_that_agree_least_come_first_and_some_are_drawn() -> None:
    shares = (0.9, 0.1, 0.5, 0.0, 0.7, 0.3, 0.8, 0.6)
    after = [s * one + (1 - s) * one[::-1] for s, one in zip(shares, BEFORE, strict=True)]
    after[0] = BEFORE[0]
    found = found_of(
        maps("saliency", NUMBERS, BEFORE), maps("saliency", NUMBERS[::-1], after[::-1])
    )
    group = groups(section(found, "changed_maps").blocks)["saliency"]
    assert group.subtitle == "7 of 8 maps differ, the 6 that agree least are drawn"
    ranks = {i: rank_correlation(BEFORE[i], after[i]) for i in range(1, 8)}
    order = sorted(ranks, key=lambda i: ranks[i])
    rows = table(group.blocks, "Image by image").rows
    assert [row[0] for row in rows] == [f"image-{i + 1}" for i in order]
    for row, i in zip(rows, order, strict=True):
        assert row[1:3] == (ranks[i], similarity(BEFORE[i], after[i]))
    drawn = pictures(found)
    assert len(drawn) == 6
    for comparison, i in zip(drawn, order, strict=False):
        base, candidate, difference = comparison.maps
        np.testing.assert_array_equal(base.map, BEFORE[i])
        np.testing.assert_array_equal(candidate.map, after[i])
        np.testing.assert_allclose(difference.map, after[i] - BEFORE[i], atol=1e-7)
        assert (comparison.image == i + 1).all()
    totals = table(section(found, "changed_maps").blocks, "Agreement").rows
    assert totals[0][:3] == ("saliency", 8, 7)
    assert totals[0][3] == pytest.approx(np.mean([*ranks.values(), 1.0]))
    assert totals[0][4] == min(ranks.values())


def test_base_and_candidate_have_one_scale_and_the_difference_is_centred_on_zero() -> None:
    def scaled(heat: np.ndarray, low: float, high: float, explained: str) -> Any:
        section = maps("saliency", [1], [heat])
        (group,) = section.blocks
        assert isinstance(group, Group)
        (shown,) = group.blocks
        facts = (("explained class", explained),)
        block: Any = replace(shown, low=low, high=high, facts=facts)  # type: ignore[type-var]
        return replace(section, blocks=(replace(group, blocks=(block,)),))

    found = found_of(scaled(BEFORE[0], 0.1, 0.5, "3"), scaled(BEFORE[1], 0.2, 2.0, "8"))
    (comparison,) = pictures(found)
    base, candidate, difference = comparison.maps
    assert (base.low, base.high) == (candidate.low, candidate.high) == (0.1, 2.0)
    assert base.colormap == candidate.colormap == "viridis"
    assert difference.colormap == "RdBu_r"
    end = np.percentile(np.abs(BEFORE[1] - BEFORE[0]), 99.5)
    assert difference.high == -difference.low == pytest.approx(end)
    assert (base.subtitle, candidate.subtitle) == ("class 3", "class 8")


def test_other_images_and_methods_are_left_out() -> None:
    base = report(None, maps("saliency", [1, 2], BEFORE[:2]), maps("lrp", [1], BEFORE[:1]))
    after = maps("saliency", [2, 9], [BEFORE[1] + 1, BEFORE[0]])
    found = compared(base, report(None, after, maps("gradcam", [1], BEFORE[:1])))
    rows = table(section(found, "changed_maps").blocks, "Agreement").rows
    assert [row[:3] for row in rows] == [("saliency", 1, 1)]
    assert of_type(section(found, "changed_maps").blocks, Bars) == []


def test_methods_of_one_title_are_told_apart() -> None:
    def made(values: np.ndarray) -> Any:
        both = [replace(maps(name, [1], [values]), title="Grad-CAM") for name in ("a", "b")]
        return report(None, *both, maps("c", [1], [values]))

    found = compared(made(BEFORE[0]), made(BEFORE[1]))
    titles = list(groups(section(found, "changed_maps").blocks))
    assert titles == ["Grad-CAM (a)", "Grad-CAM (b)", "c"]


def test_a_map_that_ranks_nothing_is_shown_first() -> None:
    after = [np.zeros((12, 12)), BEFORE[1][::-1]]
    found = found_of(maps("saliency", [1, 2], BEFORE[:2]), maps("saliency", [1, 2], after))
    rows = table(groups(section(found, "changed_maps").blocks)["saliency"].blocks, "Image").rows
    assert rows[0][0] == "image-1"
    assert np.isnan(rows[0][1])
