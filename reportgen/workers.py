"""The processes of a sweep: how many at once, and which device and which cores each one has.

The parent writes the slots into ``jobs/workers.json``. A process that runs a job takes a free one
before JAX starts there and keeps it until it ends, whichever launcher started it.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import IO, Any

from reportgen import jobs
from reportgen.core.cores import available_cores
from reportgen.core.errors import ConfigError, ResourceError

_PLAN = "workers.json"
_THREADS = 2  # of a job, where nothing else says how many jobs run at once

_DEVICES = """
import jax
devices = jax.local_devices()
version = devices[0].client.platform_version.lower()
print(jax.default_backend(), len(devices), "rocm" if "rocm" in version else "cuda")
"""


@dataclass(frozen=True)
class Slot:
    """What one process has to itself: variables of its environment, and cores by number."""

    environment: dict[str, str] = field(default_factory=dict)
    cores: tuple[int, ...] = ()


def slots(n_jobs: int | None, threads_per_job: int | None, count: int) -> list[Slot]:
    """The slots of this machine, no more than there are jobs.

    Args:
      n_jobs: processes at once; None: one for each GPU, else the cores by ``threads_per_job``.
      threads_per_job: cores of each; None: its share of them.
      count: jobs in the sweep.
    """
    if sys.platform == "win32":
        raise ConfigError("Jobs run at once on Linux and macOS only.", "Use hydra/launcher=basic")
    for key, value in (("n_jobs", n_jobs), ("threads_per_job", threads_per_job)):
        if value is not None and (not isinstance(value, int) or value < 1):
            raise ConfigError(
                f"hydra.launcher.{key}: expected 1 or more, found {value}.",
                f"Leave it out for what fits this machine, or say it: hydra.launcher.{key}=2",
            )
    cores = available_cores()
    variable, devices = _devices()
    if n_jobs is None and devices:
        n_jobs = len(devices)
    if n_jobs is None:
        n_jobs = max(1, len(cores) // (threads_per_job or _THREADS))
    n_jobs = min(n_jobs, count)
    share = max(1, len(cores) // n_jobs)
    threads = min(threads_per_job or share, share)
    return [
        Slot(
            _environment(variable, devices, i, n_jobs),
            tuple(cores[(i * threads + j) % len(cores)] for j in range(threads)),
        )
        for i in range(n_jobs)
    ]


def _environment(variable: str, devices: list[str], i: int, n_jobs: int) -> dict[str, str]:
    if not variable:
        return {}
    environment = {variable: devices[i % len(devices)]}
    fraction = "XLA_PYTHON_CLIENT_MEM_FRACTION"
    sharing = math.ceil(n_jobs / len(devices))
    if sharing > 1 and fraction not in os.environ:
        # JAX takes three quarters of a GPU's memory when it starts: here of its part of it.
        environment[fraction] = f"{0.75 / sharing:.3f}"
    return environment


def _devices() -> tuple[str, list[str]]:
    """The variable that tells a process which GPU it sees, and its values; none without GPUs.

    JAX is asked, in a process of its own: here it would take the memory of all of them. Other
    accelerators than GPUs count as one, which one process has.
    """
    plugins = entry_points(group="jax_plugins") or importlib.util.find_spec("jax_plugins")
    if not plugins and importlib.util.find_spec("libtpu") is None:
        return "", []
    environment = {**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    done = subprocess.run(
        [sys.executable, "-c", _DEVICES], capture_output=True, text=True, env=environment
    )
    if done.returncode != 0:
        raise ConfigError(
            f"JAX cannot use its devices: {(done.stderr.strip().splitlines() or ['?'])[-1]}",
            "reportgen doctor says more. To go without them: JAX_PLATFORMS=cpu",
        )
    platform, count, maker = done.stdout.split()[-3:]
    if platform == "cpu":
        return "", []
    if platform != "gpu":
        return "", ["all"]
    variable = "HIP_VISIBLE_DEVICES" if maker == "rocm" else "CUDA_VISIBLE_DEVICES"
    chosen = [name.strip() for name in os.environ.get(variable, "").split(",") if name.strip()]
    return variable, chosen or [str(i) for i in range(int(count))]


def write_plan(sweep: Path, places: list[Slot]) -> None:
    """For the processes that run the jobs; no slots where a scheduler gives them their devices."""
    plan = {
        "parent": [socket.gethostname(), os.getpid()],
        "folder": str(Path.cwd()),
        "slots": [{"environment": slot.environment, "cores": slot.cores} for slot in places],
    }
    (sweep / jobs.JOBS / _PLAN).write_text(json.dumps(plan))


def remove_plan(sweep: Path) -> None:
    """Once no process runs any more."""
    for path in ((sweep / jobs.JOBS) / _PLAN, *(sweep / jobs.JOBS).glob("*.slot")):
        path.unlink(missing_ok=True)


@contextmanager
def at_work(sweep: Path, number: int) -> Iterator[None]:
    """Around a job, before JAX is imported: this process's device, cores and log.

    Does nothing in the process of the sweep itself.
    """
    path = sweep / jobs.JOBS / _PLAN
    plan = json.loads(path.read_text()) if path.is_file() else None
    if plan is None or plan["parent"] == [socket.gethostname(), os.getpid()]:
        yield
        return
    pid = jobs.file(sweep, number, "pid")
    pid.write_text(str(os.getpid()))
    try:
        _print_into(jobs.file(sweep, number, "log"))
        # Factories and methods of the user's own; last, as in the process of the sweep.
        if plan["folder"] not in sys.path:
            sys.path.append(plan["folder"])
        _take(sweep, plan["slots"])
        yield
    finally:
        pid.unlink(missing_ok=True)


def in_words(error: Exception) -> Exception:
    """submitit's way to end a job whose time is over, as an error that says so."""
    if type(error).__name__ != "UncompletedJobError":
        return error
    return ResourceError(
        f"The scheduler ended the job before its report was written: {error}",
        "Give it more time: hydra.launcher.timeout_min=…",
    )


def _print_into(log: Path) -> None:
    """Several processes on one terminal would mix their lines."""
    sys.stdout.flush()
    sys.stderr.flush()
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)


_taken: list[IO[bytes]] = []  # open as long as the process lives, which may run several jobs


def _take(sweep: Path, places: list[Mapping[str, Any]]) -> None:
    """Wait for a slot and settle there. The system frees it when the process ends, however."""
    import fcntl  # not on Windows

    if not places:
        _heed_slurm()
        return
    while not _taken:
        for i, slot in enumerate(places):
            lock = (sweep / jobs.JOBS / f"{i}.slot").open("wb")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
                continue
            _taken.append(lock)
            os.environ.update(slot["environment"])
            _hold_to(slot["cores"])
            return
        time.sleep(0.05)


def _hold_to(cores: list[int]) -> None:
    # XLA and Typst start as many threads as there are cores that they may run on; BLAS has one in
    # every report. XLA's own flags (xla_cpu_multi_thread_eigen, intra_op_parallelism_threads)
    # change nothing in jax 0.10.
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
    else:
        _count_threads(len(cores))


def _heed_slurm() -> None:
    """Where a cluster does not bind a job to its cores, JAX would use all of the node's."""
    given = os.environ.get("SLURM_CPUS_PER_TASK", "")
    if given.isdecimal() and int(given) < len(available_cores()):
        _count_threads(int(given))


def _count_threads(count: int) -> None:
    # NPROC is XLA's.
    for variable in ("NPROC", "OMP_NUM_THREADS", "RAYON_NUM_THREADS"):
        os.environ[variable] = str(count)
