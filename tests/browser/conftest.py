"""Pages in a real browser: Chromium, driven by Playwright, without a network.

A test that opens a page fails on any error in its console and on any request to a host. Where there
is no Chromium these tests are skipped, and say so.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


def _chromium() -> str:
    named = os.environ.get("REPORTGEN_CHROMIUM", "")
    found = named or next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), "")
    if not found:
        pytest.skip("no Chromium: install it (apt-get install chromium), or name it in "
                    "REPORTGEN_CHROMIUM")  # fmt: skip
    return found


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=_chromium(), args=["--no-sandbox", "--force-color-profile=srgb"]
        )
        yield launched
        launched.close()


@contextmanager
def watched(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens a file (and a part of it, ``#…``); keys are those of Playwright's ``new_context``."""
    complaints: list[str] = []
    contexts = []

    def open_page(path: Path, fragment: str = "", **context: Any) -> Page:
        contexts.append(
            browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | context)
        )
        page = contexts[-1].new_page()
        page.on("console", lambda said: complaints.append(f"{said.type}: {said.text}")
                if said.type in ("error", "warning") else None)  # fmt: skip
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: complaints.append(f"request: {request.url}")
                if not request.url.startswith(("file:", "data:", "blob:")) else None)  # fmt: skip
        page.goto(path.resolve().as_uri() + fragment)
        page.wait_for_load_state("load")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not complaints


@pytest.fixture
def opened(browser: Browser) -> Iterator[Callable[..., Page]]:
    """``watched`` for one test."""
    with watched(browser) as open_page:
        yield open_page


@pytest.fixture(scope="module")
def opened_once(browser: Browser) -> Iterator[Callable[..., Page]]:
    """``watched`` for a module, whose tests share pages: each leaves them as they were."""
    with watched(browser) as open_page:
        yield open_page


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a report with every type of block."""
    from reportgen.render.report import render_report
    from tests.render.sample import report

    folder = tmp_path_factory.mktemp("sample")
    render_report(report(), folder)
    return folder / "report.html"


@pytest.fixture(scope="session")
def layered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a report of layers, maps and a comparison, whose arrays are known."""
    from reportgen.render.report import render_report
    from tests.browser import layered

    folder = tmp_path_factory.mktemp("layered")
    render_report(layered.layered(), folder)
    return folder / "report.html"
