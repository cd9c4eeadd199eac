"""Names that were chosen to break a page are text on it, and nothing else."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pypdf import PdfReader

from reportgen.core.report import Section
from reportgen.render.report import render_report
from reportgen.render.text import printable
from tests.browser.axe import violations
from tests.render.sample import HOSTILE, every_block, report

if TYPE_CHECKING:
    from playwright.sync_api import Page

NAMES = (
    *HOSTILE,
    "\"><svg onload=alert(1)> ' onmouseover='alert(2)",
    "</script></style></textarea><script>document.title='owned'</script>",
    "javascript:alert(3)",
    "שלום עולם · مرحبا بالعالم",
    "👩‍👩‍👧‍👦 🏳️‍🌈 e\u0301",
    "a#b$c%d&amp;e?f=g",
    "y" * 300 + " " + "z" * 300,
)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with a section for each name, which stands wherever a name can."""
    folder = tmp_path_factory.mktemp("hostile")
    sections = [
        Section(
            method=f"method{number}",
            title=name,
            intro=name,
            skipped="" if number else name,
            settings={name: name},
            command=shlex.join(["reportgen", f"x={name}"]),
            blocks=every_block(np.random.default_rng(number), name)[
                0 if number in (0, len(NAMES) - 1) else -1 :
            ],
        )
        for number, name in enumerate(NAMES)
    ]
    render_report(report(*sections, name=NAMES[0]), folder)
    return folder


@pytest.fixture
def page(opened: Callable[..., Page], hostile: Path) -> Page:
    return opened(hostile / "report.html", viewport={"width": 360, "height": 800})


def test_names_are_shown_as_text(page: Page) -> None:
    text = page.evaluate("document.body.textContent")
    for name in NAMES:
        assert text.count(printable(name)) > 10, name


def test_nothing_runs(page: Page) -> None:
    said: list[Any] = []
    page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    assert page.title() == f"Report on {NAMES[0]}"
    assert page.evaluate("document.querySelectorAll('script').length") == 1
    # Drawings of the page's own have a class.
    foreign = "svg:not([class]), [onload], [onmouseover]"
    assert page.locator(f"body :is({foreign})").count() == 0
    hrefs = page.evaluate("[...document.links].map(link => link.protocol)")
    assert set(hrefs) == {"file:"}
    for summary in page.locator("main summary").all()[:12]:
        summary.click()
    page.mouse.wheel(0, 20_000)
    assert said == []


def test_no_name_is_wider_than_a_phone(page: Page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_axe_finds_no_violation(page: Page) -> None:
    assert violations(page) == ""


def test_names_are_in_the_pdf(hostile: Path) -> None:
    reader = PdfReader(hostile / "report.pdf")
    text = "".join(page.extract_text() for page in reader.pages).replace("\u200b", "")
    found = "".join(text.split())
    for name in NAMES:
        if name.isascii() and name.isprintable():
            assert found.count("".join(name.split())) > 3, name
    assert all(letter in found for letter in "שלוםمرحبا") or "עולם"[::-1] in found
    assert "U+1F469" in found
