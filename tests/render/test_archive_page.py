"""The page of an archive: what it says of whom, in which order, and that no name becomes markup."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import pytest

from reportgen.core.archived import Entry
from reportgen.core.summary import CheckNumbers, Summary
from reportgen.render.archive_page import render_archive
from reportgen.render.sparklines import HEIGHT, WIDTH, Point, sparkline

from .sample import HOSTILE


def check(value: float | None, outcome: Any = "passed", **more: Any) -> CheckNumbers:
    settings: dict[str, Any] = {"name": "dead", "title": "Dead units", "warn": 0.3, "fail": 0.5}
    return CheckNumbers(value=value, outcome=outcome, **settings | more)


def entry(sequence: int, tag: str = "", model: str = "lenet", **more: Any) -> Entry:
    tag = tag or f"v{sequence}"
    summary: dict[str, Any] = {
        "title": "t",
        "model": model,
        "severity": "good",
        "verdict": "No warnings",
        "failed": False,
        "exit_code": 0,
        "findings": {},
        "metrics": {"accuracy": 0.9 + sequence / 10_000},
        "checks": (check(0.1),),
        "weights_sha256": "ab" * 32,
        "config_sha256": "cd" * 32,
        "git_commit": "ef" * 20,
        "git_dirty": True,
        "reportgen": "0",
        "created": "",
    }
    return Entry(
        sequence=sequence,
        path=f"{model}/{tag}/{'0' * 12}",
        model=model,
        release=tag,
        kind="nightly" if tag.startswith("nightly") else "release",
        archived="2026-11-21T10:20:30+01:00",
        bytes=1234,
        sums_sha256="0" * 64,
        summary=Summary(**summary | more),
    )


def page(*live: Entry, removed: tuple[Entry, ...] = ()) -> str:
    return render_archive(live, removed, "archive").decode()


class _Shown(HTMLParser):
    """Links in the order of the page, and whether each is folded away."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[tuple[str, bool]] = []
        self.folded = 0

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag == "details":
            self.folded += 1
        if tag == "a":
            self.links.append((dict(attrs)["href"], bool(self.folded)))

    def handle_endtag(self, tag: str) -> None:
        self.folded -= tag == "details"


def links(text: str, suffix: str = "report.pdf") -> dict[str, bool]:
    parser = _Shown()
    parser.feed(text)
    return {href.split("/")[1]: folded for href, folded in parser.links if href.endswith(suffix)}


def test_the_newest_comes_first_and_older_ones_are_folded() -> None:
    tags = {i: f"nightly-{i}" for i in (3, 5, 14)}
    entries = [entry(i, tags.get(i, "")) for i in range(1, 16)]
    found = links(page(*reversed(entries)))
    assert list(found) == [
        *("v15", "nightly-14", "v13", "v12", "v11", "v10", "v9", "v8", "v7", "v6", "v4"),
        *("v2", "v1", "nightly-5", "nightly-3"),
    ]
    assert [tag for tag, folded in found.items() if folded] == [
        "v2",
        "v1",
        "nightly-5",
        "nightly-3",
    ]
    assert page(*entries) == page(*reversed(entries))


def test_models_stand_apart_and_the_last_to_change_is_first() -> None:
    text = page(entry(1, model="b"), entry(2, model="a"), entry(3, model="b"))
    assert re.findall(r'<h2 id="model-.-title">(.)</h2>', text) == ["b", "a"]
    assert "2 models, 3 reports" in text


@pytest.mark.parametrize(
    ("severities", "said"),
    [
        (("good", "good"), "No warnings in the last reports"),
        (("good", "warn"), "Warnings in the last report of 1 model"),
        (("warn", "fail"), "Failures in the last report of 1 model"),
        (("fail", "fail"), "Failures in the last reports of 2 models"),
    ],
)
def test_the_first_screen_tells_the_worst_of_the_last(severities: Any, said: str) -> None:
    entries = [entry(1, model="a", severity="fail")]
    entries += [entry(i + 2, model="ab"[i], severity=s) for i, s in enumerate(severities)]
    assert f">{said}</p>" in page(*entries)


def test_what_was_removed_is_no_link_but_a_point() -> None:
    gone = entry(1, "nightly-1", metrics={"accuracy": 0.125})
    text = page(entry(2), removed=(gone,))
    assert "nightly-1/" not in text
    assert "1 nightly report was removed; its numbers are still in the trends." in text
    assert "12.5 % to 90.02 %" in text


def test_checks_that_did_not_pass_are_named_failures_first() -> None:
    checks = (
        check(0.4, "warn", name="a", title="A"),
        check(0.6, "fail", name="b", title="B"),
        check(None, "skipped", name="c", title="C"),
    )
    text = page(entry(1, checks=checks))
    assert '<span class="wrong">B, A</span>' in text
    assert "Nothing was measured by: C." in text


