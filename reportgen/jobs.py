"""What a sweep keeps of its jobs on disk, which is all that its processes share.

``jobs/order.json`` lists every job's overrides; ``jobs/N.json`` says what became of job N;
``jobs/N.pid`` is there while a process of its own runs it; ``jobs/N.log`` is what that printed.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from glob import escape
from pathlib import Path
from typing import Any

from reportgen.core.sweep import SweepJob

JOBS = "jobs"
SUBMITTED = "submitit"  # submitit's own; the configuration of its launchers says so too
_ORDER = "order.json"


def begin(sweep: Path, order: Sequence[Sequence[str]]) -> None:
    """Write down the jobs of a sweep, and forget those of one that was here before.

    Raises:
      OSError: if the folder cannot be written.
    """
    (sweep / JOBS).mkdir(parents=True, exist_ok=True)
    for number in range(len(order)):
        for suffix in ("json", "pid", "log"):
            file(sweep, number, suffix).unlink(missing_ok=True)
    shutil.rmtree(sweep / JOBS / SUBMITTED, ignore_errors=True)
    text = json.dumps([list(job) for job in order], ensure_ascii=False)
    (sweep / JOBS / _ORDER).write_text(text)


def file(sweep: Path, number: int, suffix: str) -> Path:
    """A file of one job."""
    return sweep / JOBS / f"{number}.{suffix}"


def all_jobs(sweep: Path) -> list[list[str]]:
    """The overrides of every job, in order."""
    order: list[list[str]] = json.loads((sweep / JOBS / _ORDER).read_text())
    return order


def number_of(sweep: Path, overrides: Sequence[str]) -> int:
    """A job's place in the sweep."""
    return all_jobs(sweep).index(list(overrides))


def report_folder(sweep: Path, overrides: Sequence[str]) -> Path:
    """Where a job's report goes: its number, and its overrides that not every job has."""
    order = all_jobs(sweep)
    swept = [word for word in overrides if not all(word in job for job in order)]
    words = re.sub(r"[^A-Za-z0-9=._+-]+", "_", ",".join(swept)).strip("_")[:80]
    return sweep / f"{order.index(list(overrides))}_{words or 'default'}"


def record(sweep: Path, overrides: Sequence[str], **what: Any) -> None:
    """Write down what became of a job (fields of ``SweepJob``); it may run in another process."""
    number = number_of(sweep, overrides)
    job = SweepJob(number=number, overrides=tuple(overrides), **what)
    path = file(sweep, number, "json")
    # Another process looks for the file while it is written.
    written = path.with_suffix(".part")
    written.write_text(json.dumps(asdict(job), ensure_ascii=False))
    written.replace(path)


def recorded(sweep: Path, number: int) -> SweepJob | None:
    """What became of a job; None if it has not ended yet, or ended without a word."""
    path = file(sweep, number, "json")
    if not path.is_file():
        return None
    values = json.loads(path.read_text())
    values["overrides"] = tuple(values["overrides"])
    return SweepJob(**values)


def clear(sweep: Path, overrides: Sequence[str]) -> None:
    """Take away what a job whose process was killed could not take away itself."""
    target = report_folder(sweep, overrides)
    for half in sweep.glob(f".{escape(target.name[:100])}.*"):
        shutil.rmtree(half, ignore_errors=True)
    file(sweep, number_of(sweep, overrides), "pid").unlink(missing_ok=True)
