"""Jobs at once, by launchers of Hydra's that start processes; a lost process costs only its job."""

from __future__ import annotations

import copy
import importlib.util
import os
import shutil
import signal
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict, read_write

from reportgen import jobs, terminal, workers
from reportgen.core.errors import ConfigError

Job = Sequence[str]

# What a launcher's class needs.
_PACKAGES = {
    "JoblibLauncher": ("hydra_plugins.hydra_joblib_launcher", "joblib"),
    "LocalLauncher": ("hydra_plugins.hydra_submitit_launcher", "submitit"),
    "SlurmLauncher": ("hydra_plugins.hydra_submitit_launcher", "submitit"),
}


def kind_of(config: DictConfig) -> str:
    """The name of the chosen launcher's class.

    Raises:
      ConfigError: if it cannot run here.
    """
    kind = str(config.hydra.launcher.get("_target_")).rpartition(".")[2]
    packages = _PACKAGES.get(kind, ())
    if not all(_installed(package) for package in packages):
        choice = config.hydra.runtime.choices.get("hydra/launcher")
        raise ConfigError(
            f"hydra/launcher={choice} needs packages that are not installed.",
            'Install them: pip install "reportgen[sweep]"',
        )
    if kind == "SlurmLauncher" and shutil.which("sbatch") is None:
        raise ConfigError(
            "hydra/launcher=submitit_slurm needs SLURM, and there is no command sbatch here.",
            "Run it where jobs are submitted, or use hydra/launcher=joblib on this machine.",
        )
    return kind


def _installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):  # its parent is missing, or it was blocked
        return False


