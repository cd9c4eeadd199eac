"""What a sweep's index page tells of each job."""

from __future__ import annotations

from dataclasses import dataclass, field


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
      metrics: headline numbers, unrounded.
    """

    number: int
    overrides: tuple[str, ...]
    exit_code: int
    message: str = ""
    folder: str = ""
    title: str = ""
    thumbnail: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
