"""summary.md and summary.json: the verdict for a CI job's summary, and for programs."""

from __future__ import annotations

import json
import re
from collections import Counter

from pydantic import TypeAdapter

from reportgen.core.report import Report, headline
from reportgen.core.results import strict
from reportgen.core.summary import CheckNumbers, Summary
from reportgen.render import numbers
from reportgen.render.text import printable
from reportgen.render.verdict import SEVERITIES, checks_view, verdict

_MARKS = {"passed": "✅", "warn": "⚠️", "fail": "❌", "waived": "☑️", "skipped": "➖"}
_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+.!|~>-])")


def render_summary(report: Report) -> bytes:
    """Verdict, headline numbers, checks and findings; names are escaped, so that none is markup."""
    lines = [f"# {_escaped(report.title)}", "", f"**{_escaped(verdict(report)['text'])}**", ""]
    alone, _ = headline(report.metrics)
    lines += [f"- {_escaped(name)}: {numbers.cell(value, name)}" for name, value in alone.items()]
    if report.checks:
        lines += ["", "| check | outcome | worst | where | warn | fail |"]
        lines += ["| --- | --- | ---: | --- | ---: | ---: |"]
        for check in checks_view(report.checks):
            words = (check["title"], f"{_MARKS[check['outcome']]} {check['outcome']}")
            cells = (*words, *(check[key] for key in ("value", "where", "warn", "fail")))
            lines.append(f"| {' | '.join(map(_escaped, cells))} |")
    if report.findings:
        lines += ["", "## Findings", ""]
    for severity in SEVERITIES:
        for finding in report.findings:
            if finding.severity == severity:
                where = f" {_escaped(finding.where)}:" if finding.where else ""
                told = _escaped(f"{finding.message} {finding.advice}".strip())
                lines.append(f"- **{severity}** {_escaped(finding.check)}{where} {told}")
    lines += ["", "The whole report: [report.html](report.html), [report.pdf](report.pdf)"]
    return ("\n".join(lines) + "\n").encode()


def summarised(report: Report) -> Summary:
    """What programs ask of a report first."""
    found, made = verdict(report), report.provenance
    counted = Counter[str](finding.severity for finding in report.findings)
    return Summary(
        title=printable(report.title),
        model=printable(report.model.name),
        severity=found["severity"],
        verdict=found["text"],
        failed=report.failed,
        exit_code=report.exit_code,
        findings={severity: counted[severity] for severity in SEVERITIES},
        metrics={printable(name): value for name, value in report.metrics.items()},
        checks=tuple(
            CheckNumbers(
                name=printable(check.name),
                title=printable(check.title),
                outcome=check.outcome,
                value=check.value,
                warn=check.warn,
                fail=check.fail,
            )
            for check in report.checks
        ),
        weights_sha256=report.model.weights_sha256,
        config_sha256=made.config_sha256,
        git_commit=made.git_commit,
        git_dirty=made.git_dirty,
        reportgen=made.reportgen,
        created=made.created,
    )


def render_summary_json(report: Report) -> bytes:
    """The summary as strict JSON, in which numbers that are not finite are texts (``NaN``)."""
    data = strict(TypeAdapter(Summary).dump_python(summarised(report), mode="json"))
    return (json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _escaped(text: str) -> str:
    plain = " ".join(printable(text).split())
    for char, entity in (("&", "&amp;"), ("<", "&lt;")):
        plain = plain.replace(char, entity)
    return _SPECIAL.sub(r"\\\1", plain)
