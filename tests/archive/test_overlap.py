"""Pictures are drawn while methods compute: no byte of the report and no error depends on it."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from reportgen import cli
from reportgen.archive import folder as archive
from reportgen.archive.folder import SUMS, staged, write_results
from reportgen.archive.rerender import rerender
from reportgen.core.errors import OutputError
from reportgen.methods.gradcam import GradCAM
from reportgen.render import pictures
from reportgen.render.painter import Painter

from ..render.sample import report

ARGUMENTS = (
    "method=[saliency,gradcam,road]",
    "method.saliency.count=2",
    "method.gradcam.count=2",
    "method.road.count=2",
    "audit=[]",
    "report.timings=false",
)


@pytest.fixture(scope="module")
def sums(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Checksums of a report with methods that add facts to the maps of others."""
    target = tmp_path_factory.mktemp("overlap") / "report"
    assert cli.run([*ARGUMENTS, f"report.dir={target}"]) == 0
    made = (target / SUMS).read_text()
    rerender(target)
    assert (target / SUMS).read_text() == made
    return made


@pytest.mark.slow
def test_drawing_beside_the_computation_changes_no_byte(
    sums: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(self: Painter, blocks: Iterable[Any]) -> None:
        pass

    monkeypatch.setattr(Painter, "ahead", nothing)
    target = tmp_path / "report"
    assert cli.run([*ARGUMENTS, f"report.dir={target}"]) == 0
    assert (target / SUMS).read_text() == sums


def test_a_methods_pictures_are_drawn_while_the_next_one_computes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second method waits for a picture of the first, which nobody has asked for yet."""
    encoded = threading.Event()
    encode, explain = pictures.encoded, GradCAM.run

    def tell(picture: Any) -> bytes:
        encoded.set()
        return encode(picture)

    def after(self: GradCAM, context: Any) -> Any:
        assert encoded.wait(30)
        return explain(self, context)

    monkeypatch.setattr(pictures, "encoded", tell)
    monkeypatch.setattr(GradCAM, "run", after)
    two = ("method=[saliency,gradcam]", *ARGUMENTS[1:3], "audit=[]")
    assert cli.run([*two, f"report.dir={tmp_path / 'report'}"]) == 0


def test_a_picture_that_fails_leaves_no_report_and_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(picture: Any) -> bytes:
        raise ZeroDivisionError("a planted bug")

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(pictures, "encoded", fail)
    target = tmp_path / "outputs" / "report"
    assert cli.run(["method=weights", "layers=conv1", "audit=[]", f"report.dir={target}"]) == 1
    assert "ZeroDivisionError: a planted bug" in capsys.readouterr().err
    assert list(target.parent.iterdir()) == []


def test_a_full_disk_is_told_from_any_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, arrays: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(archive, "_write_npz", full)
    with pytest.raises(OutputError, match="The disk is full"), staged(tmp_path / "r") as folder:
        write_results(report(), folder)
    assert list(tmp_path.iterdir()) == []
