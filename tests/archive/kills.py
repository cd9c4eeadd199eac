"""Runs that are killed at random moments and started again: ``python -m tests.archive.kills``.

Each run archives the same report, is killed (SIGKILL, with all it started) at a random moment of
what a whole run takes, and is started again, until one ends well. After every kill the archive is
looked at as a reader would: there is no report, or a whole one. In the end the bytes are those of a
run that was never killed, and the next release begins without finished work.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from reportgen.archive.folder import LOG, SUMS, checksums
from reportgen.archive.verify import verify

JOB = (
    *("method=[predictions,filters,class_images,saliency,gradcam]", "layers=[conv1,conv2]"),
    *("method.filters.units=[0,1,2,3,4,5]", "data.count=40", "report.timings=false"),
    "archive.release=v1",
)


@dataclass(frozen=True)
class Outcome:
    """What was seen.

    Attributes:
      kills: runs that were killed.
      whole: reports made in spite of the kills.
      found: pieces of finished work that runs found after a kill.
      seconds: of a run without finished work.
    """

    kills: int
    whole: int
    found: int
    seconds: float


def trial(kills: int, seed: int, job: Sequence[str] = JOB, warm: bool = True) -> Outcome:
    """Kill so many runs: the first when it has finished a piece of work, the others at any moment.

    Args:
      warm: programs are compiled before, as they are where runs are killed often.

    Raises:
      AssertionError: if ever half a report is to be seen, or the bytes differ in the end.
    """
    draw, done, whole, found = random.Random(seed), 0, 0, 0
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        if warm:
            _run(home, job).wait()
            _forget(home)
        began = time.perf_counter()
        assert _run(home, job).wait() == 0, "the run that is not killed fails"
        seconds = time.perf_counter() - began
        (report,) = _reports(home)
        wanted = _bytes(report)
        _forget(home)
        while done < kills:
            process = _run(home, job)
            try:
                if not done:
                    _wait_for_work(home, process)
                code = process.wait(draw.uniform(0, seconds) if done else 0)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                done += 1
                _look(home)
                continue
            found += _ended(home, code, wanted)
            whole += 1
            _forget(home)
        found += _ended(home, _run(home, job).wait(), wanted)
        whole += 1
        left = [path for path in (home / "archive").rglob("*") if path.name.startswith(".v1.")]
        assert left == [], f"what killed runs left: {left}"
    return Outcome(done, whole, found, seconds)


def _ended(home: Path, code: int, wanted: dict[str, bytes]) -> int:
    """What the run that made the report had found of finished work.

    A run that was killed when all was done is its maker too: the next one finds the report, says
    so, and leaves it as it is.
    """
    told = (home / "output").read_text()
    assert code == 0 or "is archived already" in told, told
    (report,) = _reports(home)
    assert _bytes(report) == wanted, "other bytes than those of a run that was not killed"
    assert verify(report) == []
    _look(home)
    return _found(report)


def _run(home: Path, job: Sequence[str]) -> subprocess.Popen[bytes]:
    with (home / "output").open("wb") as output:
        return _started(home, job, output)


def _started(home: Path, job: Sequence[str], output: BinaryIO) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "reportgen", *job],
        cwd=home,
        env={**os.environ, "XDG_CACHE_HOME": str(home / "cache"), "XDG_STATE_HOME": str(home)},
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _work(home: Path) -> Path:
    return home / "cache" / "reportgen" / "work"


def _wait_for_work(home: Path, process: subprocess.Popen[bytes]) -> None:
    """Until a piece of work is kept, or the run has ended."""
    while process.poll() is None and not any(_work(home).glob("??/[!.]*")):
        time.sleep(0.01)


def _reports(home: Path) -> list[Path]:
    """Folders that a reader finds in the archive."""
    return [path.parent for path in (home / "archive").glob("lenet/v1/[!.]*/report.html")]


def _bytes(report: Path) -> dict[str, bytes]:
    paths = (path for path in report.rglob("*") if path.is_file() and path.name != LOG)
    return {path.relative_to(report).as_posix(): path.read_bytes() for path in paths}


def _look(home: Path) -> None:
    """There is no report, or a whole one."""
    for path in (home / "archive").glob("lenet/v1/[!.]*"):
        assert (path / SUMS).read_text() == checksums(path), f"{path} is half a report"


def _found(report: Path) -> int:
    (line,) = (
        line for line in (report / LOG).read_text().splitlines() if line.startswith("finished work")
    )
    return int(line.split()[2])


def _forget(home: Path) -> None:
    """All but compiled programs."""
    shutil.rmtree(home / "archive", ignore_errors=True)
    shutil.rmtree(_work(home), ignore_errors=True)


def main() -> None:
    """Kill, and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    seen = trial(arguments.kills, arguments.seed)
    print(
        f"{seen.kills} runs killed; {seen.whole} reports, all with the same bytes; "
        f"{seen.found} pieces of work found again; {seen.seconds:.1f} s without a kill"
    )


if __name__ == "__main__":
    main()
