"""Pictures enlarged: side by side, at one place, with the numbers that are in the arrays."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.browser.axe import violations
from tests.browser.layered import MAPS, PICTURES, TILES
from tests.browser.waiting import until

if TYPE_CHECKING:
    from playwright.sync_api import Page

HEATMAP = "#gradcam-cat-png figure.heatmap a.zoom"


@pytest.fixture(scope="module")
def shared(opened_once: Callable[..., Page], layered: Path) -> Page:
    return opened_once(layered)


@pytest.fixture
def page(shared: Page) -> Page:
    """The module's page with no picture enlarged."""
    shared.evaluate("document.querySelectorAll('dialog[open]').forEach(d => d.close())")
    return shared


def enlarge(page: Page, link: str) -> None:
    page.locator(link).first.click()
    assert page.locator("dialog.viewer").get_attribute("open") is not None


def hover(page: Page, panel: int, x: int, y: int, size: tuple[int, int]) -> str:
    """Points at the middle of a picture's pixel; returns what is read there."""
    box = page.locator(".viewer-stack").nth(panel).bounding_box()
    assert box
    at = [(place + 0.5) / side for place, side in zip((x, y), size, strict=True)]
    page.mouse.move(box["x"] + at[0] * box["width"], box["y"] + at[1] * box["height"])
    return page.locator(".viewer-reading").inner_text()


def numbers(text: str) -> tuple[list[float], float]:
    """Values, and how far they may be off: of ``1, 2 (to ±0.5)``."""
    values, _, off = text.replace("−", "-").partition(" (to ±")
    return [float(value) for value in values.split(", ")], float(off.rstrip(")") or 0)


def stacks(page: Page) -> Any:
    return page.evaluate(
        "[...document.querySelectorAll('.viewer-stack')].map(s => [s.style.cssText])"
    )


def test_a_map_is_shown_beside_its_image_with_one_zoom_and_one_place(page: Page) -> None:
    enlarge(page, HEATMAP)
    labels = page.locator(".viewer-label span:first-child").all_inner_texts()
    assert labels == ["image", "map", "overlay"]
    before = stacks(page)
    page.keyboard.press("+")
    page.keyboard.press("+")
    closer = stacks(page)
    assert closer[0] == closer[1] == closer[2] != before[0]
    pane = page.locator(".viewer-pane").nth(1).bounding_box()
    assert pane
    page.mouse.move(pane["x"] + 100, pane["y"] + 100)
    page.mouse.down()
    page.mouse.move(pane["x"] + 60, pane["y"] + 70)
    page.mouse.up()
    moved = stacks(page)
    assert moved[0] == moved[1] == moved[2] != closer[0]
    crosses = page.locator(".viewer-cross").evaluate_all("all => all.map(c => c.style.transform)")
    assert len(set(crosses)) == 1
    page.keyboard.press("0")
    assert stacks(page) == before


def test_the_wheel_zooms_about_the_cursor_only_with_control(page: Page) -> None:
    enlarge(page, HEATMAP)
    before = stacks(page)
    reading = hover(page, 0, 5, 3, (32, 24))
    page.mouse.wheel(0, -60)
    assert stacks(page) == before
    page.keyboard.down("Control")
    page.mouse.wheel(0, -60)
    page.keyboard.up("Control")
    until(page, "old => document.querySelector('.viewer-stack').style.cssText !== old",
                           arg=before[0][0])  # fmt: skip
    assert stacks(page)[0] == stacks(page)[2]
    assert page.locator(".viewer-reading").inner_text() == reading == "x 5, y 3"


@pytest.mark.parametrize(("x", "y"), [(0, 0), (17, 4), (31, 23)])
def test_the_values_under_the_cursor_are_the_array_s(page: Page, x: int, y: int) -> None:
    enlarge(page, HEATMAP)
    until(page, "Object.keys(reportgen.values).length >= 2")
    assert hover(page, 0, x, y, (32, 24)) == f"x {x}, y {y}"
    value = page.locator(".viewer-label .value")
    until(page, "document.querySelectorAll('.viewer-label .value')[1].textContent")
    found, off = numbers(value.nth(1).inner_text())
    step = (MAPS[0].max() - MAPS[0].min()) / 65532
    assert abs(found[0] - MAPS[0][y, x]) <= step
    assert 0 < off <= step
    assert numbers(value.nth(0).inner_text())[0] == PICTURES[0][y, x].tolist()
    assert value.nth(2).inner_text() == ""  # the overlay's are the map's, beside it


