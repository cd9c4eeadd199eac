"""Old nightly reports go when they are told to; releases stay, and so do all numbers."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from reportgen.archive import standing
from reportgen.archive.prune import prune, removable
from reportgen.core.errors import OutputError

from .making import archived


@pytest.fixture
def nights(tmp_path: Path) -> Path:
    """Two models with four nightly reports each, and releases between."""
    for number in range(4):
        for model in ("lenet", "other"):
            archived(tmp_path, "nightly", model=model, accuracy=0.5 + number / 10)
        archived(tmp_path, f"v{number}")
    return tmp_path


def test_what_would_go_is_said_and_nothing_is_touched(nights: Path) -> None:
    before = {p: p.read_bytes() for p in nights.rglob("*") if p.is_file()}
    old, found = removable(nights, 3)
    assert [entry.sequence for entry in old] == [1, 2]
    assert all(entry.kind == "nightly" and entry.bytes > 1000 for entry in old)
    assert len(found.live) == 12
    assert removable(nights, 4)[0] == []
    assert removable(nights, 99)[0] == []
    assert {p: p.read_bytes() for p in nights.rglob("*") if p.is_file()} == before


def test_the_last_ones_of_each_model_and_all_releases_stay(nights: Path) -> None:
    before = (nights / "history.jsonl").read_bytes()
    old, found = prune(nights, 1)
    assert [entry.sequence for entry in old] == [1, 2, 4, 5, 7, 8]
    left = {path.parent.name for path in (nights / "lenet").glob("*/*")}
    assert {name for name in left if name.startswith("v")} == {"v0", "v1", "v2", "v3"}
    assert len(left) == 5
    assert not list(nights.glob("lenet/nightly-*.2"))  # no empty folder is left
    assert not (nights / ".trash").exists()
    after = (nights / "history.jsonl").read_bytes()
    assert after.startswith(before)
    line = json.loads(after[len(before) :])
    assert line["event"] == "removed"
    assert line["sequence"] == 13
    assert len(line["paths"]) == 6
    assert [entry.sequence for entry in found.removed] == [1, 2, 4, 5, 7, 8]
    page = (nights / "index.html").read_text()
    assert page.count("3 nightly reports were removed; their numbers are still in the trends") == 2
    assert all(f'href="{path}' not in page for path in line["paths"])
    assert "50 % to" in page  # of the first, which is gone
    assert prune(nights, 1)[0] == []
    assert (nights / "history.jsonl").read_bytes() == after


def test_a_name_that_was_pruned_is_not_given_again(nights: Path) -> None:
    names = [entry.release for entry in removable(nights, 1)[0]]
    prune(nights, 1)
    assert archived(nights, "nightly").parent.name not in names


def test_what_cannot_be_removed_stays_and_the_rest_is_told(
    nights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename, left = Path.rename, [2]

    def refused(path: Path, target: Path) -> Path:
        if ".trash" in str(target):
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(OutputError, match="You may not write there"):
        prune(nights, 1)
    monkeypatch.undo()
    found = standing.looked_at(nights)
    assert [entry.sequence for entry in found.removed] == [1, 2]
    assert found.missing == []
    assert len(found.live) == 10


def test_a_link_is_not_followed(nights: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    precious = removable(nights, 3)[0][0].path
    (nights / precious).rename(outside / "report")
    (nights / precious).symlink_to(outside / "report")
    assert precious not in [entry.path for entry in removable(nights, 1)[0]]
    prune(nights, 1)
    assert (outside / "report" / "results.json").is_file()
    (nights / ".trash").symlink_to(outside)
    for _ in range(2):
        with pytest.raises(OutputError, match="leads out of the archive"):
            archived(nights, "v9")
    assert (outside / "report" / "results.json").is_file()
