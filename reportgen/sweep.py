"""A sweep: every combination is run, whatever becomes of the others, and an index page tells all.

Hydra's own sweeper composes every job first and stops at the first that does not compose; this one
records such a job as failed and runs the rest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.plugins import Plugins
from omegaconf import OmegaConf

from reportgen.config import explain
from reportgen.core.sweep import SweepJob

JOBS = "jobs"
ORDER = "order.json"


class Sweeper(BasicSweeper):  # type: ignore[misc]
    """Hydra's basic sweeper that leaves out, and records, jobs that do not compose."""

    finished: ClassVar[list[SweepJob]] = []

    def sweep(self, arguments: list[str]) -> Any:
        """Run all jobs, then write the index page."""
        done = super().sweep(arguments)
        folder = Path(self.config.hydra.sweep.dir)
        (folder / "multirun.yaml").unlink(missing_ok=True)
        Sweeper.finished = write_index(folder)
        return done

    def get_job_batch(self) -> Sequence[Sequence[str]]:
        """The next jobs that compose; the others are recorded."""
        batch = super().get_job_batch()
        folder = Path(self.config.hydra.sweep.dir)
        (folder / JOBS).mkdir(parents=True, exist_ok=True)
        (folder / JOBS / ORDER).write_text(json.dumps([list(job) for job in batch]))
        legal = []
        for overrides in batch:
            try:
                OmegaConf.to_container(
                    self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
                )
                legal.append(overrides)
            except Exception as error:
                reason = explain(error)
                if reason is None:
                    raise
                record(folder, overrides, exit_code=reason.exit_code, message=str(reason))
        return legal

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Already done, job by job."""


# Hydra takes plugins from this namespace only; registered by hand it needs no package there.
Sweeper.__module__ = "hydra_plugins.reportgen"
Plugins.instance().register(Sweeper)


def number_of(folder: Path, overrides: Sequence[str]) -> int:
    """The place of a job in its sweep."""
    order = json.loads((folder / JOBS / ORDER).read_text())
    return int(order.index(list(overrides)))


def job_folder(folder: Path, overrides: Sequence[str]) -> Path:
    """Where a job's report goes: its number and what it changed."""
    words = re.sub(r"[^A-Za-z0-9=._+-]+", "_", ",".join(overrides)).strip("_")[:80]
    return folder / f"{number_of(folder, overrides)}_{words or 'default'}"


def record(folder: Path, overrides: Sequence[str], **what: Any) -> None:
    """Write down what became of a job; jobs may run in other processes."""
    number = number_of(folder, overrides)
    job = SweepJob(number=number, overrides=tuple(overrides), **what)
    (folder / JOBS / f"{number}.json").write_text(json.dumps(asdict(job), ensure_ascii=False))


def write_index(folder: Path) -> list[SweepJob]:
    """The index page of what was recorded; returns the jobs in order."""
    from reportgen.render.sweep import render_sweep

    order = json.loads((folder / JOBS / ORDER).read_text())
    jobs = []
    for number, overrides in enumerate(order):
        path = folder / JOBS / f"{number}.json"
        if path.is_file():
            values = json.loads(path.read_text())
            values["overrides"] = tuple(values["overrides"])
            jobs.append(SweepJob(**values))
        else:
            message = "the job ended without a word"
            jobs.append(
                SweepJob(number=number, overrides=tuple(overrides), exit_code=1, message=message)
            )
    render_sweep(jobs, folder, f"Sweep of {len(jobs)} reports")
    return jobs
