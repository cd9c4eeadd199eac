"""Jobs beside their peers: in one process, in turns, medians and ratios, a table and a JSON."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

Job = Callable[[], object]


@dataclass(frozen=True)
class Measured:
    """One job on both sides.

    Attributes:
      seconds: of each run, by side.
      times: runs of the peer that do what one of ours does.
      ratio: the peer's median, so many times, over ours; above 1 we are faster.
      target: of the ratio; None where there is none.
    """

    name: str
    peer: str
    seconds: Mapping[str, tuple[float, ...]]
    ratio: float
    target: float | None = None
    times: float = 1


def machine() -> str:
    """Processor and cores, for the head of a table."""
    names = Path("/proc/cpuinfo")
    lines = names.read_text().splitlines() if names.is_file() else []
    name = next((line.split(":", 1)[1].strip() for line in lines if "model name" in line), "")
    return f"{name or platform.processor() or platform.machine()}, {os.cpu_count()} cores"


def measure(
    name: str,
    ours: Job,
    peer: Job,
    *,
    against: str,
    runs: int = 3,
    target: float | None = None,
    times: float = 1,
    cold: bool = False,
) -> Measured:
    """Run both in turns and print the line of the table.

    Args:
      times: runs of the peer that do what one of ours does.
      cold: what ours compiles counts. Else both run once before, to compile and fill caches.
    """
    seconds: dict[str, list[float]] = {"ours": [], "peer": []}
    if not cold:
        ours()
    peer()
    for _ in range(runs):
        for side, job in (("ours", ours), ("peer", peer)):
            began = time.perf_counter()
            job()
            seconds[side].append(time.perf_counter() - began)
    mine, theirs = (statistics.median(seconds[side]) for side in ("ours", "peer"))
    row = Measured(
        name,
        against,
        {side: tuple(s) for side, s in seconds.items()},
        times * theirs / mine,
        target,
        times,
    )
    print(line(row), flush=True)
    return row


def line(row: Measured) -> str:
    """A row of the table."""
    mine, theirs = (statistics.median(row.seconds[side]) for side in ("ours", "peer"))
    goal = "" if row.target is None else f"  target {row.target:g}"
    peer = row.peer if row.times == 1 else f"{row.peer}, {row.times:g} times {theirs:.3f} s"
    return f"{row.name:<22} {mine:9.3f} {row.times * theirs:9.3f}  {row.ratio:6.2f}{goal}   {peer}"


def head(title: str) -> None:
    """Machine and names of the columns."""
    print(f"{title}\n{machine()}")
    print(f"{'job':<22} {'ours, s':>9} {'peer, s':>9}  {'ratio':>6}", flush=True)


def write(path: Path | None, rows: list[Measured], told: Sequence[str] = ()) -> None:
    """All that was measured and told, as JSON, if a file is named."""
    if path is not None:
        measured = {"machine": machine(), "rows": [asdict(row) for row in rows], "told": [*told]}
        path.write_text(json.dumps(measured, indent=1) + "\n")
