"""The contact sheet of a section: one overlay a group, no file of its own."""

from dataclasses import replace

import numpy as np
import pytest

from reportgen.core import blocks
from reportgen.core.report import Section

from .sample import caption, report
from .test_html import drawn_page, seen


def group(name, *facts, holds=True):
    rng = np.random.default_rng(len(name))
    heatmap = blocks.Heatmap(
        image=rng.integers(0, 255, (4, 4, 3), np.uint8),
        map=rng.normal(size=(4, 4)),
        low=-1.0,
        high=1.0,
        colormap="jet",
        caption=caption(name),
        facts=facts,
    )
    return blocks.Group(title=name, blocks=(heatmap,) if holds else (blocks.Text(text=name),))


def section(*groups):
    return Section(method="gradcam", title="Grad-CAM", blocks=groups)


def sheet(*groups):
    return seen(report(section(*groups)))["sections"][0]["sheet"]


def test_each_group_is_there_with_its_own_overlay():
    view = seen(report(section(group("a.png"), group("other.png"))))["sections"][0]
    overlays = [row["main"][0]["rows"][0]["main"][0]["images"][2] for row in view["rows"]]
    assert [entry["image"] for entry in view["sheet"]] == overlays
    assert [entry["id"] for entry in view["sheet"]] == ["gradcam-a-png", "gradcam-other-png"]


@pytest.mark.parametrize(
    ("facts", "mark"),
    [
        ((("predicted class", "cat"), ("true class", "cat")), "correct"),
        ((("predicted class", "cat"), ("true class", "dog")), "wrong"),
        ((("predicted class", "cat"),), "none"),
    ],
)
def test_marks(facts, mark):
    assert [entry["mark"] for entry in sheet(group("a", *facts), group("bc", *facts))] == [mark] * 2


def test_one_image_or_a_group_without_a_map_needs_no_sheet():
    assert sheet(group("a")) == []
    assert sheet(group("a"), group("bc"), group("def", holds=False)) == []


def test_in_the_page_each_picture_leads_to_its_group():
    facts = ("predicted class", "cat"), ("true class", "dog")
    made = report(section(group("a.png", *facts), group("<b>.png", *facts)))
    page = drawn_page(replace(made, banners=()))
    assert page.text.count("✗") == 2
    links = [a["href"] for a in page.all("a") if a.get("href") == "#gradcam-b-png"]
    assert len(links) == 3  # contents, sheet, heading
