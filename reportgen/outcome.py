"""What a command tells when its report is made: where it is, and where the time went."""

from __future__ import annotations

import platform
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from reportgen.archive.folder import LOG
from reportgen.core.report import Report


@dataclass(frozen=True)
class Stage:
    """One row of the table at the end: what was made, how much of it, seconds.

    Attributes:
      programs: compiled for it, besides those that were there.
    """

    name: str
    made: str
    seconds: float
    programs: int = 0


@dataclass(frozen=True)
class Outcome:
    """A finished report and where the time went.

    Attributes:
      written: False on a host that leaves the folder to another.
      notes: what was left out of the pages, in sentences.
    """

    folder: Path
    report: Report
    stages: tuple[Stage, ...]
    seconds: float
    written: bool = True
    notes: tuple[str, ...] = ()


def write_log(folder: Path, stages: Sequence[Stage], seconds: float, told: Sequence[str]) -> None:
    """Clock, host, timings and what was measured; the one file of a report that is never hashed."""
    lines = [
        f"finished {datetime.now().astimezone().isoformat(timespec='seconds')}",
        f"host {socket.gethostname()}, {platform.platform()}",
        *(f"{stage.seconds:9.3f} s  {stage.name}: {stage.made}" for stage in stages),
        f"{seconds:9.3f} s  total",
        *told,
    ]
    (folder / LOG).write_text("\n".join(lines) + "\n", encoding="utf-8")
