"""An archive's page as a person finds it: narrow and wide, light and dark, without scripts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reportgen.render.archive_page import render_archive
from reportgen.render.templating import script, stylesheet
from tests.browser.axe import violations
from tests.render.test_archive_page import check, entry

if TYPE_CHECKING:
    from playwright.sync_api import Page

    Opened = Callable[..., Page]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models, folded releases and nightly reports, a failure, a name without a space."""
    folder = tmp_path_factory.mktemp("archive")
    live = [
        entry(
            i,
            f"nightly-2026-11-{i:02}" if i % 2 else f"v1.{i}",
            severity="fail" if i == 30 else "good",
            checks=(check(0.6 if i == 30 else 0.1, "fail" if i == 30 else "passed"),),
        )
        for i in range(1, 31)
    ]
    live += [entry(31, "v" + "x" * 190, model="long" * 40)]
    page = render_archive(live, [entry(0, "nightly-0")], "archive" * 12)
    (folder / "assets").mkdir()
    (folder / "assets" / "style.css").write_bytes(stylesheet())
    (folder / "assets" / "report.js").write_bytes(script())
    (folder / "index.html").write_bytes(page)
    return folder / "index.html"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(opened: Opened, archive: Path, scheme: str) -> None:
    page = opened(archive, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert violations(page) == ""


@pytest.mark.parametrize("width", [360, 768, 1440, 1920])
def test_nothing_is_wider_than_the_window(opened: Opened, archive: Path, width: int) -> None:
    page = opened(archive, viewport={"width": width, "height": 800})
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    drawing = page.locator(".spark").first.bounding_box()
    assert drawing is not None
    assert drawing["width"] > 100


def test_without_scripts_all_is_there_and_old_reports_are_folded(
    opened: Opened, archive: Path
) -> None:
    page = opened(archive, java_script_enabled=False)
    link = page.get_by_role("link", name="nightly-2026-11-01", exact=True)
    assert not link.is_visible()
    page.get_by_text("14 earlier nightly reports").click()
    assert link.is_visible()
    assert page.get_by_role("img", name="Dead units: 0.6 in v1.30").count() == 1
    page.locator("#models a", has_text="lenet").click()
    assert page.url.endswith("#model-lenet")


def test_a_sparkline_has_the_colours_of_the_theme(opened: Opened, archive: Path) -> None:
    colours = {
        scheme: opened(archive, color_scheme=scheme).evaluate(
            "['went', 'at-fail', 'dot.fail'].map((name) => {"
            " const style = getComputedStyle(document.querySelector(`.spark .${name}`));"
            " return name.startsWith('dot') ? style.fill : style.stroke; })"
        )
        for scheme in ("light", "dark")
    }
    assert len({*colours["light"], *colours["dark"]}) == 4  # a line and a failure, in each
