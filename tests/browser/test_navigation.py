"""Finding one's way: search, keys, links to a layer or a unit, and all of it without scripts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from tests.browser.axe import violations
from tests.browser.layered import HOSTILE, LAYERS
from tests.browser.waiting import until

if TYPE_CHECKING:
    from playwright.sync_api import Page

ON_SCREEN = """id => {
  const box = document.getElementById(id).getBoundingClientRect();
  return box.top >= -1 && box.top < innerHeight / 2;
}"""


@pytest.fixture(scope="module")
def shared(opened_once: Callable[..., Page], layered: Path) -> Page:
    return opened_once(layered)


@pytest.fixture
def page(shared: Page) -> Page:
    """The module's page at its top, nothing searched for."""
    shared.evaluate(  # what the test before has led to is scrolled to once more a frame later
        "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )
    shared.evaluate("history.replaceState(null, '', '#top'); scrollTo(0, 0)")
    field = shared.locator(".search")
    field.fill("")
    field.blur()
    return shared


def found(page: Page, query: str) -> list[str]:
    page.locator(".search").fill(query)
    return page.locator("#found li").all_inner_texts()


def on_screen(page: Page, name: str) -> None:
    until(page, ON_SCREEN, arg=name)


def arrived(page: Page) -> str:
    page.wait_for_selector(".arrived")
    return str(page.evaluate("document.activeElement.id"))


def test_search_finds_layers_tiles_images_and_classes(page: Page) -> None:
    assert found(page, "conv2")[0].startswith("conv2")
    assert found(page, "conv2 7")[0].startswith("conv2 · filter 7")
    assert found(page, "OWL")[0].startswith("<i>owl</i>.png")
    assert {line.split("\n")[0] for line in found(page, "tabby")} == {
        "cat.png",
        "dog.png",
        "<i>owl</i>.png",
    }
    assert found(page, "nothing of the kind") == []
    assert page.locator(".found-count").inner_text() == "No matches"


def test_enter_and_arrows_open_a_match(page: Page) -> None:
    page.keyboard.press("/")
    page.keyboard.type("grad-cam png")
    field = page.locator(".search")
    chosen = page.locator("#found [aria-selected=true]")
    first = chosen.inner_text()
    page.keyboard.press("ArrowDown")
    assert chosen.inner_text() != first
    assert field.get_attribute("aria-activedescendant") == chosen.get_attribute("id")
    page.keyboard.press("ArrowUp")
    assert chosen.inner_text() == first
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert arrived(page) == "gradcam-dog-png"
    on_screen(page, "gradcam-dog-png")
    assert page.evaluate("location.hash") == "#gradcam-dog-png"
    assert field.input_value() == ""


def test_keys_go_through_figures_and_sections(page: Page) -> None:
    for name in ("summary", "findings", "about", "weights", "gradcam"):
        page.keyboard.press("]" if name == "summary" else "J")
        on_screen(page, name)
    for key, name in (("j", "cat"), ("j", "dog"), ("k", "cat")):
        page.keyboard.press(key)
        on_screen(page, f"gradcam-{name}-png-grad-cam-of-{name}-png")
    page.keyboard.press("[")
    on_screen(page, "gradcam")
    page.keyboard.press("[")
    on_screen(page, "weights")
    page.keyboard.press("t")
    assert page.evaluate("scrollY") == 0


def test_help_lists_the_keys(page: Page) -> None:
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys")
    assert "next, previous section" in dialog.inner_text()
    assert violations(page) == ""
    before = page.evaluate("scrollY")
    page.keyboard.press("j")
    assert page.evaluate("scrollY") == before
    page.keyboard.press("Escape")
    assert not dialog.is_visible()


def test_contents_mark_where_one_is(page: Page) -> None:
    current = page.locator(".contents [aria-current]")
    page.evaluate("document.getElementById('gradcam-dog-png').scrollIntoView()")
    until(page, "document.querySelector('[aria-current]')?.textContent === 'dog.png'")
    page.evaluate("document.getElementById('weights-conv2').scrollIntoView()")
    until(page, "document.querySelector('[aria-current]')?.hash === '#weights'")
    assert current.count() == 1  # its own link is folded
    page.locator(".contents summary", has_text="15 layers").click()
    until(page, "document.querySelector('[aria-current]')?.textContent === 'conv2'")
    page.locator(".contents summary", has_text="15 layers").click()


def test_layers_are_folded_under_what_they_share(page: Page) -> None:
    tree = page.locator(".contents details").first
    tree.evaluate("d => { d.open = true }")
    names = [text.replace("\n", " ") for text in tree.locator("summary").all_inner_texts()]
    assert names == ["15 layers", "block3 4", "block4 4", "block5 4"]
    tree.evaluate("d => { d.open = false }")


def layer_link(layer: str, unit: str = "") -> str:
    return f"#layer={quote(layer, safe='')}" + (f"&unit={unit}" if unit else "")


@pytest.mark.parametrize("layer", ["conv2", HOSTILE, "block4.conv3"])
def test_a_link_names_a_layer_when_it_changes(page: Page, layer: str) -> None:
    page.evaluate("hash => { location.hash = hash }", layer_link(layer))
    own = arrived(page)
    on_screen(page, own)
    assert page.evaluate("document.activeElement.dataset.layer") == layer
    assert own.startswith("weights-")


def test_a_link_names_a_unit_in_whatever_it_is_folded(page: Page) -> None:
    page.evaluate("""() => {
      const card = document.createElement("article");
      Object.assign(card.dataset, { layer: "conv2", unit: "17" });
      card.id = "card";
      card.hidden = true;
      card.textContent = "unit 17";
      document.querySelector("#weights details").append(card);
    }""")
    page.evaluate("location.hash = '#layer=conv2&unit=17'")
    assert arrived(page) == "card"
    assert page.locator("#card").is_visible()
    on_screen(page, "card")
    page.evaluate("location.hash = '#layer=conv2&unit=18'")  # no card: the layer
    until(page, "document.activeElement.id === 'weights-conv2'")
    page.evaluate("document.getElementById('card').remove()")


@pytest.mark.parametrize("fragment", ["#layer=%", "#layer=", "#layer=no&unit=", "#%E0%A4%A", "#no"])
def test_a_link_to_nothing_does_nothing(page: Page, fragment: str) -> None:
    page.evaluate("hash => { location.hash = hash }", fragment)
    page.wait_for_timeout(30)
    assert page.evaluate("scrollY") == 0


def test_a_link_is_followed_on_load(opened: Callable[..., Page], layered: Path) -> None:
    page = opened(layered, layer_link(HOSTILE, "3"))
    own = arrived(page)
    on_screen(page, own)
    assert page.evaluate("document.activeElement.dataset.layer") == HOSTILE
    page.evaluate("document.querySelector('#weights details').open = false")
    page.evaluate("location.hash = '#side-by-side'")
    page.wait_for_timeout(50)
    page.evaluate("location.hash = '#gradcam-cat-png'")  # a plain id
    until(page, "document.activeElement.id === 'gradcam-cat-png'")


def test_contents_are_a_bar_on_a_telephone(opened: Callable[..., Page], layered: Path) -> None:
    page = opened(layered, viewport={"width": 360, "height": 640})
    bar = page.locator(".contents-bar").bounding_box()
    assert bar
    assert (bar["x"], bar["width"], bar["y"] + bar["height"]) == (0, 360, 640)
    assert bar["height"] <= 56
    tree = page.locator(".contents-tree")
    button = page.locator(".contents-open")
    assert not tree.is_visible()
    button.click()
    assert tree.is_visible()
    assert button.get_attribute("aria-expanded") == "true"
    assert violations(page) == ""
    tree.get_by_role("link", name="Grad-CAM").click()
    assert not tree.is_visible()
    on_screen(page, "gradcam")
    page.locator(".search").fill("conv2")
    listed = page.locator("#found").bounding_box()
    assert listed
    assert listed["y"] >= 0
    assert listed["y"] + listed["height"] <= bar["y"]
    page.locator("#found li").first.click()
    on_screen(page, arrived(page))
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    page.wait_for_timeout(50)
    foot = page.locator("footer p").bounding_box()
    assert foot
    assert foot["y"] + foot["height"] <= bar["y"]  # nothing is left below the bar


@pytest.mark.parametrize("width", [360, 1280])
def test_without_scripts_everything_is_there(
    opened: Callable[..., Page], layered: Path, width: int
) -> None:
    page = opened(layered, java_script_enabled=False, viewport={"width": width, "height": 700})
    for layer in LAYERS:
        title = page.locator(".group-title", has_text=layer).first
        assert title.is_visible()
    open_contents = page.locator(".contents-open")
    if width == 360:
        assert not page.locator(".contents-tree").is_visible()
        open_contents.click()
    page.locator(".contents summary", has_text="15 layers").click()
    page.locator(".contents summary", has_text="block4").click()
    page.locator(".contents").get_by_role("link", name="conv3").nth(0).click()
    assert page.url.endswith("#weights-block4-conv3")
    if width == 360:
        assert not page.locator(".contents-tree").is_visible()
    title = page.locator("#weights-block4-conv3").bounding_box()
    assert title
    assert 0 <= title["y"] < 350
    assert page.locator("a.zoom").first.get_attribute("href") == page.locator(
        "a.zoom img"
    ).first.get_attribute("src")
    assert page.locator(".contact-sheet a").count() == 3
    page.locator(".contents .to-top").click()
    assert page.url.endswith("#top")


def test_a_contact_sheet_leads_to_its_images(page: Page) -> None:
    page.locator(".contact-sheet a", has_text="owl").click()
    on_screen(page, "gradcam-i-owl-i-png")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_while_one_searches(page: Page, scheme: Any) -> None:
    page.emulate_media(color_scheme=scheme)
    found(page, "conv")
    seen = violations(page)
    page.emulate_media(color_scheme="light")
    assert seen == ""
