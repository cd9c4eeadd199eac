"""What is waited for first, and what renders, imports neither JAX nor Flax."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = "[name for name in ('jax', 'jaxlib', 'flax', 'optax') if name in sys.modules]"


def _modules(statement: str, cwd: Path) -> str:
    script = f"import sys\n{statement}\nprint('heavy:', {HEAVY})"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=cwd
    )
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    "module",
    [
        *("cli", "compose", "config", "core.results", "archive.release", "archiving"),
        *("render.report", "sweep", "compare.compared", "comparison"),
    ],
)
def test_import(module: str, tmp_path: Path) -> None:
    assert _modules(f"import reportgen.{module}", tmp_path) == "heavy: []"


def test_this_test_can_fail(tmp_path: Path) -> None:
    assert _modules("import reportgen.pipeline", tmp_path) != "heavy: []"


@pytest.mark.parametrize("arguments", [["--help"], ["--cfg", "job"], ["--version"]])
def test_commands_that_compute_nothing(arguments: list[str], tmp_path: Path) -> None:
    run = f"from reportgen.cli import run\ntry: run({arguments!r})\nexcept SystemExit: pass"
    assert _modules(run, tmp_path) == "heavy: []"


def test_what_reads_reports_again(tmp_path: Path) -> None:
    from reportgen import cli

    folder = tmp_path / "report"
    assert cli.run(["method=weights", "layers=conv1", f"report.dir={folder}"]) == 0
    twice = ["compare", str(folder), str(folder), "audit=strict"]
    for command in (["render", str(folder)], ["verify", str(folder)], twice):
        run = f"from reportgen.cli import run\nassert run({command!r}) == 0"
        assert _modules(run, tmp_path) == "heavy: []"