class Parallel:
    """A launcher with the slots of this machine, or those that a scheduler gives.

    Args:
      config: the composed configuration of the sweep.
      count: jobs in the sweep.
    """

    def __init__(
        self, *, context: HydraContext, task: TaskFunction, config: DictConfig, count: int
    ) -> None:
        self._sweep = Path(config.hydra.sweep.dir)
        self._kind = kind_of(config)
        self._slots: list[workers.Slot] = []
        config = copy.deepcopy(config)
        node = config.hydra.launcher
        with read_write(config.hydra), open_dict(config.hydra):
            if self._kind in ("JoblibLauncher", "LocalLauncher"):
                self._slots = workers.slots(node.pop("n_jobs"), node.pop("threads_per_job"), count)
            if self._kind == "JoblibLauncher":
                node.n_jobs = len(self._slots)
        self._launcher: Launcher = Plugins.instance().instantiate_launcher(
            hydra_context=context, task_function=task, config=config
        )

    def launch(self, batch: Sequence[Job], first: int) -> None:
        """Run the jobs and return when all have ended; what became of each is on disk.

        Args:
          batch: each job's overrides.
          first: how many jobs were launched before.

        Raises:
          ConfigError: if the scheduler does not take the jobs.
        """
        one = self._kind == "JoblibLauncher" and len(self._slots) == 1
        if one or self._kind == "BasicLauncher":  # in this very process
            self._launcher.launch(batch, initial_job_idx=first)
            return
        workers.write_plan(self._sweep, self._slots)
        terminal.say(f"What the jobs print is in {self._sweep / jobs.JOBS}/*.log")
        try:
            with _variable("PYTHONSAFEPATH", "1"), _Watch(self._sweep, batch):
                if self._kind == "LocalLauncher":
                    self._each_alone(batch, first)
                elif self._kind == "SlurmLauncher":
                    self._as_array(batch, first)
                else:
                    self._together(batch, first)
        finally:
            for job in batch:
                jobs.clear(self._sweep, job)
            workers.remove_plan(self._sweep)

    def _together(self, batch: Sequence[Job], first: int) -> None:
        """A process that is killed breaks its whole pool, and nobody says which one it was.

        So jobs that were running are run again, each with the pool to itself; one that breaks it
        again is lost.
        """
        waiting, suspects = list(batch), list[Job]()
        while waiting or suspects:
            now, alone = (waiting, False) if waiting else ([suspects.pop(0)], True)
            error = self._try(now, first)
            left = [job for job in now if not self._ended(job)]
            begun = [job for job in left if self._file(job, "pid").exists()]
            for job in left:
                jobs.clear(self._sweep, job)
            if error is None or alone or (len(left) == len(now) and not begun):
                # Without an error nothing is left; else another try would end as this one did.
                for job in left:
                    self._lost(job, error)
                waiting = []
            else:
                terminal.say("A process was killed. What was running is run again, one by one.")
                suspects += begun
                waiting = [job for job in left if job not in begun]

    def _try(self, batch: Sequence[Job], first: int) -> Exception | None:
        try:
            with warnings.catch_warnings():
                # A process that has grown is replaced between two jobs: nobody need know.
                warnings.filterwarnings("ignore", message="A worker stopped")
                self._launcher.launch(batch, initial_job_idx=first)
        except Exception as error:  # noqa: BLE001 (told of every job that it cost)
            return error
        return None

    def _each_alone(self, batch: Sequence[Job], first: int) -> None:
        """submitit starts all it is given at once, and looks no further than the first lost job."""
        import submitit

        # The result of a job on this machine is there when it ends, or never.
        submitit.LocalJob._results_timeout_s = 1
        interrupted = threading.Event()

        def run(number: int, job: Job) -> None:
            # Inherited by the job's process, which a Ctrl-C would make print a traceback here.
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
            error = self._try([job], first + number)
            if not self._ended(job) and not interrupted.is_set():
                self._lost(job, error)

        pool = ThreadPoolExecutor(len(self._slots))
        tasks = [pool.submit(run, number, job) for number, job in enumerate(batch)]
        try:
            wait(tasks)
        except BaseException:
            interrupted.set()
            pool.shutdown(wait=False, cancel_futures=True)
            # A job may be so young that it has not said yet who it is.
            while not all(task.done() for task in tasks):
                self._kill(batch)
                time.sleep(0.1)
            raise
        pool.shutdown()
        for task in tasks:
            task.result()

    def _kill(self, batch: Sequence[Job]) -> None:
        for job in batch:
            with suppress(OSError, ValueError):
                os.kill(int(self._file(job, "pid").read_text()), signal.SIGKILL)

    def _as_array(self, batch: Sequence[Job], first: int) -> None:
        """One array job; others go on when one of it is lost, so they are waited for."""
        try:
            error = self._try(batch, first)
            if error is not None and not self._submitted():
                raise ConfigError(f"SLURM does not take the jobs: {error}") from error
            for submitted in self._submitted():
                submitted.wait()
        except KeyboardInterrupt:
            for submitted in self._submitted():
                submitted.cancel(check=False)
            raise
        for job in batch:
            if not self._ended(job):
                self._lost(job, error)

    def _submitted(self) -> list[Any]:
        import submitit

        folder = self._sweep / jobs.JOBS / jobs.SUBMITTED
        return [
            submitit.SlurmJob(folder=folder / "%j", job_id=path.name)
            for path in sorted(folder.glob("[0-9]*_[0-9]*"))
        ]

    def _file(self, job: Job, suffix: str) -> Path:
        return jobs.file(self._sweep, jobs.number_of(self._sweep, job), suffix)

    def _ended(self, job: Job) -> bool:
        return self._file(job, "json").exists()

    def _lost(self, job: Job, error: Exception | None) -> None:
        """A job that ended without a word of its own."""
        log = self._file(job, "log")
        if error is None or log.exists():
            message = (
                "The job's process ended before its report was written: it was killed, or ran out "
                f"of memory or time. What it printed is in {jobs.JOBS}/{log.name}."
            )
        else:
            message = f"The job did not start: {type(error).__name__}: {error}"
        jobs.record(self._sweep, job, exit_code=1, message=message)


@contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    """A variable of the environment that the processes inherit.

    With PYTHONSAFEPATH a file in the folder where the command is run stands in for no library.
    """
    former = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if former is None:
            del os.environ[name]
        else:
            os.environ[name] = former


class _Watch:
    """Tells of jobs as they begin and end, a whole line each."""

    def __init__(self, sweep: Path, batch: Sequence[Job]) -> None:
        self._sweep = sweep
        self._names = {
            jobs.number_of(sweep, job): jobs.report_folder(sweep, job).name for job in batch
        }
        self._began: dict[int, float] = {}
        self._ended: set[int] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(0.2):
            self._look()
        self._look()

    def _look(self) -> None:
        for number, name in self._names.items():
            if number in self._ended:
                continue
            if number not in self._began and jobs.file(self._sweep, number, "log").exists():
                self._began[number] = time.monotonic()
                terminal.say(f"{name}: …")
            job = jobs.recorded(self._sweep, number)
            if job is not None:
                self._ended.add(number)
                seconds = time.monotonic() - self._began.get(number, time.monotonic())
                what = f"done in {seconds:.1f} s" if job.folder else f"error: {job.message}"
                terminal.say(f"{name} ({len(self._ended)} of {len(self._names)}): {what}")