def test_a_trend_is_told_in_words_too() -> None:
    values = (0.1, 0.2, 0.6)
    entries = [
        entry(i, checks=(check(value, "fail" if value > 0.5 else "passed"),))
        for i, value in enumerate(values, 1)
    ]
    text = page(*entries)
    assert (
        'aria-label="Dead units: 0.6 in v3; 3 reports since v1: 0.1 to 0.6; '
        'warning at 0.3; failure at 0.5"'
    ) in text
    drawings = [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", text, re.S)]
    assert len(drawings) == 2
    assert {part.tag for drawing in drawings for part in drawing} == {"polyline", "circle"}


def test_nothing_is_inline_that_a_strict_policy_forbids() -> None:
    text = page(entry(1), entry(2, "nightly-1"), removed=(entry(3, "nightly-2"),))
    assert not re.search(r"\sstyle=|\son\w+=|<style|javascript:|data:", text)
    assert re.findall(r"<script([^>]*)>(.*?)</script>", text, re.S) == [
        (' src="assets/report.js" defer', "")
    ]
    assert "https:" not in text


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_names_are_text_and_nothing_else(name: str) -> None:
    hostile = entry(
        1,
        model="m",
        title=name,
        verdict=name,
        metrics={name: 0.5, "accuracy": float("nan")},
        checks=(check(0.6, "fail", title=name),),
        weights_sha256=name,
        git_commit=name,
    )
    hostile = replace(hostile, model=name, release=name, archived=name)
    text = render_archive([hostile], [], name).decode()
    plain = page(entry(1, metrics={"a": 0.5, "accuracy": 0.5}, checks=(check(0.6, "fail"),)))

    def tags(of: str) -> list[str]:
        found: list[str] = []
        parser = HTMLParser()
        parser.handle_starttag = lambda tag, _: found.append(tag)  # type: ignore[method-assign]
        parser.feed(of)
        return found

    assert set(tags(text)) <= set(tags(plain))
    assert tags(text).count("script") == 1
    assert "\x00" not in text
    assert "\u202e" not in text


def test_an_empty_archive_says_so() -> None:
    assert "There is no report in this archive." in page()


def numbers(text: str) -> list[float]:
    return [float(part) for pair in text.split() for part in pair.split(",")]


def test_a_sparkline_has_gaps_where_nothing_was_measured() -> None:
    values = (1.0, 2.0, None, float("nan"), 3.0, float("inf"), 1.0, 2.0)
    found = sparkline([Point(value) for value in values])
    assert len(found["lines"]) == 3
    for line in found["lines"]:
        assert all(0 <= x <= WIDTH for x in numbers(line)[::2])
        assert all(0 <= y <= HEIGHT for y in numbers(line)[1::2])
    first, second = numbers(found["lines"][0])[1::2]
    assert first > second  # more is higher on the page
    assert [dot["outcome"] for dot in found["dots"]] == ["none"]


def test_thresholds_are_lines_on_the_same_scale() -> None:
    points = [Point(0.25, "good", 0.5, 1.0), Point(0.75, "warn", 0.5, 1.0), Point(0.5, "good", 0.5)]
    found = sparkline(points)
    ((_, _, _, first, _, last),) = map(numbers, found["lines"])
    ((_, warn, *_, again),) = map(numbers, found["warn"])
    assert warn == again == last
    ((_, fail, _, same),) = map(numbers, found["fail"])
    assert fail == same < first < warn
    assert [dot["outcome"] for dot in found["dots"]] == ["warn", "good"]


def test_a_threshold_that_is_far_away_does_not_flatten_the_rest() -> None:
    far = sparkline([Point(3.0, "good", 50.0, 1000.0), Point(9.0, "good", 50.0, 1000.0)])
    near = sparkline([Point(3.0, "good", 50.0, 60.0), Point(9.0, "good", 50.0, 60.0)])
    assert far["fail"] == []
    assert len(near["fail"]) == 1
    (line,) = map(numbers, far["lines"])
    assert line[1] - line[3] > HEIGHT / 10
    assert len(sparkline([Point(0.0, "good", None, 9.0)])["fail"]) == 1  # there is nothing else


@pytest.mark.parametrize(
    "values", [(), (None,), (5.0,), (5.0, 5.0), (-1.7e308, 1.7e308), (float("nan"),), (1e-320, 0.0)]
)
def test_odd_series_are_drawn(values: Any) -> None:
    found = sparkline([Point(value) for value in values])
    measured = [value for value in values if value is not None and value == value]
    assert bool(found["lines"]) == bool(measured)
    for line in found["lines"]:
        assert all(0 <= y <= HEIGHT for y in numbers(line)[1::2])
        assert len(numbers(line)) >= 4  # or it would not be seen
