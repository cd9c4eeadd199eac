"""Times the default report and the help: ``python -m tests.bench.default_report``.

Each run is a process of its own, as a person or a scheduler starts it. Cold has an empty cache;
anew has the programs that were compiled, and computes all again; again has the finished work too.
Nothing is asserted: targets are printed beside.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.alternating import machine

TARGETS = {"cold": 60.0, "anew": 15.0, "again": 15.0, "help": 0.7}
PAGE_TARGET_MB = 5.0


def seconds(*arguments: str, cache: Path) -> float:
    """Wall-clock time of one run of the command."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "reportgen", *arguments],
        env=environment,
        check=True,
        capture_output=True,
    )
    return time.perf_counter() - began


def main() -> None:
    """Measure, print a table, write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--runs", type=int, default=3, help="of each, the median counts")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        cache, report = Path(scratch) / "cache", Path(scratch) / "report"
        target = f"report.dir={report}"
        measured = {"cold": [seconds(target, cache=cache)]}
        for name, more in (("anew", ["resume=false"]), ("again", [])):
            measured[name] = [seconds(target, *more, cache=cache) for _ in range(arguments.runs)]
        measured["help"] = [seconds("--help", cache=cache) for _ in range(5)]
        shown = [report / "report.html", *(report / "assets").iterdir()]
        page = sum(path.stat().st_size for path in shown) / 1e6
    rows = {name: statistics.median(values) for name, values in measured.items()}
    print(machine())
    for name, value in rows.items():
        print(f"{name:<5} {value:6.2f} s   target {TARGETS[name]:g} s")
    print(f"page  {page:6.2f} MB  target {PAGE_TARGET_MB:g} MB (report.html and assets)")
    if arguments.json:
        arguments.json.write_text(
            json.dumps({"machine": machine(), "seconds": measured, "page_mb": page}, indent=1)
        )


if __name__ == "__main__":
    main()
