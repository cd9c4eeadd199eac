"""summary.md: the verdict in Markdown, for the summary of a CI job."""

from __future__ import annotations

import re

from reportgen.core.report import Report, headline
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


def _escaped(text: str) -> str:
    plain = " ".join(printable(text).split())
    for char, entity in (("&", "&amp;"), ("<", "&lt;")):
        plain = plain.replace(char, entity)
    return _SPECIAL.sub(r"\\\1", plain)