def test_a_value_that_is_not_finite_is_named(page: Page) -> None:
    enlarge(page, "#gradcam-dog-png a.zoom")
    until(page, "Object.keys(reportgen.values).length >= 2")
    page.wait_for_timeout(50)
    hover(page, 1, 5, 3, (32, 24))
    value = page.locator(".viewer-label .value").nth(1)
    assert value.inner_text() == "NaN"


def test_a_montage_tells_the_tile_and_the_place_in_it(page: Page) -> None:
    enlarge(page, "#weights-conv1 a.zoom")
    unit, x, y = 4, 6, 2  # in the second row, the second column
    wide, high = 3 * 7 + 4 * 2, 3 * 5 + 4 * 2
    left, top = 2 + 9 + x, 2 + 7 + y
    hover(page, 0, left, top, (wide, high))
    until(page, "document.querySelector('.viewer-reading').textContent.includes(':')")
    reading = page.locator(".viewer-reading").inner_text()
    place, _, words = reading.partition(": ")
    assert place == f"filter {unit}, x {x}, y {y}"
    found, off = numbers(words)
    assert abs(found[0] - TILES[unit, y, x]) <= 2 * off + 1e-9
    assert hover(page, 0, 1, 1, (wide, high)) == ""  # the gap
    assert hover(page, 0, left + 9, top + 7, (wide, high)) == ""  # no ninth tile


def test_opacity_goes_from_the_image_over_the_report_s_overlay_to_the_map(page: Page) -> None:
    enlarge(page, HEATMAP)
    slider = page.get_by_role("slider", name="Map opacity")
    layers = page.locator(".viewer-panel").nth(2).locator("img")

    def seen() -> tuple[list[float], str]:
        found = layers.evaluate_all("all => all.map(i => Number(getComputedStyle(i).opacity))")
        return found, slider.get_attribute("aria-valuetext") or ""

    assert seen() == ([1, 1, 0], "overlay as in the report")
    slider.focus()
    page.keyboard.press("End")
    assert seen() == ([1, 1, 1], "the map alone")
    page.keyboard.press("Home")
    assert seen() == ([1, 0, 0], "the image alone")
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    assert seen() == ([1, 0.5, 0], "overlay at 50 %")
    names = [Path(src).name for src in layers.evaluate_all("all => all.map(i => i.src)")]
    kinds = [re.sub(r".*-(image|map|overlay)\.webp", r"\1", name) for name in names]
    assert kinds == ["image", "overlay", "map"]


def test_a_comparison_has_a_panel_for_each_method(page: Page) -> None:
    enlarge(page, ".comparison a.zoom")
    labels = page.locator(".viewer-label span:first-child").all_inner_texts()
    assert labels == ["image", "Saliency", "Grad-CAM"]
    page.wait_for_timeout(50)
    hover(page, 0, 9, 9, (32, 24))
    values = page.locator(".viewer-label .value").all_inner_texts()
    np.testing.assert_allclose(numbers(values[1])[0][0], MAPS[0][9, 9], atol=1e-3)
    np.testing.assert_allclose(numbers(values[2])[0][0], 2 * MAPS[0][9, 9], atol=2e-3)


def test_the_focus_returns_to_the_picture(page: Page) -> None:
    link = page.locator(HEATMAP).nth(1)
    link.focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.className") == "viewer-panels"
    page.keyboard.press("Escape")
    assert page.locator("dialog.viewer").get_attribute("open") is None
    assert link.evaluate("link => link === document.activeElement")


def test_one_goes_on_to_the_next_picture_of_the_section(page: Page) -> None:
    enlarge(page, HEATMAP)
    title = page.locator(".viewer-title")
    assert title.inner_text() == "Grad-CAM of cat.png 1 of 3"
    assert page.get_by_role("button", name="Previous picture").is_disabled()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("j")
    assert title.inner_text() == "Grad-CAM of <i>owl</i>.png 3 of 3"
    assert page.locator(".viewer-words .range").inner_text().startswith("−2")
    page.keyboard.press("k")
    page.keyboard.press("+")
    page.keyboard.press("+")
    page.keyboard.press("ArrowLeft")  # moves what is enlarged
    assert title.inner_text() == "Grad-CAM of dog.png 2 of 3"
    page.keyboard.press("Escape")
    until(page, "document.activeElement.closest('.group').id === 'gradcam-dog-png'")


