"""All checks of an audit, one after another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from functools import partial
from typing import TYPE_CHECKING

from reportgen.audits.base import Audit, judged
from reportgen.audits.pair import DriftAudit, Pair
from reportgen.core.blocks import Finding
from reportgen.core.checks import Check

if TYPE_CHECKING:
    from reportgen.audits.evidence import Evidence

# By its name, what a check says and found.
Judged = dict[str, tuple[Check, tuple[Finding, ...]]]


def run_audit(
    audits: Mapping[str, Audit],
    evidence: Evidence,
    today: date,
    advance: Callable[[int], None],
) -> Judged:
    """What the checks found, in their order.

    Args:
      today: for waivers.
      advance: told of every finished check.
    """
    found: Judged = {}
    for name, audit in audits.items():
        found[name] = judged(name, audit, partial(audit.measure, evidence), today)
        advance(1)
    return found


def run_drift(audits: Mapping[str, Audit], pair: Pair, today: date) -> Judged:
    """What those checks found that compare two reports; all others are left out."""
    return {
        name: judged(name, audit, partial(audit.compare, pair), today)
        for name, audit in audits.items()
        if isinstance(audit, DriftAudit)
    }


def told(judgements: Judged) -> tuple[tuple[Check, ...], tuple[Finding, ...]]:
    """The checks, and the findings of all of them."""
    checks = tuple(check for check, _ in judgements.values())
    return checks, tuple(finding for _, found in judgements.values() for finding in found)
