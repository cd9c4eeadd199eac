"""An archive is held against its own history: each report, byte for byte."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from reportgen.archive.folder import SUMS
from reportgen.archive.prune import prune
from reportgen.archive.standing import is_archive
from reportgen.archive.verify_archive import against_history, verify_archive

from .making import archived, digest, report, write

PATH = f"lenet/v1/{digest('a')[:12]}"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    root = tmp_path / "archive"
    for number in range(3):
        archived(root, f"v{number}", accuracy=0.9 + number / 100)
    for _ in range(2):
        archived(root, "nightly")
    prune(root, 1)
    return root


def test_an_untouched_archive_is_right(archive: Path) -> None:
    assert is_archive(archive)
    assert verify_archive(archive) == (4, [])
    assert not is_archive(archive / PATH)
    assert not is_archive(archive / "lenet")


def test_a_changed_byte_is_found_in_any_report(archive: Path) -> None:
    (archive / PATH / "report.html").write_text("tampered")
    (archive / PATH / "added").touch()
    assert verify_archive(archive)[1] == [
        f"{PATH}: added was added",
        f"{PATH}: report.html was changed",
    ]


def test_a_report_that_was_replaced_as_a_whole_is_found(archive: Path, tmp_path: Path) -> None:
    """By one that is right in itself, and that no one archived."""
    other = archived(tmp_path / "other", "v1", accuracy=0.999)
    shutil.rmtree(archive / PATH)
    shutil.copytree(other, archive / PATH)
    assert verify_archive(archive)[1] == [
        f"{PATH}: is not what was archived: it was replaced as a whole"
    ]
    assert against_history(archive / PATH) == [
        "is not what was archived: it was replaced as a whole"
    ]
    assert against_history(other) == []
    assert against_history(tmp_path) == []
    other.rename(other.with_name("0" * 12))
    (problem,) = against_history(other.with_name("0" * 12))
    assert "does not tell of it" in problem


def test_one_that_is_missing_and_one_that_nobody_archived(archive: Path) -> None:
    (archive / PATH).rename(archive / "lenet" / "v1" / ("0" * 12))
    problems = verify_archive(archive)[1]
    assert len(problems) == 2
    assert problems[0].startswith(f"{PATH} is in history.jsonl, but not in its place")
    assert "history.jsonl does not tell of lenet/v1/000000000000: nothing says" in problems[1]


def test_a_history_that_is_torn_or_lost_is_said(archive: Path) -> None:
    path = archive / "history.jsonl"
    path.write_bytes(path.read_bytes()[:-5])
    assert "the last line of history.jsonl is torn" in verify_archive(archive)[1]
    path.unlink()
    assert is_archive(archive)
    (problem,) = verify_archive(archive)[1]
    assert "and 1 more: nothing says what was archived there" in problem


def test_a_report_without_sums_is_not_taken_for_none(archive: Path) -> None:
    (archive / PATH / SUMS).unlink()
    assert any(PATH in problem for problem in verify_archive(archive)[1])


def test_a_run_that_is_going_is_no_fault(archive: Path) -> None:
    from .making import release

    with release(archive, "v9").placed() as place:
        assert verify_archive(archive) == (4, [])
        write(report(), place.folder)
    assert verify_archive(archive) == (5, [])
