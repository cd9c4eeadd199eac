"""What people call a report leads to its folder, or to a sentence that says what is meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from reportgen.archive.resolve import resolve
from reportgen.core.errors import OutputError

from .making import archived, digest


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    root = tmp_path / "archive"
    archived(root, "v1.4")
    archived(root, "v1.4", config="b")
    archived(root, "v2")
    archived(root, "v2", model="resnet")
    archived(root, "v3", model="resnet")
    return root


A, B = digest("a")[:12], digest("b")[:12]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("v3", f"resnet/v3/{A}"),
        ("lenet/v2", f"lenet/v2/{A}"),
        (f"lenet/v1.4/{A}", f"lenet/v1.4/{A}"),
        (f"lenet/v1.4/{B[:2]}", f"lenet/v1.4/{B}"),
        ("lenet/latest", f"lenet/v2/{A}"),
        ("resnet/latest", f"resnet/v3/{A}"),
    ],
)
def test_a_name_leads_to_its_folder(name: str, path: str, archive: Path) -> None:
    assert resolve(name, archive) == archive / path


def test_a_path_leads_to_itself(
    archive: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = archive / "lenet" / "v2" / A
    assert resolve(str(folder), archive) == folder
    assert resolve(str(folder), tmp_path / "nowhere") == folder
    monkeypatch.chdir(archive)
    assert resolve(f"lenet/v2/{A}", archive) == Path(f"lenet/v2/{A}")
    (tmp_path / "v3").symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match=r"'v3' is ambiguous[\s\S]*Write ./v3 for the folder"):
        resolve("v3", archive)
    assert resolve("./v3", archive) == Path("v3")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("v2", rf"ambiguous: .*lenet/v2/{A} or resnet/v2/{A}"),
        ("lenet/v1.4", rf"ambiguous: .*lenet/v1.4/{A} or lenet/v1.4/{B}"),
        ("latest", rf"ambiguous: .*lenet/v2/{A} or resnet/v3/{A}"),
        ("v1.3", r"There is no report 'v1.3'[\s\S]*Did you mean v1.4"),
        ("lennet/v2", r"There is no report[\s\S]*Did you mean lenet/v2"),
        ("lenet", r"is a model of the archive[\s\S]*lenet/latest"),
        ("nix/latest", "There is no report"),
        ("", "There is no report"),
        ("lenet/v2/", "There is no report"),
        ("../../etc/passwd", "There is no report"),
        ("a file", "There is no report"),
        ("x" * 300, "There is no report"),
        ("x\x00", "There is no report"),
    ],
)
def test_what_is_not_one_report_is_said(
    name: str, said: str, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("a file", "etc/passwd"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_text("no folder")
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b" if name.startswith("..") else tmp_path)
    with pytest.raises(OutputError, match=said):
        resolve(name, archive)


def test_without_an_archive(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"no archive .*nowhere[\s\S]*archive.dir="):
        resolve("v1", tmp_path / "nowhere")


def test_a_lost_history_is_no_obstacle(archive: Path) -> None:
    (archive / "history.jsonl").unlink()
    assert resolve("lenet/latest", archive) == archive / "lenet" / "v2" / A
