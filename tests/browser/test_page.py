"""The page as a person finds it: nothing missing, nothing in the way."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from tests.browser.axe import violations

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(opened: Callable[..., Page], sample: Path, scheme: str) -> None:
    page = opened(sample, color_scheme=scheme)
    assert violations(page) == ""


@pytest.mark.parametrize("width", [360, 1024, 1920])
def test_nothing_is_wider_than_the_window(
    opened: Callable[..., Page], sample: Path, width: int
) -> None:
    page = opened(sample, viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # The first screen has the verdict, and is a picture with many colours.
    verdict = page.locator(".verdict").bounding_box()
    assert verdict is not None
    assert verdict["y"] + verdict["height"] < 800
    with Image.open(io.BytesIO(page.screenshot())) as shot:
        colours = shot.convert("RGB").getcolors(1 << 20)
    assert colours is not None
    assert len(colours) > 100


def test_every_picture_is_there(opened: Callable[..., Page], sample: Path) -> None:
    page = opened(sample)
    page.evaluate("document.querySelectorAll('img').forEach(i => i.loading = 'eager')")
    page.wait_for_function("[...document.images].every(image => image.complete)")
    assert page.evaluate("[...document.images].filter(i => !i.naturalWidth).map(i => i.src)") == []
