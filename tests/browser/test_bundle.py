"""A page in a folder under Jenkins' policy, and one that is a single file."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from reportgen.core.report import Rendering
from reportgen.render.report import render_report
from tests.browser.axe import violations
from tests.render.sample import report

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

JENKINS = "sandbox; default-src 'none'; img-src 'self'; style-src 'self'"
MISSING = "[...document.images].filter(i => !i.complete || !i.naturalWidth).map(i => i.src)"


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder as Jenkins does."""

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", JENKINS)
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def served(sample: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(sample.parent)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/report.html"
    server.shutdown()
    thread.join()
    server.server_close()


def test_under_jenkins_policy_all_is_there_but_scripts(browser: Browser, served: str) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    said: list[str] = []
    failed: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("requestfailed", lambda request: failed.append(request.url))
    page.goto(served, wait_until="load")
    colour = page.evaluate("getComputedStyle(document.querySelector('.page-head')).display")
    assert colour == "flex"
    page.wait_for_function("[...document.images].every(image => image.complete)")
    assert page.evaluate(MISSING) == []
    assert page.evaluate("document.images.length") > 20
    assert page.get_by_text("conv1 · kernel").or_(page.locator("figure").first).is_visible()
    assert page.locator(".theme").count() == 0
    context.close()
    # The one thing that Jenkins' policy takes away.
    assert [text for text in said if "script" not in text.casefold()] == []
    assert [url for url in failed if not url.endswith(".js")] == []


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("single")
    render_report(replace(report(), rendering=Rendering(bundle="single")), folder)
    alone = tmp_path_factory.mktemp("mailed") / "report.html"
    (folder / "report.html").rename(alone)
    return alone


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def shown(page: Page) -> None:
    page.evaluate("document.querySelectorAll('img').forEach(i => i.loading = 'eager')")
    page.wait_for_function("[...document.images].every(image => image.complete)")
    assert page.evaluate(MISSING) == []


def test_a_page_that_is_one_file_shows_and_does_all(
    opened: Callable[..., Page], single: Path
) -> None:
    page = opened(single)
    shown(page)
    assert page.evaluate("getComputedStyle(document.querySelector('.page-head')).display") == "flex"
    page.locator(".theme").click()
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    # Scripts find a picture that is there once, and shown twice, in both places.
    twice = page.evaluate(
        "[...document.querySelectorAll('[data-picture]:not(.bar)')].map(i => i.src)"
    )
    assert len(twice) > len(set(twice)) >= 1
    assert all(len(source) > 100 for source in twice)
    assert violations(page) == ""


def test_a_page_that_is_one_file_is_drawn_as_one_of_a_folder(
    opened: Callable[..., Page], single: Path, sample: Path
) -> None:
    pages = [
        opened(path, java_script_enabled=False, viewport={"width": 900, "height": 1200})
        for path in (single, sample)
    ]
    for page in pages:
        page.wait_for_load_state("networkidle")
    for selector in (".gallery", ".montage", ".comparison", ".heatmap"):
        one, other = (pixels(page.locator(selector).first.screenshot()) for page in pages)
        assert one.shape == other.shape, selector
        # Chromium scales pictures tile by tile, and rounds by where a tile happens to begin.
        assert np.abs(one - other).max() <= 4, selector


def test_a_script_that_was_put_into_the_file_does_not_run(
    browser: Browser, single: Path, tmp_path: Path
) -> None:
    text = single.read_text().replace("</body>", "<script>document.title = 1</script></body>")
    (tmp_path / "report.html").write_text(text)
    page = browser.new_page()
    page.goto((tmp_path / "report.html").as_uri())
    assert page.title() == "Report on conv1"
    page.close()
