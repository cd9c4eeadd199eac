"""A sweep: every combination is run, whatever becomes of the others, and an index page tells all.

Hydra's own sweeper composes every job first and stops at the first that does not compose; this one
records such a job as failed and runs the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.plugins import sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from reportgen import jobs
from reportgen.compose import explain
from reportgen.core.errors import OutputError
from reportgen.core.sweep import SweepJob
from reportgen.parallel import Parallel, kind_of


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
        self._context = hydra_context
        self._task = task_function
        self._config = config
        self._kind = kind_of(config)

    def sweep(self, arguments: list[str]) -> None:
        """Run all jobs that compose, record the others, then write the index page."""
        from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

        params = [f"{key}={value}" for key, value in self._params.items()]
        loader = self._context.config_loader
        parsed = OverridesParser.create(loader).parse_overrides([*params, *arguments])
        (every,) = BasicSweeper.split_arguments(parsed, None)
        order = [list(job) for job in dict.fromkeys(map(tuple, every))]  # none twice
        folder = Path(self._config.hydra.sweep.dir)
        launcher = Parallel(
            context=self._context, task=self._task, config=self._config, count=len(order)
        )
        try:
            jobs.begin(folder, order)
        except OSError as error:
            raise OutputError(
                f"The sweep cannot be written to {folder}: {error.strerror}.",
                "Choose another folder: hydra.sweep.dir=…",
            ) from error
        launched = 0
        size = self._batch or len(order)
        for i in range(0, len(order), size):
            legal = [job for job in order[i : i + size] if self._composes(folder, job)]
            if legal:
                launcher.launch(legal, launched)
                launched += len(legal)
        Sweeper.finished = write_index(folder)

    def _composes(self, folder: Path, overrides: Sequence[str]) -> bool:
        try:
            self._context.config_loader.load_sweep_config(self._config, list(overrides))
        except Exception as error:
            reason = explain(error)
            if reason is None:
                raise
            jobs.record(folder, overrides, exit_code=reason.exit_code, message=str(reason))
            return False
        return True


def register() -> None:
    """Make the sweeper known to Hydra.

    Hydra takes plugins from the namespace ``hydra_plugins`` only, and imports all it finds there
    at every start of every Hydra application; so it is registered under such a name when a sweep
    needs it. Processes of a sweep find it where it is.
    """
    own = Sweeper.__module__
    Sweeper.__module__ = "hydra_plugins.reportgen"
    try:
        Plugins.instance().register(Sweeper)
    finally:
        Sweeper.__module__ = own


def write_index(folder: Path) -> list[SweepJob]:
    """The index page of what was recorded; returns the jobs in order."""
    from reportgen.render.sweep import render_sweep

    told = []
    for number, overrides in enumerate(jobs.all_jobs(folder)):
        silent = SweepJob(
            number=number,
            overrides=tuple(overrides),
            exit_code=1,
            message="the job ended without a word",
        )
        told.append(jobs.recorded(folder, number) or silent)
    render_sweep(told, folder, f"Sweep of {len(told)} reports")
    return told
