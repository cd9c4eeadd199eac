"""A sweep's page as a person finds it: sorted, compared, without scripts, with hostile names."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reportgen.core.sweep import SweepJob
from reportgen.render.report import render_report
from reportgen.render.sweep import render_sweep
from reportgen.render.view import section_titles
from tests.browser.axe import violations
from tests.render.sample import HOSTILE, report

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    Opened = Callable[..., Page]

# Reports in frames are pages of their own, which axe can reach by no message.
OUTSIDE = {"iframes": False}
ACCURACIES = (0.9, 0.1, None, 0.97312, 0.97311, 0.5)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six jobs of two keys; one failed with a long message, two have reports to look into."""
    folder = tmp_path_factory.mktemp("sweep")
    for name in ("0", "3"):
        render_report(report(), folder / name)
    jobs = []
    for number, accuracy in enumerate(ACCURACIES):
        overrides = (f"model={'ab'[number // 3]}", f"seed={number % 3}", "method=saliency")
        done = {
            "exit_code": 0,
            "folder": "0" if number < 3 else "3",
            "title": f"Report on {number}",
            "thumbnail": f"{'0' if number < 3 else '3'}/assets/thumbnail.png",
            "shown": "Weights: conv1",
            "sections": section_titles(report()),
            "metrics": {"accuracy": accuracy, "parameters": 431_080},
        }
        failed = {"exit_code": 2, "message": "There is no such thing. " * 40}
        told = failed if accuracy is None else done
        jobs.append(SweepJob(number=number, overrides=overrides, **told))
    render_sweep(jobs, folder, "Sweep of 6 reports")
    return folder / "index.html"


def order(page: Page) -> list[str]:
    return page.eval_on_selector_all(".sortable tbody tr", "rows => rows.map(r => r.dataset.job)")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(opened: Opened, sweep: Path, scheme: str) -> None:
    page = opened(sweep, color_scheme=scheme)
    page.get_by_label("Compare job 3").first.check()
    assert violations(page, **OUTSIDE) == ""


