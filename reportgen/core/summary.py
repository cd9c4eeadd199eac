"""A report in a few kilobytes: what a scheduler or an index asks of it first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from reportgen.core.checks import Outcome
from reportgen.core.fields import Number


@dataclass(frozen=True, kw_only=True)
class CheckNumbers:
    """One check of the audit, without its words; see ``Check``."""

    name: str
    title: str
    outcome: Outcome
    value: Number | None
    warn: Number | None
    fail: Number | None


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The content of summary.json.

    Attributes:
      severity: the worst of the findings; ``good`` if there are only notes.
      verdict: the same in words, with numbers.
      failed: whether the audit failed. ``exit_code``: of the command, which follows from it.
      findings: how many there are of each severity (``fail``, ``warn``, ``info``).
      metrics: all of the report's, unrounded.
      created: from SOURCE_DATE_EPOCH; empty without it.
    """

    title: str
    model: str
    severity: Literal["good", "warn", "fail"]
    verdict: str
    failed: bool
    exit_code: int
    findings: dict[str, int]
    metrics: dict[str, Number]
    checks: tuple[CheckNumbers, ...]
    weights_sha256: str
    config_sha256: str
    git_commit: str
    git_dirty: bool | None
    reportgen: str
    created: str
    schema_version: Literal[1] = 1
