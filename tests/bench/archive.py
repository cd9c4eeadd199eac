"""How fast an archive of 1,000 reports is kept: ``python -m tests.bench.archive [--json FILE]``.

Reports of three models with a dozen checks each, and no pages: what is timed reads none of these.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from reportgen.archive import index
from reportgen.archive.folder import SUMS, checksums
from reportgen.archive.prune import removable
from reportgen.archive.standing import stamp
from reportgen.archive.verify_archive import verify_archive
from reportgen.core.checks import Check
from reportgen.core.report import Report
from tests.archive.making import archived, digest, report, write
from tests.bench.alternating import machine

REPORTS, CHECKS = 1000, 12
TARGET = 5.0  # seconds to index them with their history lost


def _report(number: int, model: str) -> Report:
    made = report(accuracy=0.95 + 0.02 * math.sin(number / 30), model=model)
    checks = tuple(
        Check(
            name=f"check_{i}",
            title=f"Check {i}",
            outcome="passed",
            message="measured",
            value=0.1 + 0.05 * math.sin(number / (10 + i)),
            warn=0.3,
            fail=0.5,
        )
        for i in range(CHECKS)
    )
    return replace(made, checks=checks)


def _filled(archive: Path) -> None:
    """Without locks and lines, which the first index makes."""
    for number in range(REPORTS):
        model = ("lenet", "resnet50", "vit_b16")[number % 3]
        release = f"v1.{number}" if number % 10 == 0 else f"nightly-{number}"
        folder = archive / model / release / digest("a")[:12]
        folder.mkdir(parents=True)
        write(_report(number, model), folder)
        (folder / SUMS).write_text(checksums(folder))
        stamp(folder, number + 1, "2026-11-21T00:00:00+00:00")


def _seconds(run: Callable[[], Any], before: Callable[[], Any] = lambda: None) -> float:
    taken = []
    for _ in range(5):
        before()
        began = time.perf_counter()
        run()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def main() -> None:
    """Measure, print a table, write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    tags = iter(range(10_000))
    with tempfile.TemporaryDirectory() as scratch:
        archive, alone = Path(scratch) / "archive", Path(scratch) / "alone"
        _filled(archive)
        lost = _seconds(
            lambda: index.rebuild(archive),
            lambda: (archive / "history.jsonl").unlink(missing_ok=True),
        )
        rows = {
            f"index, history lost, s (target {TARGET:g})": lost,
            "index, s": _seconds(lambda: index.rebuild(archive)),
            "add a report, s": _seconds(lambda: archived(archive, f"x{next(tags)}")),
            "the same to an empty archive, s": _seconds(
                lambda: archived(alone, f"x{next(tags)}"),
                lambda: shutil.rmtree(alone, ignore_errors=True),
            ),
            "what prune would remove, s": _seconds(lambda: removable(archive, 30)),
            "verify, s": _seconds(lambda: verify_archive(archive)),
            "index.html, MB": (archive / "index.html").stat().st_size / 1e6,
            "history.jsonl, MB": (archive / "history.jsonl").stat().st_size / 1e6,
        }
    print(f"{REPORTS} reports of {CHECKS} checks\n{machine()}")
    for name, value in rows.items():
        print(f"{name:<40} {value:9.2f}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