@pytest.mark.parametrize("width", [360, 1024, 1920])
def test_nothing_is_wider_than_the_window(opened: Opened, sweep: Path, width: int) -> None:
    page = opened(sweep, viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.evaluate("location.hash = 'compare=0,3'")
    page.wait_for_selector("dialog[open]")
    assert page.evaluate("document.querySelector('dialog').scrollWidth") <= width


def test_sorting_takes_unrounded_numbers_and_leaves_gaps_last(opened: Opened, sweep: Path) -> None:
    page = opened(sweep)
    head = page.get_by_role("columnheader", name="accuracy")
    head.get_by_role("button").press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    assert order(page) == ["1", "5", "0", "4", "3", "2"]
    head.get_by_role("button").press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert order(page) == ["3", "4", "0", "5", "1", "2"]
    head.get_by_role("button").press("Enter")
    assert head.get_attribute("aria-sort") is None
    assert order(page) == list("012345")
    seed = page.get_by_role("columnheader", name="seed")
    seed.get_by_role("button").click()
    assert order(page) == ["0", "3", "1", "4", "2", "5"]


def test_two_jobs_are_chosen_by_keyboard_and_compared(opened: Opened, sweep: Path) -> None:
    page = opened(sweep)
    page.get_by_label("Compare job 0").first.press("Space")
    assert page.get_by_role("button", name="Compare", exact=True).is_disabled()
    page.get_by_label("Compare job 1").first.press("Space")
    page.get_by_label("Compare job 3").last.press("Space")  # the third takes the first one's place
    assert page.get_by_role("status").inner_text() == "Jobs 1 and 3 are chosen."
    page.get_by_role("button", name="Compare", exact=True).press("Enter")
    page.wait_for_selector("dialog[open]")
    assert page.evaluate("location.hash") == "#compare=1,3"
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog:not([open])", state="attached")
    assert page.evaluate("location.hash") == ""


def test_a_link_to_a_comparison_survives(opened: Opened, sweep: Path) -> None:
    page = opened(sweep, "#compare=0,3")
    for _ in range(2):
        dialog = page.get_by_role("dialog", name="Jobs 0 and 3")
        rows = {
            row.locator("th").inner_text(): row.locator("td").all_inner_texts()
            for row in dialog.locator("tbody tr").all()
        }
        assert rows["model"] == ["a", "b", "differs"]
        assert rows["seed"] == ["0", "0", "the same"]
        assert rows["accuracy"] == ["90 % 0.9", "97.31 % 0.97312", "+7.312 points"]
        assert rows["parameters"] == ["431,080", "431,080", "the same"]
        assert dialog.locator(".thumb img").count() == 2
        assert violations(page, **OUTSIDE) == ""
        page.reload()


def test_the_menu_moves_both_reports(opened: Opened, sweep: Path) -> None:
    page = opened(sweep, "#compare=0,3")
    page.get_by_label("Show in both").select_option("weights")
    frames = [frame for frame in page.frames if frame.parent_frame]
    assert len(frames) == 2
    for frame in frames:
        frame.wait_for_function(
            "location.hash === '#weights' && scrollY > 0 && "
            "Math.abs(document.getElementById('weights').getBoundingClientRect().top) < 99"
        )


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def settled(page: Page, wanted: list[int]) -> list[int]:
    """How far both reports are scrolled, once that is as it should be, or after some time."""
    found: list[int] = []
    for _ in range(50):
        found = [frame.evaluate("scrollY") for frame in page.frames if frame.parent_frame]
        if found == wanted:
            break
        page.wait_for_timeout(100)
    return found


def test_reports_from_a_server_scroll_together(browser: Browser, sweep: Path) -> None:
    served = partial(Quiet, directory=str(sweep.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), served) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(f"http://127.0.0.1:{server.server_port}/index.html#compare=0,3")
        page.locator(".compare-frames").scroll_into_view_if_needed()
        page.locator("iframe").first.hover()
        page.mouse.wheel(0, 600)
        assert settled(page, [600, 600]) == [600, 600]
        page.locator("iframe").last.hover()
        page.mouse.wheel(0, -250)
        assert settled(page, [350, 350]) == [350, 350]
        page.close()
        server.shutdown()


def test_a_failed_job_is_compared_by_its_message(opened: Opened, sweep: Path) -> None:
    page = opened(sweep, "#compare=2,3")
    dialog = page.get_by_role("dialog")
    assert "There is no such thing." in dialog.inner_text()
    assert dialog.locator("iframe").count() == 1


def test_a_link_to_a_job_that_there_is_not_says_so(opened: Opened, sweep: Path) -> None:
    page = opened(sweep, "#compare=0,99")
    assert page.get_by_role("status").inner_text() == "There is no job 99 in this sweep."


def test_without_scripts_nothing_but_choosing_is_lost(opened: Opened, sweep: Path) -> None:
    page = opened(sweep, java_script_enabled=False)
    assert page.locator(".matrix .job").count() == 6
    assert page.locator(".sortable tbody tr").count() == 6
    message = page.locator("#job-2 .message")
    assert message.inner_text().count("There is no such thing.") == 40
    assert page.locator("input, button").count() == 0


def test_hostile_names_are_text(opened: Opened, tmp_path: Path) -> None:
    jobs = [
        SweepJob(
            number=number,
            overrides=(f"key {name}={name}", f"method={name}"),
            exit_code=1,
            message=name,
            folder="x",
            title=name,
            shown=name,
            sections={name: name},
            metrics={name: 1.0 + number},
        )
        for number, name in enumerate(HOSTILE)
    ]
    render_sweep(jobs, tmp_path, HOSTILE[0])
    page = opened(tmp_path / "index.html", viewport={"width": 360, "height": 800})
    assert page.locator(".matrix .job").count() == len(HOSTILE)
    assert page.locator("img").count() == 0
    assert page.locator("script").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert violations(page, **OUTSIDE) == ""
