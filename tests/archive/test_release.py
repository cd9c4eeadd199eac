"""A release has one place, which is taken once; no name leads out of the archive."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from reportgen.archive import history, release, standing
from reportgen.archive.folder import SUMS, checksums, staged
from reportgen.archive.index import rebuild
from reportgen.archive.release import Release, planned
from reportgen.archive.rerender import rerender
from reportgen.config import ArchiveConfig
from reportgen.core.errors import ConfigError, OutputError, UserError

from . import making
from .making import archived, digest

opened: list[str] = []
watching = False


def _watch(event: str, arguments: Any) -> None:
    if watching and event == "open" and isinstance(arguments[0], str):
        opened.append(arguments[0])


sys.addaudithook(_watch)


@pytest.fixture
def opens() -> Iterator[list[str]]:
    """Paths of all files that the test opens."""
    global watching
    opened.clear()
    watching = True
    yield opened
    watching = False


def plan(
    archive: Path, tag: str | None, model: str = "lenet", report_dir: str | None = None
) -> Release | None:
    settings = ArchiveConfig(dir=str(archive), release=tag, force=False)
    return planned(settings, model=model, config_sha256=digest("a"), report_dir=report_dir)


def test_a_report_has_its_place_and_its_line(tmp_path: Path) -> None:
    folder = archived(tmp_path, "v1.4", accuracy=0.975)
    assert folder == tmp_path / "lenet" / "v1.4" / digest("a")[:12]
    assert (folder / SUMS).read_text() == checksums(folder)
    (line,) = map(json.loads, (tmp_path / "history.jsonl").read_text().splitlines())
    assert line["sequence"] == 1
    assert line["kind"] == "release"
    assert line["path"] == folder.relative_to(tmp_path).as_posix()
    assert line["summary"]["metrics"]["accuracy"] == 0.975
    assert line["summary"]["weights_sha256"] == "ab" * 32
    assert line["summary"]["exit_code"] == 0
    assert line["summary"]["checks"][0]["value"] == 0.05
    assert "v1.4" in (tmp_path / "index.html").read_text()
    assert not list(folder.parent.glob(".*"))
    assert plan(tmp_path, None) is None


def test_what_is_archived_is_refused_before_anything_is_computed(tmp_path: Path) -> None:
    folder = archived(tmp_path, "v1", accuracy=0.9)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(OutputError, match=r"is archived already[\s\S]*archive.force=true"):
        plan(tmp_path, "v1")
    with (
        pytest.raises(OutputError, match="is archived already"),
        making.release(tmp_path, "v1").placed(),
    ):
        pytest.fail("nothing may be computed")
    with pytest.raises(OutputError, match="whose reports stay as they were"):
        rerender(folder)
    for place in (folder, folder.with_name("0" * 12)):
        with pytest.raises(OutputError, match="is in the archive"), staged(place):
            pytest.fail("nothing may be computed")
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_what_was_archived_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    def late() -> None:
        with making.release(tmp_path, "v1").placed() as place:
            making.write(making.report(accuracy=0.1), place.folder)
            # As by a process on a host that does not see the locks.
            place.target.mkdir()
            (place.target / "results.json").write_text("{}")
            (place.target / SUMS).write_text("")

    with pytest.raises(OutputError, match="is archived already"):
        late()
    target = tmp_path / "lenet" / "v1" / digest("a")[:12]
    assert (target / "results.json").read_text() == "{}"
    assert [path.name for path in target.parent.iterdir()] == [target.name]


@pytest.mark.parametrize("exchange", [True, False])
def test_force_replaces_it_and_its_line(
    exchange: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reportgen.archive import folder as folders

    if not exchange:
        monkeypatch.setattr(folders, "_exchanged", lambda *_: False)
    archived(tmp_path, "v1", accuracy=0.5)
    folder = archived(tmp_path, "v1", accuracy=0.75, force=True)
    assert json.loads((folder / "summary.json").read_text())["metrics"]["accuracy"] == 0.75
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    held = standing.looked_at(tmp_path)
    assert [e.summary.metrics["accuracy"] for e in held.live.values()] == [0.75]
    assert [e.sequence for e in held.live.values()] == [2]
    assert held.removed == []
    assert (tmp_path / "history.jsonl").read_text().count("\n") == 2
    assert "50 %" not in (tmp_path / "index.html").read_text()


HOSTILE = {
    "..": "begins with '.'",
    ".": "begins with '.'",
    "": "is empty",
    "../../etc": "holds /",
    "/etc/passwd": "holds /",
    "a/b": "holds /",
    "a\\b": "holds \\",
    "C:": "holds :",
    "v1\n": "U+000A",
    "v1\x00": "U+0000",
    "v1\u202e": "U+202E",
    "v1\u00a0x": "U+00A0",
    "v1\udcff": "U+DCFF",
    "-rf": "begins with '-'",
    ".hidden": "begins with '.'",
    " v1": "begins with ' '",
    "v1.": "ends with '.'",
    "v1 ": "ends with ' '",
    "CON": "device",
    "nul.txt": "device",
    "COM1": "device",
    "lpt²": "device",
    "x" * 255: "255 bytes",
    "x" * 300: "300 bytes",
    "层" * 80: "240 bytes",
    "v*": "holds *",
    "cafe\u0301": "NFC",
}


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_hostile_names_are_refused_and_nothing_is_made(name: str, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    with pytest.raises(ConfigError) as tag:
        plan(archive, name)
    assert HOSTILE[name] in tag.value.message
    assert "archive.release" in tag.value.message
    with pytest.raises(ConfigError) as model:
        plan(archive, "v1", model=name)
    assert HOSTILE[name] in model.value.message
    assert "model.name=" in model.value.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["v1.4", "2026-11-21", "v1.0+cu12", "été", "层", "a b", "x" * 200])
def test_names_that_are_a_folders_are_kept_as_they_are(name: str, tmp_path: Path) -> None:
    folder = archived(tmp_path, name, model=name)
    assert folder.relative_to(tmp_path).parts[:2] == (name, name)
    assert rebuild(tmp_path).notes == []
    assert [entry.release for entry in standing.looked_at(tmp_path).live.values()] == [name]


@pytest.mark.parametrize("tag", ["latest", "Latest", "nightly-1", "NIGHTLY-2026-11-21"])
def test_names_that_reportgen_gives_are_refused(tag: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="gives by itself"):
        plan(tmp_path, tag)


@pytest.mark.parametrize("model", ["assets", "Index.html", "history.jsonl"])
def test_a_model_cannot_be_named_as_the_archives_own_files(model: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the archive itself needs"):
        plan(tmp_path, "v1", model=model)


def test_names_that_differ_in_case_alone_are_refused(tmp_path: Path) -> None:
    archived(tmp_path, "v1")
    with pytest.raises(OutputError, match=r"V1 cannot be beside .*v1[\s\S]*archive.release=v1"):
        plan(tmp_path, "V1")
    with pytest.raises(OutputError, match=r"LeNet cannot be beside .*lenet"):
        plan(tmp_path, "v2", model="LeNet")
    assert plan(tmp_path, "v2") is not None


@pytest.mark.parametrize("value", [1.1, 7, True])
def test_a_tag_that_hydra_reads_as_a_number_is_refused(value: Any) -> None:
    from reportgen.core.settings import parse

    with pytest.raises(ConfigError, match=r"archive\.release: expected a text[\s\S]*quotes twice"):
        parse(ArchiveConfig, {"dir": "a", "release": value, "force": False}, "archive")


def test_a_folder_of_ones_own_and_the_archive_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Leave out report\.dir"):
        plan(tmp_path, "v1", report_dir="here")


@pytest.mark.parametrize("link", ["lenet", "lenet/v1", "assets", ".locks", "history.jsonl"])
def test_a_link_that_leads_out_of_the_archive_is_refused(link: str, tmp_path: Path) -> None:
    archive, outside = tmp_path / "archive", tmp_path / "outside"
    outside.mkdir()
    if link == "history.jsonl":
        (outside / "file").touch()
    (archive / link).parent.mkdir(parents=True)
    (archive / link).symlink_to(outside / "file" if link == "history.jsonl" else outside)
    with pytest.raises(UserError, match="leads out of the archive"):
        archived(archive, "v1")
    found = [path for path in outside.rglob("*") if path.name != "file"]
    assert found == []
    assert all(path.stat().st_size == 0 for path in outside.rglob("file"))


class _Clock(date):
    day = 21

    @classmethod
    def today(cls) -> _Clock:
        return cls(2026, 11, cls.day)


def test_nightly_reports_have_names_that_never_collide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release, "date", _Clock)
    names = []
    for day in (21, 21, 22, 21, 20, 21):  # the clock is set back
        monkeypatch.setattr(_Clock, "day", day)
        names.append(archived(tmp_path, "nightly", accuracy=day / 100).parent.name)
    assert names == [
        *("nightly-2026-11-21", "nightly-2026-11-21.2", "nightly-2026-11-22"),
        *("nightly-2026-11-21.3", "nightly-2026-11-20", "nightly-2026-11-21.4"),
    ]
    entries = list(standing.looked_at(tmp_path).live.values())
    assert [entry.release for entry in entries] == names  # in the order that they were made
    assert {entry.kind for entry in entries} == {"nightly"}
    # Another configuration's report of the same night stands beside the first.
    assert archived(tmp_path, "nightly", config="b").parent.name == "nightly-2026-11-21"


def test_adding_a_report_opens_no_file_of_another(tmp_path: Path, opens: list[str]) -> None:
    for number in range(3):
        archived(tmp_path, f"v{number}")
    opens.clear()
    folder = archived(tmp_path, "v9")
    others = [path for path in opens if path.startswith(str(tmp_path / "lenet" / "v"))]
    assert others  # its own files, in their temporary place
    assert {Path(path).relative_to(tmp_path).parts[1] for path in others} == {"v9"}
    assert folder.is_dir()


def test_a_sweeps_jobs_stand_side_by_side_under_one_release(tmp_path: Path) -> None:
    first, second = (archived(tmp_path, "v1", config=config) for config in "ab")
    assert first.parent == second.parent
    assert len(history.read(tmp_path).live) == 2


@pytest.mark.parametrize("theirs", ["index.html", "assets/logo.png"])
def test_a_folder_with_a_page_of_ones_own_is_no_archive(theirs: str, tmp_path: Path) -> None:
    (tmp_path / theirs).parent.mkdir(exist_ok=True)
    (tmp_path / theirs).write_text("precious")
    with pytest.raises(OutputError, match=r"is no archive, and holds .*[\s\S]*archive.dir="):
        plan(tmp_path, "v1")
    (tmp_path / "v0" / "v0").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"is no archive"):
        rebuild(tmp_path)
    assert (tmp_path / theirs).read_text() == "precious"


@pytest.mark.parametrize("place", ["/dev/null", "/proc/archive", "x" * 300])
def test_a_place_that_can_be_no_archive_is_one_message(place: str) -> None:
    def begin() -> None:
        found = plan(Path(place), "v1")
        assert found is not None
        with found.placed():
            pytest.fail("nothing may be computed")

    with pytest.raises(OutputError, match=r"archive.dir="):
        begin()
