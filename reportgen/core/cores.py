"""The cores that this process may use."""

from __future__ import annotations

import os


def available_cores() -> list[int]:
    """Their numbers."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def cores() -> int:
    """How many; fewer where NPROC says so, as XLA heeds it."""
    told = os.environ.get("NPROC", "")
    count = len(available_cores())
    return max(1, min(count, int(told))) if told.isdecimal() else count
