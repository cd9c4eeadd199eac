"""A report folder is written whole or not at all."""

from __future__ import annotations

import resource
import signal
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from reportgen.archive.folder import _write_npz, checksums, files, staged
from reportgen.core.errors import OutputError


def _report(folder: Path, text: str) -> None:
    with staged(folder) as fresh:
        (fresh / "results.json").write_text(text)


def test_the_folder_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "report"
    with staged(target) as fresh:
        assert fresh.parent == target.parent
        assert not target.exists()
        (fresh / "results.json").write_text("{}")
        (fresh / "log.txt").write_text("12:00")
    assert sorted(path.name for path in target.parent.iterdir()) == ["report"]
    assert sorted(path.name for path in target.iterdir()) == [
        "SHA256SUMS",
        "log.txt",
        "results.json",
    ]
    assert files(target) == ["results.json"]
    assert (target / "SHA256SUMS").read_text() == checksums(target)
    done = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=target, check=False)
    assert done.returncode == 0
    assert stat.S_IMODE(target.stat().st_mode) & 0o400


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OutputError])
def test_a_failure_leaves_nothing_and_the_former_report_untouched(
    error: type[BaseException], tmp_path: Path
) -> None:
    target = tmp_path / "report"
    _report(target, "former")
    with pytest.raises(error), staged(target) as fresh:  # noqa: PT012 (the failure is staged)
        (fresh / "results.json").write_text("half")
        raise error("stop")
    assert (target / "results.json").read_text() == "former"
    assert list(tmp_path.iterdir()) == [target]


def test_a_former_report_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "report"
    _report(target, "former")
    (target / "stale.txt").touch()
    _report(target, "new")
    assert (target / "results.json").read_text() == "new"
    assert not (target / "stale.txt").exists()
    assert list(tmp_path.iterdir()) == [target]


def test_what_is_no_report_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(OutputError, match="not empty and is no report"), staged(tmp_path):
        pass
    with pytest.raises(OutputError, match="no report"), staged(tmp_path / "thesis.tex"):
        pass
    assert (tmp_path / "thesis.tex").read_text() == "precious"
    (tmp_path / "empty").mkdir()
    _report(tmp_path / "empty", "new")
    assert (tmp_path / "empty" / "results.json").exists()


@pytest.mark.parametrize("place", ["/proc/report", "/dev/null/report"])
def test_a_place_that_cannot_be_written_is_refused_at_once(place: str) -> None:
    with (
        pytest.raises(OutputError, match=r"cannot be written to [\s\S]*report.dir="),
        staged(Path(place)),
    ):
        pytest.fail("nothing may be computed for a place that cannot be written")


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    """The kernel refuses the bytes: here by a limit on the size of files, with its own errno."""
    script = f"""
import resource, signal
from pathlib import Path
from reportgen.archive.folder import staged
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    with staged(Path({str(tmp_path / "report")!r})) as fresh:
        (fresh / "results.json").write_bytes(bytes(5000))
except Exception as error:
    print(type(error).__name__, error)
"""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 1000
    assert signal.SIGXFSZ
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("OutputError The report cannot be written")
    assert "limit on the size of files" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_an_npz_depends_on_its_arrays_alone(tmp_path: Path) -> None:
    arrays = {"conv1/montage/tiles": np.arange(12.0).reshape(3, 4), "file": np.ones(2)}
    for name in ("a.npz", "b.npz"):
        _write_npz(tmp_path / name, arrays)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with np.load(tmp_path / "a.npz", allow_pickle=False) as back:
        assert set(back) == set(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(back[name], array)