def test_keys_move_the_cross_and_its_value_is_read_out_once_it_rests(page: Page) -> None:
    enlarge(page, "#weights-conv1 a.zoom")
    status = page.locator("dialog [role=status]")
    for _ in range(3):
        page.keyboard.press("Shift+ArrowRight")
        assert status.inner_text() == ""
    until(page, "document.querySelector('dialog [role=status]').textContent")
    assert status.inner_text().startswith("filter")
    hover(page, 0, 3, 3, (29, 23))
    spoken = status.inner_text()
    page.wait_for_timeout(600)
    assert status.inner_text() == spoken  # nothing is said of what the mouse is over


def test_small_pictures_are_crisp_and_enlarged_by_whole_factors(page: Page) -> None:
    enlarge(page, "#weights-conv1 a.zoom")
    scale = float(page.locator(".viewer-scale").inner_text().rstrip(" %"))
    assert scale >= 300
    assert scale % 100 == 0
    drawn = page.locator(".viewer-stack img").evaluate("i => getComputedStyle(i).imageRendering")
    assert drawn == "pixelated"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_while_pictures_are_enlarged(page: Page, scheme: Any) -> None:
    page.emulate_media(color_scheme=scheme)
    enlarge(page, HEATMAP)
    found = violations(page)
    page.emulate_media(color_scheme="light")
    assert found == ""


def test_without_values_the_place_is_told_all_the_same(
    opened: Callable[..., Page], layered: Path
) -> None:
    page = opened(layered)
    page.evaluate(
        "document.querySelectorAll('[data-values]').forEach(a => delete a.dataset.values)"
    )
    enlarge(page, HEATMAP)
    assert hover(page, 1, 17, 4, (32, 24)) == "x 17, y 4"
    assert page.locator(".viewer-label .value").all_inner_texts() == ["", "", ""]


@pytest.mark.parametrize("width", [360, 1440])
def test_everything_is_in_the_window(
    opened: Callable[..., Page], layered: Path, width: int
) -> None:
    page = opened(layered, viewport={"width": width, "height": 740})
    enlarge(page, HEATMAP)
    assert page.evaluate("document.querySelector('.viewer').scrollWidth") <= width
    for button in page.locator(".viewer-tools button").all():
        box = button.bounding_box()
        assert box
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width


def test_a_part_of_a_sheet_is_enlarged_too(opened: Callable[..., Page], layered: Path) -> None:
    page = opened(layered)
    page.evaluate("""() => {
      const card = document.createElement("article");
      card.className = "unit";
      Object.assign(card.dataset, { layer: "conv<2>", unit: "17" });
      const [{ src }] = document.querySelectorAll("#gradcam-cat-png img");
      card.innerHTML = '<h4><a href="#card">unit 17</a></h4><svg width="99" viewBox="4 2 20 10"'
        + ' role="img" aria-label="Crops."><use href="#sheet"/></svg><svg viewBox="0 0 9 9"'
        + ' role="img" aria-label="Kernel."><use href="#sheet"/></svg>'
        + '<svg><defs><image id="sheet" width="32" height="24"/></defs></svg>';
      card.querySelector("svg:last-child").classList.add("answers");
      card.querySelector("image").setAttribute("href", src);
      document.querySelector("#side-by-side").prepend(card);
    }""")
    page.locator("article.unit a").focus()
    page.keyboard.press("e")
    title = page.locator(".viewer-title")
    assert title.inner_text() == "conv<2> · unit 17 1 of 3"
    assert page.locator(".viewer-words").inner_text() == "Crops."
    box = page.locator(".viewer-stack").bounding_box()
    assert box
    assert box["width"] == pytest.approx(2 * box["height"], rel=0.01)
    page.keyboard.press("ArrowRight")
    assert page.locator(".viewer-words").inner_text() == "Kernel."
    page.keyboard.press("Escape")
    until(page, "document.activeElement.textContent === 'unit 17'")
    page.locator("article.unit svg").first.click()
    assert title.inner_text() == "conv<2> · unit 17 1 of 3"
