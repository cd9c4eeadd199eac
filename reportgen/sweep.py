"""A sweep: every combination is run, whatever becomes of the others, and an index page tells all.

Hydra's own sweeper composes every job first and stops at the first that does not compose; this one
records such a job as failed and runs the rest.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import sys
import types
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins import sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from reportgen.compose import explain
from reportgen.core.errors import OutputError
from reportgen.core.sweep import SweepJob

JOBS = "jobs"
ORDER = "order.json"


class Sweeper(sweeper.Sweeper):
    """Runs every combination of the overrides on Hydra's launcher.

    Args:
      max_batch_size: jobs given to the launcher at once; None for all.
      params: sweeps that stand in the configuration (``hydra.sweeper.params``).
    """

    finished: ClassVar[list[SweepJob]] = []

    def __init__(self, max_batch_size: int | None, params: dict[str, str] | None = None) -> None:
        self._batch = max_batch_size
        self._params = params or {}

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Called by Hydra before ``sweep``."""
        self._loader = hydra_context.config_loader
        self._config = config
        self._launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Run all jobs that compose, record the others, then write the index page."""
        from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

        params = [f"{key}={value}" for key, value in self._params.items()]
        parsed = OverridesParser.create(self._loader).parse_overrides([*params, *arguments])
        batches = BasicSweeper.split_arguments(parsed, self._batch)
        folder = Path(self._config.hydra.sweep.dir)
        try:
            (folder / JOBS).mkdir(parents=True, exist_ok=True)
            order = [list(job) for batch in batches for job in batch]
            (folder / JOBS / ORDER).write_text(json.dumps(order, ensure_ascii=False))
        except OSError as error:
            raise OutputError(
                f"The sweep cannot be written to {folder}: {error.strerror}.",
                "Choose another folder: hydra.sweep.dir=…",
            ) from error
        done: list[JobReturn] = []
        for batch in batches:
            legal = [job for job in batch if self._composes(folder, job)]
            if legal:
                done += self._launcher.launch(legal, initial_job_idx=len(done))
        Sweeper.finished = write_index(folder)
        return done

    def _composes(self, folder: Path, overrides: Sequence[str]) -> bool:
        try:
            self._loader.load_sweep_config(self._config, list(overrides))
        except Exception as error:
            reason = explain(error)
            if reason is None:
                raise
            record(folder, overrides, exit_code=reason.exit_code, message=str(reason))
            return False
        return True


def register() -> None:
    """Make the sweeper known to Hydra.

    Hydra takes plugins from the namespace ``hydra_plugins`` only, and imports all it finds there
    at every start of every Hydra application; so the module is made here, when a sweep needs it.
    """
    package = "hydra_plugins"
    Sweeper.__module__ = f"{package}.reportgen"
    if package not in sys.modules and importlib.util.find_spec(package) is None:
        sys.modules[package] = types.ModuleType(package)
        sys.modules[package].__path__ = []
    module = types.ModuleType(Sweeper.__module__)
    setattr(module, Sweeper.__name__, Sweeper)
    setattr(importlib.import_module(package), "reportgen", module)  # noqa: B010
    sys.modules[Sweeper.__module__] = module
    Plugins.instance().register(Sweeper)


def _order(sweep: Path) -> list[list[str]]:
    order: list[list[str]] = json.loads((sweep / JOBS / ORDER).read_text())
    return order


def job_folder(sweep: Path, overrides: Sequence[str]) -> Path:
    """Where a job's report goes: its number, and its overrides that not every job has."""
    order = _order(sweep)
    swept = [word for word in overrides if not all(word in job for job in order)]
    words = re.sub(r"[^A-Za-z0-9=._+-]+", "_", ",".join(swept)).strip("_")[:80]
    return sweep / f"{order.index(list(overrides))}_{words or 'default'}"


def record(sweep: Path, overrides: Sequence[str], **what: Any) -> None:
    """Write down what became of a job (fields of ``SweepJob``); it may run in another process."""
    number = _order(sweep).index(list(overrides))
    job = SweepJob(number=number, overrides=tuple(overrides), **what)
    (sweep / JOBS / f"{number}.json").write_text(json.dumps(asdict(job), ensure_ascii=False))


def write_index(folder: Path) -> list[SweepJob]:
    """The index page of what was recorded; returns the jobs in order."""
    from reportgen.render.sweep import render_sweep

    jobs = []
    for number, overrides in enumerate(_order(folder)):
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
