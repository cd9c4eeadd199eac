"""``reportgen doctor``: what is there, what is missing, and whether this build computes rightly."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import platformdirs
from pydantic import TypeAdapter

import reportgen
from reportgen import terminal
from reportgen.archive.provenance import other_jax, package_versions
from reportgen.compose import conf_dir
from reportgen.core.known_answers import KnownAnswers, WrongAnswer
from reportgen.render.templating import templates_dir
from reportgen.render.text import fonts_folder

_COMPARE = (sys.executable, "-m", "reportgen.engine.known_answers")
_PATIENCE = 180.0  # seconds, for what takes 10 where nothing else runs
_ANSWERS: TypeAdapter[KnownAnswers] = TypeAdapter(KnownAnswers)


def show() -> int:
    """Print versions, devices, folders, fonts, wrong answers; 0 if nothing is missing, else 2."""
    rows: list[tuple[str, str, bool]] = [
        ("reportgen", reportgen.__version__, True),
        ("python", f"{platform.python_version()} on {platform.platform()}", True),
    ]
    versions = package_versions()
    rows += [(name, version, version != "missing") for name, version in versions.items()]
    # Before JAX takes a device's memory here.
    answers = known_answers(_COMPARE, _PATIENCE) if versions["jax"] != "missing" else None
    rows.append(_devices())
    for name, path in (("configuration", conf_dir()), ("templates", templates_dir())):
        rows.append((name, str(path), path.is_dir()))
    fonts = sorted(fonts_folder().glob("*.ttf"))
    rows.append(("fonts", f"{len(fonts)} in {fonts_folder()}", bool(fonts)))
    cache = Path(platformdirs.user_cache_dir("reportgen")) / "xla"
    size = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())
    rows.append(("compilation cache", f"{cache} ({size / 1e6:.1f} MB)", True))
    shown = [(name, what, "" if good else "missing") for name, what, good in rows]
    wrong = answers.wrong if answers else ()
    if answers:
        right = f"{answers.count - len(wrong)} of {answers.count} right"
        shown.append(("known answers", right, "wrong" if wrong else ""))
        shown += [("", one.words, "wrong") for one in wrong]
    terminal.show_table(shown)
    missing = [name for name, _, good in rows if not good]
    if missing:
        terminal.say(f"missing: {', '.join(missing)}. Install reportgen again with pip.")
    if wrong:
        terminal.say(f"this build of JAX computes wrongly. Install another one: {other_jax()}")
    if missing or wrong:
        return 2
    terminal.say("nothing is missing")
    return 0


def known_answers(command: Sequence[str], patience: float) -> KnownAnswers:
    """What another process makes of all programs whose answers are known; it may crash, or hang.

    Args:
      command: prints what ``engine.known_answers`` does.
      patience: seconds.
    """
    # The process that makes reports next takes most of a GPU's memory when it starts.
    environment = {**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            out, error = process.communicate(timeout=patience)
            problem = _ending(process.returncode, error)
        except subprocess.TimeoutExpired:
            process.kill()
            out, _ = process.communicate()
            problem = f"no answer within {patience:g} s"
    count, wrong, running = 0, list[WrongAnswer](), "the programs' start"
    for line in out.splitlines():
        told = json.loads(line)
        if "runs" in told:
            running = told["runs"]
        else:
            found = _ANSWERS.validate_python(told)
            count, running = count + found.count, ""
            wrong += found.wrong
    if problem:
        count += 1
        wrong.append(WrongAnswer(program=running or "the programs' end", problem=problem))
    return KnownAnswers(count=count, wrong=tuple(wrong))


def _ending(code: int, error: str) -> str:
    """Why a process ended; empty if it came to its end."""
    if code < 0:
        return f"the process was ended by {signal.Signals(-code).name}"
    last = error.strip().splitlines()[-1:] or [f"exit code {code}"]
    return f"the process failed: {last[0]}" if code else ""


def _devices() -> tuple[str, str, bool]:
    try:
        import jax

        return "devices", ", ".join(str(device) for device in jax.devices()), True
    except Exception as error:  # noqa: BLE001 (a broken driver is what this command is there to tell)
        return "devices", f"{type(error).__name__}: {error}", False
