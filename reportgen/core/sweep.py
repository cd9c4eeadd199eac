"""What a sweep's index page tells of each job."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from reportgen.core.report import Report

COUNTS = ("failures", "warnings", "parameters", "FLOPs")
"""Headline numbers that every report has."""


@dataclass(frozen=True, kw_only=True)
class SweepJob:
    """One combination of overrides.

    Attributes:
      number: its place in the sweep.
      overrides: what it changed (``model=lenet``).
      exit_code: 0 done, 1 internal error, 2 the user's input is wrong, 3 an audit failed.
      message: what went wrong, empty if nothing did.
      folder: its report's folder, relative to the sweep's; empty if none was written.
      title: of its report.
      thumbnail: an image of the report, relative to the sweep's folder; may be empty.
      shown: what the thumbnail shows.
      sections: titles of the report's sections by the ids that its page has them under.
      metrics: headline numbers, unrounded.
    """

    number: int
    overrides: tuple[str, ...]
    exit_code: int
    message: str = ""
    folder: str = ""
    title: str = ""
    thumbnail: str = ""
    shown: str = ""
    sections: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)


def headline_numbers(report: Report) -> dict[str, float]:
    """What reports are compared by: their metrics, what they warn of, the size of the network."""
    counted = Counter(finding.severity for finding in report.findings)
    every = counted["fail"], counted["warn"], report.model.parameters, report.model.flops
    return {**report.metrics, **dict(zip(COUNTS, every, strict=True))}


def settings_of(overrides: Iterable[str]) -> dict[str, str]:
    """Values by key; one that is added (``+model.kwargs.width=8``) stands under its bare key."""
    pairs = (override.partition("=") for override in overrides)
    return {key.lstrip("+") or key: value for key, _, value in pairs}
