"""The headline numbers of a sweep's jobs beside one another: what differs, and which stand out."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from reportgen.core.sweep import COUNTS, SweepJob
from reportgen.render import numbers
from reportgen.render.text import printable

_IN_FULL = 1_000_000
_FEWER_IS_BETTER = frozenset({"failures", "warnings", "loss"})
_MORE_IS_BETTER = re.compile(r"(top-?\d+ )?accuracy")

View = dict[str, Any]


def compared(jobs: Sequence[SweepJob]) -> View:
    """All numbers by name: those that all reports share, and those that differ, job by job.

    Returns:
      ``names`` of all numbers; ``shared``, those that are the same in every report, if there are
      several; ``differing`` names; ``jobs``: numbers of each job by name, each with ``text``, the
      ``exact`` value, the ``change`` from the reference and a ``mark`` (``best``, ``worst``,
      ``highest``, ``lowest`` or none); ``reference``: the number of the first job with a report.
    """
    reports = [job for job in jobs if job.folder]
    found = dict.fromkeys(name for job in jobs for name in job.metrics)
    names = sorted(found, key=lambda name: name in COUNTS)
    shared = [name for name in names if len(reports) > 1 and _is_shared(reports, name)]
    differing = [name for name in names if name not in shared]
    reference = reports[0] if len(reports) > 1 else None
    marks = {name: _marks(reports, name) for name in differing}
    return {
        "names": [{"name": printable(name), "share": numbers.is_share(name)} for name in names],
        "shared": [
            {"name": printable(name), **_number(name, reports[0].metrics[name])} for name in shared
        ],
        "differing": [printable(name) for name in differing],
        "marked": sorted({mark for by_value in marks.values() for mark in by_value.values()}),
        "reference": None if reference is None else reference.number,
        "jobs": {
            job.number: {
                printable(name): {
                    **_number(name, value),
                    "change": _change(name, value, reference, job),
                    "mark": marks.get(name, {}).get(value, ""),
                }
                for name, value in job.metrics.items()
            }
            for job in jobs
        },
    }


def _is_shared(reports: Sequence[SweepJob], name: str) -> bool:
    return len({exact(job.metrics[name]) if name in job.metrics else "" for job in reports}) == 1


def _number(name: str, value: float) -> View:
    return {"text": _text(name, value), "exact": exact(value)}


def _text(name: str, value: float) -> str:
    large = isinstance(value, int) and abs(value) >= _IN_FULL
    return numbers.quantity(value) if large else numbers.cell(value, name)


def exact(value: float) -> str:
    """The number unrounded, as JavaScript reads it."""
    if math.isfinite(value):
        return repr(value)
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _change(name: str, value: float, reference: SweepJob | None, job: SweepJob) -> str:
    """How much more it is than in the reference; empty where that says nothing."""
    if reference is None or reference is job or name not in reference.metrics:
        return ""
    change = value - reference.metrics[name]
    if not math.isfinite(change) or change == 0:
        return ""
    if numbers.is_share(name):
        text = f"{numbers.number(100 * change)} points"
    elif isinstance(change, int) and abs(change) < _IN_FULL:
        text = numbers.integer(change)
    else:
        text = numbers.quantity(change)
    return f"+{text}" if change > 0 else text


def _marks(reports: Sequence[SweepJob], name: str) -> Mapping[float, str]:
    """What is said of the extremes, unless most reports share them.

    Only of names that say so is one end the better one; of others, such as a count of parameters,
    it is just the higher, and among two that goes without saying.
    """
    found = [job.metrics[name] for job in reports if name in job.metrics]
    found = [value for value in found if math.isfinite(value)]
    distinct = sorted(set(found))
    if len(distinct) < 2:
        return {}
    low, high = "lowest", "highest"
    better = _better(name)
    if better:
        low, high = ("worst", "best") if better > 0 else ("best", "worst")
    said = {distinct[0]: low, distinct[-1]: high}
    return {
        value: mark
        for value, mark in said.items()
        if 2 * found.count(value) <= len(found) and (mark == "best" or len(distinct) > 2)
    }


def _better(name: str) -> int:
    """1 where more is better, −1 where less is, 0 where nobody can tell."""
    if name.endswith("↑") or _MORE_IS_BETTER.fullmatch(name):
        return 1
    return -1 if name.endswith("↓") or name in _FEWER_IS_BETTER else 0
