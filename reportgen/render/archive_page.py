"""The page of an archive: every model with its releases, and how their numbers went."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from urllib.parse import quote

from reportgen.core.archived import Entry
from reportgen.core.report import headline
from reportgen.core.summary import CheckNumbers, Summary
from reportgen.render import numbers
from reportgen.render.sparklines import HEIGHT, WIDTH, Point, sparkline
from reportgen.render.templating import environment
from reportgen.render.text import Names, printable, slug

_OPEN = 10  # releases of a model before older ones are folded
_COLUMNS = 3  # metrics of the table; all are among the trends
_NAMED = 3  # checks of a report that did not pass
_DIGITS = 8  # of a hash, to tell it by
_OUTCOMES = {"passed": "good", "warn": "warn", "fail": "fail", "waived": "info", "skipped": "info"}
_WORDS = {"good": "good", "warn": "warning", "fail": "fail"}

View = dict[str, Any]


def render_archive(live: Sequence[Entry], removed: Sequence[Entry], title: str) -> bytes:
    """index.html of an archive, which links assets/ beside it.

    Args:
      live: reports in place; ``removed``: pruned ones, whose numbers are shown in the trends. Both
        in any order: the page's is by their numbers.
    """
    page = environment().get_template("archive.html.j2")
    return page.render(archive=_view(live, removed, title)).encode()


def _view(live: Sequence[Entry], removed: Sequence[Entry], title: str) -> View:
    by_model: dict[str, list[Entry]] = {}
    for entry in sorted(live, key=lambda entry: -entry.sequence):
        by_model.setdefault(entry.model, []).append(entry)
    names = Names("top", "models")
    gone = {model: [entry for entry in removed if entry.model == model] for model in by_model}
    return {
        "title": printable(title),
        "counted": f"{numbers.counted(len(by_model), 'model')}, "
        f"{numbers.counted(len(live), 'report')}",
        "verdict": _verdict([entries[0] for entries in by_model.values()]),
        "models": [
            _model(model, entries, gone[model], names.take(f"model-{slug(model)}"))
            for model, entries in by_model.items()
        ],
        "width": WIDTH,
        "height": HEIGHT,
    }


def _verdict(last: Sequence[Entry]) -> View:
    """What the last reports of all models come to."""
    for severity, verb in (("fail", "failures"), ("warn", "warnings")):
        found = [entry for entry in last if entry.summary.severity == severity]
        if found:
            of = f" of {numbers.counted(len(found), 'model')}" if len(last) > 1 else ""
            last_ones = "reports" if len(found) > 1 else "report"
            return {
                "severity": severity,
                "text": f"{verb.capitalize()} in the last {last_ones}{of}",
            }
    said = "No warnings in the last reports" if last else "No reports"
    return {"severity": "good", "text": said}


def _model(name: str, entries: Sequence[Entry], removed: Sequence[Entry], own: str) -> View:
    """One model; its entries are the newest first."""
    releases = [entry for entry in entries if entry.kind == "release"]
    nightly = [entry for entry in entries if entry.kind == "nightly"]
    columns = list(headline(entries[0].summary.metrics)[0])[:_COLUMNS]
    shown = {entry.sequence for entry in (*releases[:_OPEN], *nightly[:1])}
    ordered = sorted((*entries, *removed), key=lambda entry: entry.sequence)
    trends = _trends([entry.summary for entry in ordered], [entry.release for entry in ordered])

    def rows(chosen: Sequence[Entry]) -> list[View]:
        return [_row(entry, columns) for entry in chosen]

    return {
        "name": printable(name),
        "id": own,
        "last": _row(entries[0], columns),
        "release": _row(releases[0], columns) if releases else None,
        "nightly": _row(nightly[0], columns) if nightly else None,
        "count": numbers.integer(len(entries)),
        "counted": _counted(releases, nightly),
        "columns": [printable(column) for column in columns],
        "rows": rows([entry for entry in entries if entry.sequence in shown]),
        "older": rows(releases[_OPEN:]),
        "nightlies": rows(nightly[1:]),
        "removed": _removed(len(removed)),
        "trends": [found for found in trends if found["lines"]],
        "unmeasured": [found["name"] for found in trends if not found["lines"]],
    }


def _counted(releases: Sequence[Entry], nightly: Sequence[Entry]) -> str:
    words = [numbers.counted(len(releases), "release")] if releases else []
    words += [numbers.counted(len(nightly), "nightly report")] if nightly else []
    return ", ".join(words)


def _removed(count: int) -> str:
    if not count:
        return ""
    are = "was removed; its numbers are" if count == 1 else "were removed; their numbers are"
    return f"{numbers.counted(count, 'nightly report')} {are} still in the trends."


def _row(entry: Entry, columns: Sequence[str]) -> View:
    summary = entry.summary
    wrong = [check for check in summary.checks if check.outcome in ("fail", "warn")]
    wrong.sort(key=lambda check: check.outcome != "fail")
    named = ", ".join(check.title for check in wrong[:_NAMED])
    more = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
    folder = quote(entry.path)
    return {
        "sequence": entry.sequence,
        "release": printable(entry.release),
        "kind": entry.kind,
        "title": printable(summary.title),
        "html": f"{folder}/report.html",
        "pdf": f"{folder}/report.pdf",
        "severity": summary.severity,
        "badge": _WORDS[summary.severity],
        "verdict": printable(summary.verdict),
        "wrong": printable(named + more),
        "metrics": [_metric(summary, column) for column in columns],
        "weights": _hash(summary.weights_sha256),
        "commit": _hash(summary.git_commit),
        "dirty": bool(summary.git_dirty),
        "config": printable(entry.config),
        "date": printable(entry.archived[:16].replace("T", " ")),
        "time": printable(entry.archived),
        "size": numbers.size(entry.bytes),
    }


def _hash(digest: str) -> View:
    return {"short": printable(digest[:_DIGITS]), "full": printable(digest)}


def _metric(summary: Summary, name: str) -> View:
    value = summary.metrics.get(name)
    return {"text": numbers.cell(value, name), "exact": "" if value is None else repr(value)}


def _trends(summaries: Sequence[Summary], releases: Sequence[str]) -> list[View]:
    """A line for each headline metric and each check, those of the last report first."""
    newest = summaries[::-1]
    metrics = dict.fromkeys(name for one in newest for name in headline(one.metrics)[0])
    titles = {check.name: check.title for one in summaries for check in one.checks}
    checks = dict.fromkeys(check.name for one in newest for check in one.checks)
    found = [
        _trend(
            name,
            [Point(one.metrics.get(name)) for one in summaries],
            releases,
            partial(numbers.cell, name=name),
        )
        for name in metrics
    ]
    for name in checks:
        points = [
            _point(next((c for c in one.checks if c.name == name), None)) for one in summaries
        ]
        found.append(_trend(titles[name], points, releases, numbers.cell, "check"))
    return found


def _point(check: CheckNumbers | None) -> Point:
    if check is None:
        return Point(None)
    return Point(check.value, _OUTCOMES[check.outcome], check.warn, check.fail)


def _trend(
    name: str,
    points: Sequence[Point],
    releases: Sequence[str],
    text: Callable[[float | None], str],
    kind: str = "metric",
) -> View:
    """A line with its last value and range in words, which are its text alternative too."""
    having = [i for i, point in enumerate(points) if point.value is not None]
    values = [point.value for point in points if point.value is not None]
    finite = [value for value in values if math.isfinite(value)]
    last = points[having[-1]] if having else Point(None)
    said = "nothing was measured"
    if having:
        said = f"{text(last.value)} in {releases[having[-1]]}"
    if len(having) > 1 and finite:
        said += (
            f"; {numbers.counted(len(having), 'report')} since {releases[having[0]]}: "
            f"{text(min(finite))} to {text(max(finite))}"
        )
    held = [
        f"{word} at {numbers.cell(float(value))}"
        for word, value in (("warning", last.warn), ("failure", last.fail))
        if value is not None
    ]
    return {
        "name": printable(name),
        "kind": kind,
        "value": text(last.value),
        "outcome": last.outcome,
        "badge": _WORDS.get(last.outcome, "") if last.outcome != "good" else "",
        "range": f"{text(min(finite))} to {text(max(finite))}" if len(set(finite)) > 1 else "",
        "held": ", ".join(held),
        "alt": printable(f"{name}: {'; '.join([said, *held])}"),
        **sparkline(points),
    }
