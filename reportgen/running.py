"""Running the chosen methods: checked before anything is computed, and each on its own.

A method that fails takes no other with it.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import jax

from reportgen.chosen import Chosen, layers_for
from reportgen.config import Config
from reportgen.core.errors import NotApplicableError, UserError
from reportgen.core.progress import Progress
from reportgen.engine.rows import Engine
from reportgen.methods.base import Context, Method, Result, fold_in_name
from reportgen.methods.survey import Survey
from reportgen.outcome import Stage
from reportgen.render import numbers
from reportgen.render.painter import Painter


@dataclass(frozen=True)
class Job:
    """A method with all it needs, checked before anything is computed."""

    name: str
    method: Method
    settings: Mapping[str, Any]
    context: Context | None
    work: int
    skipped: str = ""
    alone: bool = False


@dataclass(frozen=True)
class Failure:
    """Why a method made nothing.

    Attributes:
      exit_code: that it gives the command.
      trace: of a bug, for the log.
    """

    message: str
    advice: str
    exit_code: Literal[1, 2]
    trace: str = ""

    @classmethod
    def of(cls, error: Exception) -> Failure:
        """What was raised, in words."""
        if isinstance(error, UserError):
            return cls(error.message, error.hint, 2)
        words = "".join(traceback.format_exception_only(error)).strip().splitlines()[0]
        trace = "".join(traceback.format_exception(error))
        return cls(f"Internal error (a bug): {words}", "log.txt has the traceback.", 1, trace)


def prepare(name: str, chosen: Chosen, *, config: Config, survey: Survey) -> Job:
    """A method's job; one that does not apply says so, if it is not the only one.

    Raises:
      UserError: if the method's settings do not fit the network or the images.
    """
    method, model, images = chosen.methods[name], survey.model, survey.images
    layers, reason = layers_for(name, chosen, model.layers, config.layers)
    job = partial(Job, name, method, chosen.settings[name])
    if reason:
        return job(None, 0, reason)
    made_by = (*chosen.makers, name) if method.needs_maps else (name,)
    context = Context(
        model=model,
        images=images,
        layers=layers,
        colormap=config.colormap,
        timings=config.report.timings,
        key=fold_in_name(jax.random.key(config.seed), name),
        engine=survey.engine,
        survey=survey,
        advance=lambda done: None,
        command=partial(chosen.command, made_by),
    )
    try:
        if method.needs_images and not images.listed:
            raise NotApplicableError(f"{name} needs images, and data=none gives none.")
        if method.needs_maps and not chosen.makers:
            raise NotApplicableError(
                f"{name} tests the maps of other methods, and none that makes maps is chosen.",
                f"Choose some beside it: method=[gradcam,{name}]",
            )
        return job(context, method.work(context), alone=name == chosen.alone)
    except NotApplicableError as error:
        if name == chosen.alone:
            raise
        return job(None, 0, str(error))


def look(survey: Survey, progress: Progress, stages: list[Stage]) -> None:
    """All images through the network, once for all who ask about them."""
    if not survey.images.listed:
        return
    began = time.perf_counter()
    progress.start("survey", survey.images.listed)
    survey.advance = progress.advance
    made = numbers.counted(len(survey.seen.logits), "image")
    progress.finish(made)
    stages.append(Stage("survey", made, time.perf_counter() - began, survey.engine.programs))


def compute(
    jobs: Sequence[Job],
    engine: Engine,
    progress: Progress,
    stages: list[Stage],
    painter: Painter | None,
) -> tuple[dict[str, Result], dict[str, Failure]]:
    """What every method made, by its name, and which failed; those that test maps come last.

    Args:
      stages: added to.
      painter: draws and encodes a method's pictures while the next ones compute; None on a host
        that writes no report.
    """
    results: dict[str, Result] = {}
    failures: dict[str, Failure] = {}
    for job in sorted(jobs, key=lambda job: job.method.needs_maps):
        began = time.perf_counter()
        result = Result(blocks=())
        made = "skipped" if job.skipped else numbers.counted(job.work, *job.method.unit)
        if job.context is not None:
            progress.start(job.name, job.work)
            explained = {n: r.explained for n, r in results.items() if r.explained is not None}
            context = replace(job.context, advance=progress.advance, explained=explained)
            try:
                result = job.method.run(context)
            except Exception as error:  # told in the section; the others go on
                if job.alone:
                    raise
                failures[job.name], made = Failure.of(error), "failed"
            progress.finish(made)
        if painter is not None:
            painter.ahead(result.blocks)
        results[job.name] = result
        programs = engine.programs - sum(stage.programs for stage in stages)
        stages.append(Stage(job.name, made, time.perf_counter() - began, programs))
    return results, failures
