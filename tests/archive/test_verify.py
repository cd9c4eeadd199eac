"""verify finds any changed, missing or added byte, and a page that is drawn otherwise."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reportgen.archive.folder import SUMS, checksums, files, read_report
from reportgen.archive.rerender import rerender
from reportgen.archive.statement import STATEMENT
from reportgen.archive.verify import unlike, verify
from reportgen.core.errors import OutputError


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from reportgen import cli

    folder = tmp_path_factory.mktemp("verify") / "report"
    arguments = ["method=[weights,saliency]", "layers=conv1", "method.saliency.count=1"]
    assert cli.run([*arguments, f"report.dir={folder}"]) == 0
    return folder


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    copied = tmp_path / "report"
    shutil.copytree(original, copied)
    return copied


def test_an_untouched_report_is_right(folder: Path) -> None:
    assert verify(folder) == []
    (folder / "log.txt").write_text("the log is not hashed")
    assert verify(folder) == []


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("name", ["report.html", "report.pdf", "config.yaml", "assets/style.css"])
def test_a_changed_byte_is_found(name: str, folder: Path) -> None:
    _flip(folder / name)
    assert f"{name} was changed" in verify(folder)


def test_a_missing_and_an_added_file_are_found(folder: Path) -> None:
    (folder / "assets" / "report.js").unlink()
    (folder / "assets" / "extra.js").touch()
    problems = verify(folder)
    assert "assets/report.js is missing" in problems
    assert "assets/extra.js was added" in problems
    (folder / SUMS).unlink()
    assert f"{SUMS} is missing" in verify(folder)


def test_a_page_that_results_do_not_draw_is_found_even_with_new_checksums(folder: Path) -> None:
    page = folder / "report.html"
    page.write_text(page.read_text().replace("Weights", "Wights"))
    (folder / SUMS).write_text(checksums(folder))
    stated, drawn = verify(folder)
    assert stated == "provenance.json does not state report.html as it is"
    assert "drawn again, 1 of" in drawn
    assert "report.html" in drawn


def test_results_that_leave_the_schema_are_found(folder: Path) -> None:
    def change(edit: Callable[[Any], None]) -> list[str]:
        data = json.loads((folder / "results.json").read_text())
        edit(data)
        (folder / "results.json").write_text(json.dumps(data))
        (folder / SUMS).write_text(checksums(folder))
        return verify(folder)[1:]  # the first is that provenance.json states other results

    assert "does not follow its schema at $.model" in change(lambda d: d["model"].pop("name"))[0]
    problems = change(lambda d: d.update(schema_version=99))
    assert any("schema version 99; this reportgen reads 1 to 2" in problem for problem in problems)


def test_damaged_arrays_are_found(folder: Path) -> None:
    _flip(folder / "arrays" / "weights.npz")
    problems = verify(folder)
    assert "arrays/weights.npz was changed" in problems
    (folder / "arrays" / "weights.npz").unlink()
    assert any("weights.npz is missing or damaged" in problem for problem in verify(folder))


def _edit(folder: Path, change: Callable[[bytes], bytes]) -> list[str]:
    path = folder / SUMS
    path.write_bytes(change(path.read_bytes()))
    return unlike(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda b: b.replace(b"  ", b" ", 1), "line 1 of SHA256SUMS is damaged"),
        (lambda b: b"\xff\xfe" + b[2:], "line 1 of SHA256SUMS is damaged"),
        (lambda b: b + b.splitlines(True)[0], "of SHA256SUMS is damaged"),
        (lambda b: b.split(b"\n")[0].upper() + b[b.index(b"\n") :], "line 1 of SHA256SUMS is dama"),
        (lambda b: bytes([b[0] ^ 1]) + b[1:], r"arrays/\w+\.npz was changed|is damaged"),
        (lambda b: b[:-1], "SHA256SUMS was changed, though it states the same"),
        (lambda b: b + b"\n", "SHA256SUMS was changed, though it states the same"),
        (lambda b: b"".join(reversed(b.splitlines(True))), "though it states the same"),
        (lambda b: b + b"ab" * 32 + b"  ../x\n", "../x is missing"),
        (lambda b: b"", "report.html was added"),
    ],
)
def test_a_damaged_list_of_checksums_is_a_sentence(
    change: Callable[[bytes], bytes], said: str, folder: Path
) -> None:
    problems = _edit(folder, change)
    assert any(re.search(said, problem) for problem in problems), problems


def test_what_has_no_place_in_a_report_is_found(folder: Path) -> None:
    def once(make: Callable[[Path], Any], name: str) -> list[str]:
        path = folder / name
        make(path)
        problems = unlike(folder)
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        assert unlike(folder) == []
        return problems

    assert once(Path.mkdir, "assets/empty") == ["assets/empty/ is an empty folder that was added"]
    assert once(os.mkfifo, "pipe") == ["pipe is no file"]
    assert once(lambda p: p.symlink_to(folder), "loop") == ["loop is a link, where a file belongs"]
    assert once(lambda p: p.write_text(""), "assets/log.txt") == ["assets/log.txt was added"]
    assert once(lambda p: p.write_text(""), "a\u202eb") == ["a⟨U+202E⟩b was added"]
    page = folder / "report.html"
    copy = shutil.copy(page, folder.parent / "same.html")
    page.unlink()
    page.symlink_to(copy)  # to the very same bytes
    assert unlike(folder) == ["report.html is a link, where a file belongs"]


def test_every_single_byte_counts(folder: Path) -> None:
    """One byte in each file, of which none is overlooked."""
    for name in [*files(folder), SUMS]:
        path = folder / name
        content = path.read_bytes()
        for place in (0, len(content) // 2, len(content) - 1):
            path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
            assert unlike(folder), (name, place)
        path.write_bytes(content)
    assert unlike(folder) == []


def test_a_statement_of_other_files_is_found(folder: Path) -> None:
    path = folder / STATEMENT
    whole = path.read_text()

    def change(text: str | None) -> list[str]:
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_text(text)
        (folder / SUMS).write_text(checksums(folder))
        return unlike(folder)

    data = json.loads(whole)
    first = data["subject"].pop(0)["name"]
    assert change(json.dumps(data)) == [f"{STATEMENT} does not state {first} as it is"]
    assert change(None) == ["provenance.json is missing"]
    for damage in ("{", "[]", "{}", '{"_type": "x", "predicateType": "y"}'):
        assert any("provenance.json is missing or damaged" in p for p in change(damage))
    assert change(whole) == []
    assert change(whole.replace('"seed": 0', '"seed": 1', 1)) == []
    (problem,) = verify(folder)  # it is not what results.json makes
    assert "drawn again, 1 of" in problem
    assert STATEMENT in problem


def test_a_report_of_schema_version_1_is_verified_as_far_as_it_goes(folder: Path) -> None:
    for name in (STATEMENT, "summary.json"):
        (folder / name).unlink()
    data = json.loads((folder / "results.json").read_text())
    data["schema_version"] = 1
    del data["measured"]
    (folder / "results.json").write_text(json.dumps(data))
    (folder / "report.html").write_text("as it was drawn then")
    (folder / SUMS).write_text(checksums(folder))
    assert verify(folder) == []
    _flip(folder / "report.html")
    assert verify(folder) == ["report.html was changed"]


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_what_is_no_report_is_refused(content: str | None, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="There is no folder"):
        verify(tmp_path / "nowhere")
    if content is not None:
        (tmp_path / "results.json").write_text(content)
    if content == "[]":
        assert any("schema version None" in problem for problem in verify(tmp_path))
    else:
        with pytest.raises(OutputError, match=r"is no report|is damaged"):
            verify(tmp_path)


def test_rerender_draws_the_same_bytes_and_drops_what_it_did_not_draw(folder: Path) -> None:
    before = {name: (folder / name).read_bytes() for name in ("report.html", "report.pdf", SUMS)}
    _flip(folder / "report.pdf")
    (folder / "assets" / "extra.js").touch()
    rerender(folder)
    assert {name: (folder / name).read_bytes() for name in before} == before
    assert verify(folder) == []


def test_arrays_are_what_the_network_holds(folder: Path, lenet: Any) -> None:
    report = read_report(folder)
    montage: Any = report.sections[0].blocks[0].blocks[0]  # type: ignore[union-attr]
    kernel = lenet.parameters["conv1.kernel"]
    assert montage.tiles.shape == (20, 5, 5)
    assert (montage.tiles == kernel[:, :, 0].transpose(2, 0, 1)).all()
