"""All checks of an audit, one after another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date

from reportgen.audits.base import Audit, judged
from reportgen.audits.evidence import Evidence
from reportgen.core.blocks import Finding
from reportgen.core.checks import Check


def run_audit(
    audits: Mapping[str, Audit],
    evidence: Evidence,
    today: date,
    advance: Callable[[int], None],
) -> tuple[tuple[Check, ...], tuple[Finding, ...]]:
    """What the checks found, in their order.

    Args:
      today: for waivers.
      advance: told of every finished check.
    """
    checks: list[Check] = []
    findings: list[Finding] = []
    for name, audit in audits.items():
        check, found = judged(name, audit, evidence, today)
        checks.append(check)
        findings += found
        advance(1)
    return tuple(checks), tuple(findings)
