"""What a run made and took, for the checks that look at it when all else is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The pages as they were first drawn, and the run until then.

    Attributes:
      sizes: bytes of report.html, of all of assets/, and of report.pdf.
      seconds: since the run began.
      memory: bytes, the most that the process has held at a time.
      timings: the report may tell what differs from run to run.
    """

    sizes: Mapping[str, int]
    seconds: float
    memory: int
    timings: bool
