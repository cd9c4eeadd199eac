"""What is waited for first, and what renders, imports neither JAX nor Flax."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

MODULES = (
    *("cli", "compose", "config", "core.results", "archive.release", "archiving"),
    *("render.report", "sweep", "compare.compared", "comparison"),
)
# Each part in turn in one process, which then tells what heavy there is for the first time.
SCRIPT = """
import importlib, sys
from reportgen.cli import run
def end(code):
    assert code == 0, code
def command(*arguments):
    try: end(run(arguments))
    except SystemExit: pass  # Hydra ends --help and --cfg so
for part, does in {parts}:
    eval(does)
    found = [name for name in ("jax", "jaxlib", "flax", "optax") if name in sys.modules]
    print("heavy:", part, found)
"""


def _heavy(cwd: Path, parts: dict[str, str]) -> dict[str, list[str]]:
    """What of JAX is imported after each part; an expression does it."""
    script = SCRIPT.format(parts=list(parts.items()))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=cwd)
    assert done.returncode == 0, done.stderr
    lines = [line.split(maxsplit=2) for line in done.stdout.splitlines() if "heavy: " in line]
    return {part: eval(found) for _, part, found in lines}


def test_imports_in_a_process_of_their_own(tmp_path: Path) -> None:
    parts = {name: f"importlib.import_module('reportgen.{name}')" for name in MODULES}
    assert _heavy(tmp_path, parts) == {name: [] for name in MODULES}


def test_this_test_can_fail(tmp_path: Path) -> None:
    parts = {"first": "None", "light": "importlib.import_module('jaxlib')"}
    assert _heavy(tmp_path, parts) == {"first": [], "light": ["jaxlib"]}


def test_commands_that_compute_nothing_and_read_reports_again(tmp_path: Path) -> None:
    from reportgen import cli

    folder = str(tmp_path / "report")
    few = ("method=weights", "layers=conv1", "audit=[]")
    assert cli.run([*few, f"report.dir={folder}"]) == 0
    commands = {
        "help": ["--help"],
        "cfg": ["--cfg", "job"],
        "version": ["--version"],
        "render": ["render", folder],
        "verify": ["verify", folder],
        "compare": ["compare", folder, folder, "audit=strict"],
    }
    parts = {name: f"command(*{arguments!r})" for name, arguments in commands.items()}
    assert _heavy(tmp_path, parts) == {name: [] for name in commands}
