"""What an audit comes to: the verdict in words, and its checks as rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from reportgen.core.checks import Check
from reportgen.core.report import Report
from reportgen.render import numbers

View = dict[str, Any]

SEVERITIES = ("fail", "warn", "info")


def verdict(report: Report) -> View:
    """``severity`` (fail, warn or good) and ``text``."""
    counts = {level: sum(f.severity == level for f in report.findings) for level in SEVERITIES}
    if counts["fail"]:
        words = [numbers.counted(counts["fail"], "failure")]
        if counts["warn"]:
            words.append(numbers.counted(counts["warn"], "warning"))
        return {"severity": "fail", "text": ", ".join(words)}
    if counts["warn"]:
        return {"severity": "warn", "text": numbers.counted(counts["warn"], "warning")}
    passed = sum(check.outcome == "passed" for check in report.checks)
    checked = f", {numbers.counted(passed, 'check')} passed" if passed else ""
    return {"severity": "good", "text": f"No warnings{checked}"}


def checks_view(checks: Iterable[Check]) -> list[View]:
    """Every check with its numbers as text."""
    return [
        {
            "name": check.name,
            "title": check.title,
            "outcome": check.outcome,
            "message": check.message,
            "where": check.where,
            "value": _number(check.value),
            "warn": _number(check.warn),
            "fail": _number(check.fail),
        }
        for check in checks
    ]


def _number(value: float | None) -> str:
    return "" if value is None else numbers.cell(float(value))
