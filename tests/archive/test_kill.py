"""Processes that are killed at any step, or run at once: nothing is half, nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from reportgen.archive import lock
from reportgen.archive.folder import SUMS, checksums
from reportgen.archive.index import rebuild
from reportgen.archive.standing import looked_at
from reportgen.core.errors import OutputError

from .making import archived, release, report, write

ROOT = Path(__file__).parents[2]

SCRIPT = """
import json, os, signal, sys, time, traceback
from pathlib import Path
from reportgen.archive import folder, history, index, lock, prune, release, standing
from tests.archive.making import archived

def in_a_child(code):
    child = os.fork()
    if child:
        return child
    try:
        exec(code, globals())
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)

def ended(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def killed(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def after(module, name, times=1):
    real, left = getattr(module, name), [times]
    def run(*arguments, **more):
        done = real(*arguments, **more)
        left[0] -= 1
        if not left[0]:
            killed()
        return done
    setattr(module, name, run)

def torn(file, content):
    os.write(file, content[: len(content) // 2])
    killed()

for line in sys.stdin:
    path, code = json.loads(line)
    archive = Path(path)
    print(ended(in_a_child(code)), flush=True)
"""


@dataclass(frozen=True)
class Forks:
    """Processes that have imported all they need: forks of one that has, one after the other."""

    parent: subprocess.Popen[str]

    def begin(self, archive: Path, code: str) -> None:
        assert self.parent.stdin is not None
        self.parent.stdin.write(json.dumps([str(archive), code]) + "\n")
        self.parent.stdin.flush()

    def line(self) -> str:
        """What the process prints next; when it has ended, how."""
        assert self.parent.stdout is not None
        return self.parent.stdout.readline().strip()

    def run(self, archive: Path, code: str) -> int:
        self.begin(archive, code)
        return int(self.line())

    def dies(self, archive: Path, code: str) -> None:
        assert self.run(archive, code) == -signal.SIGKILL


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    command = [sys.executable, "-c", SCRIPT]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, text=True, **pipes) as parent:  # type: ignore[call-overload]
        yield Forks(parent)


def check_whole(archive: Path) -> None:
    """Every report is, every one has its line, and nothing else is left."""
    for path in looked_at(archive).live:
        folder = archive / path
        assert (folder / SUMS).read_text() == checksums(folder)
    found = looked_at(archive)
    assert (found.notes, found.unlisted, found.leftovers) == ([], [], [])
    assert not (archive / ".trash").exists()
    assert not list(archive.glob(".*.html*"))


STEPS = {
    "while computing": "release.write = None\nimport tests.archive.making as m\nm.write = killed",
    "with its checksums": "release.stamp = killed",
    "before it is in place": "folder._swap = killed",
    "in its place": "after(folder, '_swap')",
    "half a line": "history._write = torn",
    "with its line": "index.draw = killed",
    "while the page is drawn": "index._put = killed",
}


@pytest.mark.parametrize("step", STEPS)
def test_a_kill_while_a_report_is_archived(step: str, forks: Forks, tmp_path: Path) -> None:
    archived(tmp_path, "v1")
    forks.dies(tmp_path, f"{STEPS[step]}\narchived(archive, 'v2')")
    rebuild(tmp_path)
    check_whole(tmp_path)
    releases = [entry.release for entry in looked_at(tmp_path).live.values()]
    there = list(STEPS).index(step) >= list(STEPS).index("in its place")
    assert releases == (["v1", "v2"] if there else ["v1"])
    if not there:
        archived(tmp_path, "v2")  # no lock is left
    sequences = [entry.sequence for entry in looked_at(tmp_path).live.values()]
    assert sequences == [1, 2]


def test_a_run_that_is_begun_again_takes_away_what_the_killed_one_left(
    forks: Forks, tmp_path: Path
) -> None:
    forks.dies(tmp_path, f"{STEPS['while computing']}\narchived(archive, 'nightly')")
    forks.dies(tmp_path, f"{STEPS['while computing']}\narchived(archive, 'nightly', config='b')")
    assert len(list(tmp_path.glob("lenet/*/.*"))) == 2
    with release(tmp_path, "nightly").placed() as place:
        assert len(list(tmp_path.glob("lenet/*/.*"))) == 2  # its own, and that of another
        write(report(), place.folder)
    check_whole(tmp_path)
    assert len(place.notes) == 2


@pytest.mark.parametrize("exchange", ["", "folder._exchanged = lambda *_: False\n"])
def test_a_kill_while_a_report_is_replaced_leaves_one_of_the_two(
    exchange: str, forks: Forks, tmp_path: Path
) -> None:
    target = archived(tmp_path, "v1", accuracy=0.5)
    forks.dies(
        tmp_path,
        f"{exchange}folder.shutil.rmtree = killed\n"
        + ("" if not exchange else "after(Path, 'rename')\n")
        + "archived(archive, 'v1', accuracy=0.75, force=True)",
    )
    rebuild(tmp_path)
    check_whole(tmp_path)
    accuracy = json.loads((target / "summary.json").read_text())["metrics"]["accuracy"]
    assert accuracy == (0.5 if exchange else 0.75)


@pytest.mark.parametrize(
    "step",
    [
        "after(Path, 'rename', 2)",
        "history._write = torn",
        "prune.index.draw = killed",
        "prune.shutil.rmtree = killed",
    ],
)
def test_a_kill_while_pruning(step: str, forks: Forks, tmp_path: Path) -> None:
    for _ in range(4):
        archived(tmp_path, "nightly")
    forks.dies(tmp_path, f"{step}\nprune.prune(archive, 1)")
    rebuild(tmp_path)
    check_whole(tmp_path)
    found = looked_at(tmp_path)
    assert len(found.live) + len(found.removed) == 4
    assert len(found.removed) == (2 if "rename" in step else 3)
    assert [entry.sequence for entry in found.live.values()][-1] == 4


def test_a_killed_process_holds_no_lock(forks: Forks, tmp_path: Path) -> None:
    holding = """
with lock.changing(archive), lock.running(archive, 'lenet/v1/ca978112ca1b'):
    print("held", os.getpid(), flush=True)
    time.sleep(60)
"""
    forks.begin(tmp_path, holding)
    word, number = forks.line().split()
    assert word == "held"
    with (
        pytest.raises(OutputError) as going,
        lock.running(tmp_path, "lenet/v1/ca978112ca1b"),
    ):
        pytest.fail("it is held")
    assert f"is still going (process {number} on " in going.value.message
    assert ", since 20" in going.value.message
    assert "it is left alone" in going.value.message
    with pytest.raises(OutputError) as locked, lock.changing(tmp_path, patience=0.2):
        pytest.fail("it is held")
    assert f"has been locked for 0.2 s (process {number} on " in locked.value.message
    os.kill(int(number), signal.SIGKILL)
    assert int(forks.line()) == -signal.SIGKILL
    archived(tmp_path, "v1")


def test_two_processes_archive_at_once(forks: Forks, tmp_path: Path) -> None:
    code = """
def five(name):
    return f"for number in range(5): archived(archive, f'v{{number}}', model={name!r})"
both = [in_a_child(five(name)) for name in ("a", "b")]
assert [ended(one) for one in both] == [0, 0]
"""
    assert forks.run(tmp_path, code) == 0
    check_whole(tmp_path)
    found = list(looked_at(tmp_path).live.values())
    assert [entry.sequence for entry in found] == list(range(1, 11))
    assert {entry.model for entry in found} == {"a", "b"}
    page = (tmp_path / "index.html").read_text()
    assert page.count(">v4<") >= 2


def test_a_run_that_is_still_going_is_left_alone(tmp_path: Path) -> None:
    going = release(tmp_path, "nightly").placed(), release(tmp_path, "nightly", config="b").placed()
    with going[0] as first, going[1] as second:
        with (
            pytest.raises(OutputError, match=rf"lenet/nightly/.* \(process {os.getpid()} on"),
            release(tmp_path, "nightly").placed(),
        ):
            pytest.fail("a run is going")
        rebuild(tmp_path)  # what they have begun is not cleared away
        write(report(), first.folder)
        write(report(config="b"), second.folder)
    check_whole(tmp_path)
    assert first.target.is_dir()
    assert second.target.is_dir()
