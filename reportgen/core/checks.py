"""What an audit found: one check, judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from reportgen.core.fields import Number

Outcome = Literal["passed", "warn", "fail", "waived", "skipped"]
About = Literal["network", "baseline", "report"]


@dataclass(frozen=True, kw_only=True)
class Check:
    """One check of an audit with its worst measurement.

    Attributes:
      name: in the configuration. ``title``: in words.
      message: what was measured, or why nothing was.
      where: layer, class or map of the worst measurement.
      value: unrounded; None if nothing was measured.
      warn, fail: the thresholds; None where there is none.
      measured: how many numbers were held against them.
      about: what it judges: the network and its images; the network beside an earlier one; or the
        report and the run that made it. The first alone can be compared with another report's.
    """

    name: str
    title: str
    outcome: Outcome
    message: str
    where: str = ""
    value: Number | None = None
    warn: float | None = None
    fail: float | None = None
    measured: int = 0
    about: About = "network"
