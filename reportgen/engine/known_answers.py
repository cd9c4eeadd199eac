"""Whether this build of JAX computes rightly on this device: programs whose answers are known.

A compiler's fault is silent: jaxlib 0.10.2 sums some rows wrongly on a CPU, and a page made by it
looks like any other. A report runs some programs before all else, once for each pair of versions
and device, and keeps what came of it. ``reportgen doctor`` runs all of them, with those that some
builds crash or hang at, by ``python -m reportgen.engine.known_answers`` in a process of its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import numpy as np
import platformdirs
from pydantic import TypeAdapter

import reportgen
from reportgen.core.cores import cores
from reportgen.core.known_answers import KnownAnswers, WrongAnswer
from reportgen.core.results import strict
from reportgen.engine.cpu import divide_cpu
from reportgen.engine.digest import code_digest
from reportgen.engine.kept import write_at_once
from reportgen.engine.known_programs import Known, programs, programs_of_reports, risky_programs

_ANSWERS: TypeAdapter[KnownAnswers] = TypeAdapter(KnownAnswers)


def known_answers(lowerings: bool) -> KnownAnswers:
    """What this process's first device makes of a report's programs; kept from an earlier run.

    Takes less than a second on two cores where nothing is kept. What was wrong is kept as well, and
    told every time.

    Args:
      lowerings: networks run in the operations for CPUs.
    """
    device = jax.local_devices()[0]
    about = _about(device, lowerings)
    name = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
    folder = Path(platformdirs.user_cache_dir("reportgen"))
    path = folder / "known_answers" / f"{name}.json"
    found = _kept(path, about)
    if found is None:
        found = compared(programs_of_reports(lowerings), device)
        content = json.dumps(strict({"about": about, "answers": asdict(found)}), indent=1)
        with contextlib.suppress(OSError):  # the next run compares again
            write_at_once(path, content.encode())
    return found


def _about(device: jax.Device, lowerings: bool) -> dict[str, Any]:
    """What answers depend on."""
    return {
        "reportgen": reportgen.__version__,
        "code": code_digest(),
        **{name: metadata.version(name) for name in ("jax", "jaxlib", "numpy")},
        "device": device.device_kind,
        "platform": f"{device.platform} {device.client.platform_version}",
        "processor": _processor(),
        "cores": cores(),
        "flags": os.environ.get("XLA_FLAGS", ""),
        "precision": str(jax.config.jax_default_matmul_precision),  # type: ignore[attr-defined]
        "lowerings": lowerings,
    }


def _processor(table: Path = Path("/proc/cpuinfo")) -> str:
    """The CPU's model: what is compiled for it depends on its instructions."""
    try:
        lines = table.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or platform.machine())


def _kept(path: Path, about: dict[str, Any]) -> KnownAnswers | None:
    """Answers of before; None where there are none, or the file is damaged."""
    try:
        data = json.loads(path.read_bytes())
        return _ANSWERS.validate_python(data["answers"]) if data["about"] == about else None
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None


def compared(known: Iterable[Known], device: jax.Device) -> KnownAnswers:
    """Run programs on a device, and compare what they give with what is right."""
    known = tuple(known)
    # XLA compiles one program on one core.
    with ThreadPoolExecutor(cores(), "known answers") as threads:
        wrong = threads.map(partial(_wrong, device=device), known)
        return KnownAnswers(
            count=sum(len(one.parts) for one in known),
            wrong=tuple(answer for answers in wrong for answer in answers),
        )


def _wrong(known: Known, device: jax.Device) -> list[WrongAnswer]:
    try:
        inputs = jax.device_put(known.inputs, device)
        made = [np.asarray(array, np.float64) for array in jax.jit(known.run)(*inputs)]
    except Exception as error:  # noqa: BLE001 (what a broken compiler raises may be anything)
        problem = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        return [WrongAnswer(program=part, problem=problem) for part in known.parts]
    exact = device.platform == "cpu"
    found = []
    for part, got, expected in zip(known.parts, made, known.expected(), strict=True):
        tolerance = known.tolerance(exact) * float(np.abs(expected).max())
        off = np.nan_to_num(np.abs(got - expected), nan=np.inf)
        worst = np.unravel_index(off.argmax(), off.shape)
        if off[worst] > tolerance:
            found.append(
                WrongAnswer(
                    program=part,
                    got=float(got[worst]),
                    expected=float(expected[worst]),
                    tolerance=tolerance,
                )
            )
    return found


def main() -> None:
    """Compare all answers, and print them as JSON, a line for each group of programs.

    Before each group there is a line with its name: the process may end, or hang, in the midst.
    """
    divide_cpu(None)
    device = jax.local_devices()[0]
    groups = {"the programs of reports": programs()}
    groups |= {one.parts[0]: (one,) for one in risky_programs()}
    for name, known in groups.items():
        print(json.dumps({"runs": name}), flush=True)
        print(json.dumps(strict(asdict(compared(known, device)))), flush=True)


if __name__ == "__main__":
    main()
