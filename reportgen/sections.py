"""What the methods made as the sections of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from reportgen.chosen import Chosen
from reportgen.core.blocks import Block, Cell, Finding, Group, Heatmap
from reportgen.core.images import ImageBatch
from reportgen.core.report import Section
from reportgen.methods.base import Result
from reportgen.methods.side_by_side import side_by_side
from reportgen.models.base import Model
from reportgen.outcome import Stage
from reportgen.running import Failure, Job


def sections(
    jobs: Sequence[Job],
    results: Mapping[str, Result],
    failures: Mapping[str, Failure],
    stages: Sequence[Stage],
    chosen: Chosen,
    images: ImageBatch,
    model: Model,
) -> tuple[Section, ...]:
    """One section a method, as they were listed, and one that compares the maps of all."""
    programs = {stage.name: stage.programs for stage in stages}
    evidence = [result.evidence for result in results.values()]
    made = [
        Section(
            method=job.name,
            title=job.method.title,
            blocks=tuple(
                _with_evidence(block, [found.get((job.name, i), ()) for found in evidence])
                for i, block in enumerate(results[job.name].blocks)
            ),
            intro=results[job.name].intro,
            command="" if job.context is None else job.context.command(),
            skipped=job.skipped,
            failed=failures[job.name].message if job.name in failures else "",
            exit_code=failures[job.name].exit_code if job.name in failures else 0,
            programs=programs[job.name],
            settings=dict(job.settings),
        )
        for job in jobs
    ]
    explained = {name: r.explained for name, r in results.items() if r.explained is not None}
    if len(explained) > 1:
        command = chosen.command(tuple(explained))
        made.append(
            Section(
                method="side_by_side",
                title="Side by side",
                blocks=side_by_side(explained, images, model.classes, command),
                intro="Every method's map of the same image. Where they agree, no single method's "
                "weakness explains it; where they differ, look at what each measures.",
                command=command,
            )
        )
    return tuple(made)


def failed(name: str, failure: Failure) -> Finding:
    """That a method failed, and why."""
    return Finding(
        severity="fail",
        check=name,
        message=f"{name} failed, and its section is empty: {failure.message}",
        advice=failure.advice,
    )


def _with_evidence(block: Block, found: Sequence[tuple[tuple[str, Cell], ...]]) -> Block:
    """An image's group with what other methods found out about its map."""
    facts = tuple(fact for part in found for fact in part)
    if not facts or not isinstance(block, Group):
        return block
    first, *rest = block.blocks
    assert isinstance(first, Heatmap)
    return replace(block, blocks=(replace(first, facts=(*first.facts, *facts)), *rest))
