"""history.jsonl is only added to, and mended from what is on the disk."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reportgen.archive import history, index, standing
from reportgen.archive.index import rebuild
from reportgen.archive.prune import prune
from reportgen.core.errors import OutputError

from .making import archived


def lines(archive: Path) -> list[Any]:
    return [json.loads(line) for line in (archive / "history.jsonl").read_text().splitlines()]


@pytest.fixture
def three(tmp_path: Path) -> Path:
    for number in range(3):
        archived(tmp_path, f"v{number}", accuracy=0.9 + number / 100)
    return tmp_path


@pytest.mark.parametrize("kept", [0, 1, 100, -1])
def test_a_torn_last_line_is_told_again_as_it_was(kept: int, three: Path) -> None:
    path = three / "history.jsonl"
    whole = path.read_bytes()
    *first, last = whole.splitlines(keepends=True)
    path.write_bytes(b"".join(first) + last[:kept])
    assert rebuild(three).notes
    assert path.read_bytes() == whole
    assert rebuild(three).notes == []


def test_a_torn_line_is_mended_by_the_next_report_too(three: Path) -> None:
    path = three / "history.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    archived(three, "v3")
    assert path.read_bytes().startswith(whole)
    assert [line["sequence"] for line in lines(three)] == [1, 2, 3, 4]


def test_a_lost_history_is_told_again_in_its_order(three: Path) -> None:
    archived(three, "a", model="other")  # neither by name nor by time
    os.utime(three / "lenet" / "v0", (2e9, 2e9))
    path = three / "history.jsonl"
    whole, page = path.read_bytes(), (three / "index.html").read_bytes()
    path.unlink()
    (three / "index.html").unlink()
    (note,) = rebuild(three).notes
    assert "and 1 more had no line in history.jsonl" in note
    assert path.read_bytes() == whole
    assert (three / "index.html").read_bytes() == page


def test_without_a_stamp_the_order_is_that_of_the_files(three: Path) -> None:
    (three / "history.jsonl").unlink()
    for log in three.rglob("log.txt"):
        log.unlink()
    for number, tag in enumerate(("v1", "v2", "v0")):
        for sums in (three / "lenet" / tag).rglob("SHA256SUMS"):
            os.utime(sums, (1e9 + number, 1e9 + number))
    rebuild(three)
    assert [(line["sequence"], line["release"]) for line in lines(three)] == [
        *((1, "v1"), (2, "v2"), (3, "v0")),
    ]


@pytest.mark.parametrize(
    "damage",
    [
        b"\xff\xfe\n",
        b"{}\n",
        b"[" * 5000 + b"\n",
        b'{"event": "archived"}\n',
        b'{"event": "removed", "sequence": 9, "removed": "", "paths": ["../../etc"]}\n',
    ],
)
def test_a_damaged_line_is_said_left_and_lost_by_nobody(damage: bytes, three: Path) -> None:
    path = three / "history.jsonl"
    first, second, third = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + damage + third)
    found = rebuild(three)
    assert "line 2 of history.jsonl cannot be read; it is left as it is" in found.notes
    assert [entry.release for entry in found.live.values()] == ["v0", "v1", "v2"]
    assert path.read_bytes() == first + damage + third + second


def test_a_line_cannot_lead_out_of_the_archive(three: Path) -> None:
    path = three / "history.jsonl"
    line = path.read_text().splitlines()[0].replace("lenet/v0/", "../v0/")
    with path.open("a") as file:
        file.write(line + "\n")
    assert history.read(three).damaged == (4,)


def test_a_report_that_was_removed_by_hand_is_left_out_and_said(three: Path) -> None:
    shutil.rmtree(three / "lenet" / "v1")
    before = (three / "history.jsonl").read_bytes()
    (note,) = rebuild(three).notes
    assert note.startswith("lenet/v1/")
    assert "is in history.jsonl, but not in its place" in note
    assert (three / "history.jsonl").read_bytes() == before
    page = (three / "index.html").read_text()
    assert ">v1<" not in page
    assert "91 %" not in page


def test_a_damaged_report_is_said_and_stays(three: Path) -> None:
    (three / "history.jsonl").unlink()
    next((three / "lenet" / "v1").rglob("summary.json")).write_text("{")
    found = rebuild(three)
    assert any("v1" in note and "summary.json is damaged" in note for note in found.notes)
    assert [entry.release for entry in found.live.values()] == ["v0", "v2"]


def test_reports_of_before_there_was_a_summary_are_read_from_their_results(three: Path) -> None:
    whole = lines(three)[1]
    (three / "history.jsonl").unlink()
    for name in ("summary.json", "provenance.json"):
        next((three / "lenet" / "v1").rglob(name)).unlink()
    rebuild(three)
    assert lines(three)[1]["summary"] == whole["summary"]


def test_an_index_reads_no_results(three: Path) -> None:
    (three / "history.jsonl").unlink()
    for path in three.rglob("results.json"):
        path.write_text("not read")
    assert len(rebuild(three).live) == 3


def _fails(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full when the history is written, or the page."""

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def half(file: int, content: bytes) -> None:
        os.write(file, content[: len(content) // 2])
        full()

    if step == "history":
        monkeypatch.setattr(history, "_write", half)
    else:
        monkeypatch.setattr(index, "_put", full)


@pytest.mark.parametrize("step", ["history", "page"])
def test_a_full_disk_leaves_a_whole_history(
    step: str, three: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, page = (three / "history.jsonl").read_bytes(), (three / "index.html").read_bytes()
    with monkeypatch.context() as patch:
        _fails(step, patch)
        with pytest.raises(OutputError, match=r"The report is in .*v9[\s\S]*The disk is full") as e:
            archived(three, "v9")
    assert "reportgen index" in e.value.hint
    assert (three / "index.html").read_bytes() == page
    after = (three / "history.jsonl").read_bytes()
    assert after.startswith(before)
    assert len(after.splitlines()) == (3 if step == "history" else 4)
    assert after.endswith(b"\n")
    rebuild(three)
    assert [line["release"] for line in lines(three)] == ["v0", "v1", "v2", "v9"]
    assert "v9" in (three / "index.html").read_text()


def test_a_pruned_report_that_is_put_back_is_listed_again(tmp_path: Path) -> None:
    first = archived(tmp_path, "nightly")
    shutil.copytree(first, tmp_path / "copy")
    archived(tmp_path, "nightly")
    prune(tmp_path, 1)
    assert not first.exists()
    shutil.copytree(tmp_path / "copy", first)
    shutil.rmtree(tmp_path / "copy")
    found = rebuild(tmp_path)
    assert [entry.sequence for entry in found.live.values()] == [1, 2]
    assert found.removed == []
    assert standing.looked_at(tmp_path).notes == []


@pytest.mark.parametrize("make", [lambda p: p.mkdir(), lambda p: None])
def test_what_is_no_archive_is_refused(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / "x")
    with pytest.raises(OutputError, match=r"is no archive|There is no folder"):
        rebuild(tmp_path / "x")
