"""What every part of a comparison hands back."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from reportgen.core.blocks import Block, Finding
from reportgen.core.report import Report

FLIPPED = "images of another class"
LOST = "right → wrong"
DIED = "newly dead units"
COUNTS = (FLIPPED, LOST, DIED)
"""Metrics of a comparison, besides the changes of those that reports have."""
CHECK = "compare"
"""What found its findings."""


@dataclass(frozen=True, kw_only=True)
class Tally:
    """How many things of a kind differ, and how many are equal."""

    what: str
    changed: int
    equal: int


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Something that was not compared, or only with care.

    Attributes:
      grave: without it the question whether the candidate may replace the base stays open.
    """

    what: str
    why: str
    grave: bool = False


@dataclass(frozen=True, kw_only=True)
class Part:
    """The blocks of one section, none where there is nothing to show.

    Attributes:
      told: what changed, in a sentence; empty if nothing did.
      metrics: numbers for the head of the report, unrounded.
    """

    blocks: tuple[Block, ...] = ()
    intro: str = ""
    told: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    tallies: tuple[Tally, ...] = ()
    gaps: tuple[Gap, ...] = ()


def titles(report: Report) -> dict[str, str]:
    """Of a report's sections by their methods, each one's own: Grad-CAM may stand there twice."""
    count = Counter(section.title for section in report.sections)
    return {
        section.method: section.title
        if count[section.title] == 1
        else f"{section.title} ({section.method})"
        for section in report.sections
    }
