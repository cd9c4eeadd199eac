"""Cards of units in a browser: sorted, filtered, and whole without scripts."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from reportgen.core.report import Section
from reportgen.render.report import render_report
from tests.browser.axe import violations
from tests.render.sample import report, units

if TYPE_CHECKING:
    from playwright.sync_api import Page

    Opened = Callable[..., Page]

SHOWN = """[...document.querySelectorAll('.unit')]
    .filter(card => card.checkVisibility()).map(card => card.dataset.unit)"""


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six units of one layer: 4 is dead, 5 has no picture, 6 repeats 4."""
    folder = tmp_path_factory.mktemp("cards")
    section = Section(method="units", title="Units", blocks=(units("conv2", 6),))
    render_report(report(section), folder)
    return folder / "report.html"


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("unit", "456789"),
        ("largest response", "567894"),
        ("sparsity", "456789"),
        ("score of the synthesised picture", "987645"),
    ],
)
def test_cards_are_sorted(opened: Opened, cards: Path, order: str, expected: str) -> None:
    page = opened(cards)
    page.get_by_label("Sort by").select_option(order)
    assert "".join(page.evaluate(SHOWN)) == expected
    assert page.get_by_role("status").inner_text() == f"6 of 6 units, by {order}"


@pytest.mark.parametrize(
    ("choice", "expected"),
    [("neither dead nor repeating", "5789"), ("dead only", "4"), ("repeating only", "6")],
)
def test_cards_are_filtered(opened: Opened, cards: Path, choice: str, expected: str) -> None:
    page = opened(cards)
    show = page.get_by_label("Show")
    show.select_option(choice)
    assert "".join(page.evaluate(SHOWN)) == expected
    assert page.get_by_role("status").inner_text() == f"{len(expected)} of 6 units, by unit"
    show.select_option("all")
    assert len(page.evaluate(SHOWN)) == 6


def test_the_choices_take_the_keyboard(opened: Opened, cards: Path) -> None:
    page = opened(cards)
    page.get_by_label("Sort by").focus()
    page.keyboard.type("sco")
    assert "".join(page.evaluate(SHOWN)) == "987645"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.parentElement.firstChild.textContent") == "Show"


@pytest.mark.parametrize("fragment", ["#units-4", "#layer=conv2&unit=4"])
def test_a_link_to_a_hidden_card_shows_it(opened: Opened, cards: Path, fragment: str) -> None:
    page = opened(cards)
    page.get_by_label("Show").select_option("neither dead nor repeating")
    page.evaluate(f"location.hash = '{fragment}'")
    page.wait_for_function("document.getElementById('units-4').checkVisibility()")
    assert page.get_by_label("Show").input_value() == "all"


def test_all_is_there_without_scripts(opened: Opened, cards: Path) -> None:
    page = opened(cards, java_script_enabled=False)
    found = page.locator("article.unit")
    assert found.count() == 6
    assert page.locator(".unit-tools").count() == 0
    assert [found.nth(i).get_attribute("data-unit") for i in range(6)] == list("456789")
    assert found.nth(0).get_attribute("data-activation") == "0"
    assert found.nth(1).get_attribute("data-loss") is None
    assert "dead" in (found.nth(0).text_content() or "")
    assert "repeats 4" in (found.nth(2).text_content() or "")


def test_a_card_draws_its_own_place_of_a_sheet(opened: Opened, cards: Path) -> None:
    """Pixel by pixel, enlarged: what is seen in the middle of each is the array's value."""
    page = opened(cards, java_script_enabled=False)
    block = units("conv2", 6)
    assert block.pictures is not None
    for row in (0, 3, 5):
        card = page.locator("article.unit").nth(row)
        picture = np.asarray(Image.open(io.BytesIO(card.locator("svg.picture").screenshot())))
        places = ((np.arange(8) + 0.5) * picture.shape[0] / 8).astype(int)
        np.testing.assert_array_equal(picture[places][:, places, :3], block.pictures[row])
        crops = np.asarray(Image.open(io.BytesIO(card.locator("svg.crops").screenshot())))
        places = [int((k + 0.5) * crops.shape[0] / 13) for k in (0, 5, 7, 12)]
        np.testing.assert_array_equal(
            crops[places, 4, 0], block.crops[row, [0, 0, 2, 2], [0, 5, 0, 5], 0, 0]
        )
        for kind in ("kernel", "answers"):
            seen = np.asarray(Image.open(io.BytesIO(card.locator(f"svg.{kind}").screenshot())))
            assert len(np.unique(seen.reshape(-1, seen.shape[-1]), axis=0)) >= 2
            assert min(seen.shape[:2]) > 20


def test_pictures_are_told_to_who_cannot_see_them(opened: Opened, cards: Path) -> None:
    page = opened(cards)
    names = page.locator("article.unit").nth(3).get_by_role("img")
    told = [names.nth(i).aria_snapshot() for i in range(names.count())]
    assert len(told) == 4
    for words in ("Synthesised to drive unit 7", "Drive unit 7 most: conv2", "Kernel of unit 7",
                  "Responses of unit 7"):  # fmt: skip
        assert any(words in one for one in told)
    assert violations(page) == ""
