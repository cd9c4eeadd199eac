"""verify finds any changed, missing or added byte, and a page that is drawn otherwise."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reportgen.archive.folder import SUMS, checksums, read_report
from reportgen.archive.rerender import rerender
from reportgen.archive.verify import verify
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
    (problem,) = verify(folder)
    assert "drawn again, 1 of" in problem
    assert "report.html" in problem


def test_results_that_leave_the_schema_are_found(folder: Path) -> None:
    def change(edit: Callable[[Any], None]) -> list[str]:
        data = json.loads((folder / "results.json").read_text())
        edit(data)
        (folder / "results.json").write_text(json.dumps(data))
        (folder / SUMS).write_text(checksums(folder))
        return verify(folder)

    assert "does not follow its schema at $.model" in change(lambda d: d["model"].pop("name"))[0]
    problems = change(lambda d: d.update(schema_version=99))
    assert any("schema version 99; this reportgen reads 1" in problem for problem in problems)


def test_damaged_arrays_are_found(folder: Path) -> None:
    _flip(folder / "arrays" / "weights.npz")
    problems = verify(folder)
    assert "arrays/weights.npz was changed" in problems
    (folder / "arrays" / "weights.npz").unlink()
    assert any("weights.npz is missing or damaged" in problem for problem in verify(folder))


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
