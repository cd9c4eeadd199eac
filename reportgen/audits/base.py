"""What every check of an audit is: thresholds, waivers, and numbers that are held against them.

No check imports JAX: what it measures comes from the evidence, or from two reports.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from reportgen.core.blocks import Finding
from reportgen.core.checks import About, Check, Outcome
from reportgen.core.errors import NotApplicableError
from reportgen.core.settings import Real, Texts, settings

if TYPE_CHECKING:
    from reportgen.audits.evidence import Evidence


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A number that is held against the thresholds.

    Attributes:
      where: layer, class or map.
      message: what it is and how much, in a sentence.
      kept: the report tells the value; else what comes of it alone.
    """

    where: str
    value: float
    message: str
    kept: bool = True


@settings
class Waiver:
    """A known fault that a check does not fail for, until a date.

    Attributes:
      where: a glob over what is measured (``conv1``, ``block5.*``).
      reason: why, for those who read the report.
      until: the last day, YYYY-MM-DD.
    """

    where: Annotated[str, Field(min_length=1)]
    reason: Annotated[str, Field(min_length=1)]
    until: date


@settings
class Audit(ABC):
    """Settings that all checks have.

    Attributes:
      warn, fail: thresholds; None for none. A value beyond one is found, one at it is not.
      layers: of which layers, for checks that look at layers; None for all.
      about: what it judges, see ``Check``. One that is about the report looks at the finished
        pages, which are then drawn again with what it says.
    """

    title: ClassVar[str]
    advice: ClassVar[str]
    lower_is_worse: ClassVar[bool] = False
    about: ClassVar[About] = "network"

    warn: Real | None
    fail: Real | None
    layers: Texts | None = None
    waivers: tuple[Waiver, ...] = ()

    def __post_init__(self) -> None:
        if self.warn is None or self.fail is None:
            return
        if (self.warn < self.fail) if self.lower_is_worse else (self.warn > self.fail):
            raise ValueError(
                f"warn is {self.warn:g}, fail is {self.fail:g}; expected warn to come first, as "
                f"{'lower' if self.lower_is_worse else 'higher'} values are worse"
            )

    @abstractmethod
    def measure(self, evidence: Evidence) -> Iterable[Measure]:
        """The numbers.

        Raises:
          NotApplicableError: if there are none, with the reason.
        """

    def outcome(self, value: float) -> Outcome:
        """Of one value. What is no number is beyond every threshold."""
        if self._beyond(value, self.fail):
            return "fail"
        return "warn" if self._beyond(value, self.warn) else "passed"

    def _beyond(self, value: float, threshold: float | None) -> bool:
        if threshold is None:
            return False
        if math.isnan(value):
            return True
        return value < threshold if self.lower_is_worse else value > threshold


def judged(
    name: str, audit: Audit, measure: Callable[[], Iterable[Measure]], today: date
) -> tuple[Check, tuple[Finding, ...]]:
    """A check, and a finding for every number beyond a threshold.

    Args:
      measure: gives the numbers, or raises NotApplicableError with the reason why there are none.
      today: a waiver whose last day is before it has ended.
    """
    try:
        measures = list(measure())
    except NotApplicableError as error:
        return _skipped(name, audit, str(error)), ()
    findings = [_finding(name, audit, one, today) for one in measures]
    found = tuple(finding for finding in findings if finding is not None)
    return _check(name, audit, measures, today), found


_RANK: Sequence[Outcome] = ("fail", "warn", "waived", "passed")


def _check(name: str, audit: Audit, measures: Sequence[Measure], today: date) -> Check:
    if not measures:
        return _skipped(name, audit, "There is nothing that it could measure.")

    def badness(one: Measure) -> tuple[int, float]:
        value = -one.value if audit.lower_is_worse else one.value
        return -_RANK.index(_allowed(audit, one, today)), math.inf if value != value else value

    worst = max(measures, key=badness)
    return Check(
        name=name,
        title=audit.title,
        outcome=_allowed(audit, worst, today),
        message=worst.message,
        where=worst.where,
        value=worst.value if worst.kept else None,
        warn=audit.warn,
        fail=audit.fail,
        measured=len(measures),
        about=audit.about,
    )


def _skipped(name: str, audit: Audit, reason: str) -> Check:
    return Check(name=name, title=audit.title, outcome="skipped", message=reason, about=audit.about)


def _waiver(audit: Audit, one: Measure, today: date) -> tuple[Waiver | None, bool]:
    """The waiver that speaks of a measurement, and whether it still holds."""
    about = [w for w in audit.waivers if w.where == one.where or fnmatchcase(one.where, w.where)]
    if not about:
        return None, False
    latest = max(about, key=lambda waiver: waiver.until)
    return latest, today <= latest.until


def _allowed(audit: Audit, one: Measure, today: date) -> Outcome:
    outcome = audit.outcome(one.value)
    return "waived" if outcome != "passed" and _waiver(audit, one, today)[1] else outcome


def _finding(name: str, audit: Audit, one: Measure, today: date) -> Finding | None:
    outcome = audit.outcome(one.value)
    if outcome == "passed":
        return None
    waiver, holds = _waiver(audit, one, today)
    message = one.message
    if waiver is not None and holds:
        message += f" Waived until {waiver.until}: {waiver.reason}"
    elif waiver is not None:
        message += f" Its waiver ended on {waiver.until}: {waiver.reason}"
    return Finding(
        severity="info" if holds else "fail" if outcome == "fail" else "warn",
        check=name,
        message=message,
        where=one.where,
        value=one.value if one.kept else None,
        threshold=audit.fail if outcome == "fail" else audit.warn,
        advice=audit.advice,
    )
