"""A sweep of 64 small reports: ``python -m tests.bench.sweep [--json FILE]``.

In one process, over processes by joblib, and beside them the command started anew for each report;
a few of those are timed, and counted 64 times. The sweep's page is made by the first two alone.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.bench.alternating import head, measure, write

JOBS = 64
STARTED = 4
EACH = ("method=[saliency,predictions]", "data.count=4")


def _run(*arguments: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "reportgen", *arguments, *EACH], check=True, capture_output=True
    )


def _swept(folder: Path, *launcher: str) -> Callable[[], None]:
    seeds = ",".join(map(str, range(JOBS)))

    def run() -> None:
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            _run("-m", f"seed={seeds}", f"hydra.sweep.dir={scratch}/sweep", *launcher)
            made = len(list(Path(scratch).rglob("results.json")))
            assert made == JOBS, f"{made} of {JOBS} reports"

    return run


def _started(folder: Path) -> Callable[[], None]:
    def run() -> None:
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            for seed in range(STARTED):
                _run(f"seed={seed}", f"report.dir={scratch}/{seed}")

    return run


def main() -> None:
    """Measure, print a table, write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--runs", type=int, default=1)
    arguments = parser.parse_args()
    head(f"{JOBS} reports of LeNet: {' '.join(EACH)}")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        launchers = {"one process": (), "joblib": ("hydra/launcher=joblib",)}
        rows = [
            measure(
                name, _swept(folder, *launcher), _started(folder), against="a process for each",
                runs=arguments.runs, times=JOBS / STARTED, cold=True,
            )
            for name, launcher in launchers.items()
        ]  # fmt: skip
    write(arguments.json, rows)


if __name__ == "__main__":
    main()
