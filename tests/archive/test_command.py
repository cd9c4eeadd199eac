"""The commands as a release engineer gives them."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from reportgen import cli
from reportgen.archive import history
from reportgen.archive.folder import SUMS, checksums
from reportgen.archive.index import rebuild
from reportgen.archive.resolve import resolve
from reportgen.archive.standing import looked_at
from reportgen.core.errors import OutputError

from .making import archived, release

Run = Callable[..., tuple[int, str, str]]
FEW = ("method=weights", "layers=conv1", "audit=[]")


@pytest.mark.slow
def test_a_sweep_is_archived_verified_and_refused_the_second_time(
    reportgen: Run, tmp_path: Path
) -> None:
    sweep = ("-m", "seed=0,1", *FEW, "hydra.sweep.dir=sweep")
    code, _, error = reportgen(*sweep, "archive.release=v1")
    assert code == 0, error
    archive = tmp_path / "archive"
    first, second = history.read(archive).live.values()
    assert (first.model, first.release) == ("lenet", "v1")
    page = (tmp_path / "sweep" / "index.html").read_text()
    for entry in (first, second):
        link = f"../archive/{entry.path}/report.html"
        assert f'href="{link}"' in page
        assert (tmp_path / "sweep" / unquote(link)).is_file()
    # A report is the same wherever it stands.
    assert reportgen("seed=0", *FEW, "report.dir=plain")[0] == 0
    folder = archive / first.path
    assert (folder / SUMS).read_text() == (tmp_path / "plain" / SUMS).read_text()
    assert "archive" not in (folder / "config.yaml").read_text()
    assert json.loads((folder / "results.json").read_text())["command"] == (
        "reportgen seed=0 method=weights layers=conv1 'audit=[]'"
    )
    assert reportgen("verify", "plain")[0] == 0
    code, out, _ = reportgen("verify", "archive")
    assert (code, out) == (0, "archive: 2 reports, each byte as it was archived\n")

    code, _, error = reportgen(*FEW, "seed=1", "archive.release=v1")
    assert code == 2
    assert error.startswith("error: archive/lenet/v1/")  # before anything is computed
    assert "is archived already" in error
    code, _, error = reportgen("render", str(folder))
    assert code == 2
    assert "whose reports stay as they were" in error
    assert resolve(f"lenet/v1/{first.config}", archive) == folder

    (folder / "summary.md").write_text("tampered")
    code, out, error = reportgen("verify", "archive")
    assert code == 2
    assert out == f"wrong: {first.path}: summary.md was changed\n"
    assert "archive is not what it was: 1 difference." in error


def test_index_and_prune(reportgen: Run, tmp_path: Path) -> None:
    for _ in range(3):
        archived(tmp_path / "a", "nightly")
    (tmp_path / "a" / "index.html").unlink()
    assert reportgen("index", "a")[:2] == (0, "a/index.html  (3 reports)\n")
    assert (tmp_path / "a" / "index.html").is_file()
    code, out, _ = reportgen("archive", "prune", "a", "keep=1")
    assert code == 0
    assert out.count("would remove lenet/nightly-") == 2
    assert "would remove 2 reports, " in out
    assert "left: 1 report\n" in out
    assert "To do so: reportgen archive prune a keep=1 --yes" in out
    assert len(looked_at(tmp_path / "a").live) == 3
    code, out, _ = reportgen("archive", "prune", "a", "keep=1", "--yes")
    assert code == 0
    assert out.count("removed lenet/nightly-") == 2
    assert len(looked_at(tmp_path / "a").live) == 1
    assert reportgen("archive", "prune", "a")[1] == "would remove 0 reports, 0 B; left: 1 report\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["index"], "One folder is expected, found 0."),
        (["index", "nowhere"], "There is no folder nowhere."),
        (["index", "."], ". is no archive"),
        (["archive"], "Expected what to do with an archive, and nothing is said."),
        (["archive", "prun", "a"], "there is no 'archive prun'"),
        (["archive", "prune"], "One archive is expected, found 0."),
        (["archive", "prune", "a", "b"], "One archive is expected, found 2."),
        (["archive", "prune", "nowhere"], "There is no folder nowhere."),
        (["archive", "prune", "a", "keep=0"], "keep is '0'; expected how many"),
        (["archive", "prune", "a", "keep=-1"], "keep is '-1'; expected how many"),
        (["archive", "prune", "a", "--yse"], "There is no --yse.\nDid you mean --yes?"),
        (["archive.release=../v1"], "archive.release is '../v1', which holds /"),
        (["archive.release=1.10"], "archive.release: expected a text such as v1.4, found 1.1"),
        (["archive.release=v1", "report.dir=x"], "a report goes to one place"),
        (["archive.relese=v1"], "Did you mean release?"),
        (
            ["archive.release=v1", "model.name=nul"],
            "The model's name 'nul' is the name of a device",
        ),
    ],
)
def test_wrong_input_is_one_message(
    arguments: list[str], said: str, reportgen: Run, tmp_path: Path
) -> None:
    code, out, error = reportgen(*arguments)
    assert code == 2
    assert out == ""
    assert said in error
    assert error.count("error:") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """An archive on a file system of two megabytes, with one report."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(place)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no file system can be mounted here")
    try:
        archived(place, "v0")
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def whole(archive: Path) -> None:
    """Nothing is half-written, whatever failed."""
    content = (archive / "history.jsonl").read_bytes()
    assert content.endswith(b"\n")
    found = looked_at(archive)
    assert (found.notes, found.missing, found.leftovers) == ([], [], [])
    for path in found.live:
        assert (archive / path / SUMS).read_text() == checksums(archive / path)
    assert (archive / "index.html").read_bytes().endswith(b"</html>\n")


def test_a_full_disk_is_one_message_and_nothing_is_half(small: Path) -> None:
    """However much room is left: for part of the report, for all but its line, or its page."""
    said = set()
    for pages in range(18):
        filler = small / "filler"
        filler.write_bytes(bytes(shutil.disk_usage(small).free - 4096 * pages))
        error = _refusal(small, f"v{pages + 1}")
        said.add(error.partition(" report")[2][:10])
        assert not error or "The disk is full." in error
        whole(small)
        filler.unlink()
        assert rebuild(small).live
        whole(small)
        assert looked_at(small).unlisted == []
        if error.startswith("The report cannot"):  # it is made again, with more room
            archived(small, f"v{pages + 1}")
    assert said == {" cannot be", " is in " + str(small)[:3], ""}
    assert len(looked_at(small).live) == 19


def _refusal(archive: Path, tag: str) -> str:
    try:
        archived(archive, tag)
    except OutputError as error:
        return str(error)
    return ""


def test_a_read_only_archive_is_one_message(
    small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {p: p.read_bytes() for p in small.rglob("*") if p.is_file()}
    subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
    with (
        pytest.raises(OutputError, match=r"Read-only file system[\s\S]*archive.dir="),
        release(small, "v1").placed(),
    ):
        pytest.fail("nothing may be computed")
    for arguments in (["index"], ["archive", "prune", "--yes"]):
        capsys.readouterr()
        assert cli.run([*arguments, str(small)]) == 2
        error = capsys.readouterr().err
        assert error.count("error:") == 1
        assert "read-only" in error
    assert cli.run(["verify", str(small)]) == 0
    assert {p: p.read_bytes() for p in small.rglob("*") if p.is_file()} == before
