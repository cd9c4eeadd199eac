"""The one file that knows all stages: configuration, model, images, methods, results, files."""

from __future__ import annotations

import hashlib
import platform
import shlex
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import Any

import jax
import platformdirs
from omegaconf import DictConfig, OmegaConf, open_dict

from reportgen import cards
from reportgen import config as configuration
from reportgen.archive.folder import LOG, staged, write_results
from reportgen.archive.provenance import provenance, source_date
from reportgen.audits.base import Audit
from reportgen.audits.evidence import Evidence
from reportgen.audits.run import run_audit
from reportgen.chosen import Chosen, chosen_audits, chosen_methods, lasting, layers_for
from reportgen.config import Config
from reportgen.core.blocks import Block, Cell, Finding, Group, Heatmap
from reportgen.core.checks import Check
from reportgen.core.errors import NotApplicableError
from reportgen.core.images import ImageBatch
from reportgen.core.progress import Progress
from reportgen.core.report import Report, Section
from reportgen.data.load import load_images
from reportgen.engine.cpu import divide_cpu
from reportgen.engine.hosts import join_hosts
from reportgen.engine.rows import Engine
from reportgen.methods.base import Context, Method, Result, fold_in_name
from reportgen.methods.side_by_side import side_by_side
from reportgen.models.base import Model
from reportgen.models.load import Network, load_model, open_network
from reportgen.models.select import select_layers
from reportgen.render import house, numbers, pdf
from reportgen.render.colour import check_colormap
from reportgen.render.painter import Painter
from reportgen.render.report import render_report


@dataclass(frozen=True)
class Stage:
    """One row of the table at the end: what was made, how much of it, seconds.

    Attributes:
      programs: compiled for it, besides those that were there.
    """

    name: str
    made: str
    seconds: float
    programs: int = 0


@dataclass(frozen=True)
class Outcome:
    """A finished report and where the time went.

    Attributes:
      written: False on a host that leaves the folder to another.
      notes: what was left out of the pages, in sentences.
    """

    folder: Path
    report: Report
    stages: tuple[Stage, ...]
    seconds: float
    written: bool = True
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Job:
    """A method with all it needs, checked before anything is computed."""

    name: str
    method: Method
    settings: Mapping[str, Any]
    context: Context | None
    work: int
    skipped: str = ""


def list_layers(node: DictConfig) -> Network:
    """The network of a configuration; no weights are read and nothing is computed."""
    return open_network(configuration.read(node))


def run(node: DictConfig, *, target: Path, overrides: Sequence[str], progress: Progress) -> Outcome:
    """Make one report.

    Args:
      node: the composed configuration.
      target: the report's folder; it appears only when the report is whole.
      overrides: what the user asked for on the command line, recorded in the report.

    Raises:
      UserError: if the configuration, data, weights or folder are wrong.
    """
    begun = time.perf_counter()
    config = configuration.read(node)
    chosen, audits = chosen_methods(config, overrides), chosen_audits(config)
    for name in ("weights", "activations", "heatmap", "signed", "matrix"):
        check_colormap(getattr(config.colormap, name))
    own = house.gathered(config.report)
    pdf.standards(own.rendering.pdf, source_date())
    _start_jax(config)
    with _place(target) as folder, Painter() as painter:
        progress.start("model and images", 1)
        network = open_network(config)
        select_layers(network.outline.layers, config.layers)  # even if no method takes layers
        for name in chosen.methods:
            layers_for(name, chosen, network.outline.layers, config.layers)
        for audit in audits.values():
            select_layers(network.outline.layers, audit.layers or ("all",))
        # First, so that images are decoded while weights are read and programs compiled.
        images = load_images(config.data, network.spec, network.classes, config.seed)
        model, weights = load_model(network, config)
        progress.advance(1)
        loaded = numbers.counted(images.listed, "image")
        progress.finish(loaded)
        engine = Engine.local(
            config.engine.batch,
            config.engine.memory_budget,
            weights=sum(leaf.nbytes for leaf in jax.tree.leaves(model)),
            early_ranking=config.engine.early_ranking,
            bfloat16=config.engine.bfloat16,
        )
        jobs = [
            prepare(name, chosen, config=config, model=model, images=images, engine=engine)
            for name in chosen.methods
        ]
        stages = [Stage("model and images", loaded, time.perf_counter() - begun)]
        results = _compute(jobs, engine, progress, stages, painter)
        metrics = {k: v for result in results.values() for k, v in result.metrics.items()}
        evidence = Evidence(model, images, engine)
        checks, found = _audited(audits, evidence, progress, stages)
        text = _config_yaml(node)
        (folder / "config.yaml").write_text(text, encoding="utf-8")
        report = Report(
            title=config.report.title or f"Report on {model.name}",
            model=cards.model_card(network, model, weights),
            data=cards.data_card(images),
            metrics=metrics,
            findings=(
                *found,
                *cards.findings(config, network, model, weights, images),
                *(finding for result in results.values() for finding in result.findings),
            ),
            sections=_sections(jobs, results, stages, chosen, images, model),
            provenance=provenance(
                device=_device(),
                seed=config.seed,
                config_sha256=hashlib.sha256(text.encode()).hexdigest(),
            ),
            command=shlex.join(["reportgen", *lasting(overrides)]),
            banners=cards.banners(weights),
            rendering=own.rendering,
            checks=checks,
            fail_on=config.audit.fail_on,
        )
        if not _writes():
            return Outcome(target, report, tuple(stages), time.perf_counter() - begun, False)
        started = time.perf_counter()
        progress.start("results and pages", 1)
        own.write(folder)
        with ThreadPoolExecutor(1) as beside:
            stored = beside.submit(write_results, report, folder)
            if own.rendering.pdf == "a-3":
                stored.result()  # which the PDF carries
            ledger = render_report(report, folder, painter)
            stored.result()
        progress.advance(1)
        progress.finish("HTML, PDF")
        now = time.perf_counter()
        stages.append(Stage("results and pages", "HTML, PDF", now - started))
        _write_log(folder, stages, now - begun, [*engine.told, *ledger.lines()])
    seconds = time.perf_counter() - begun
    return Outcome(target, report, tuple(stages), seconds, notes=ledger.notes)


def _writes() -> bool:
    """Whether this host writes the report that several make."""
    return jax.process_index() == 0


@contextmanager
def _place(target: Path) -> Iterator[Path]:
    """The folder to write to, or on other hosts one that is thrown away."""
    if _writes():
        with staged(target) as folder:
            yield folder
    else:
        with tempfile.TemporaryDirectory() as scratch:
            yield Path(scratch)


def _start_jax(config: Config) -> None:
    divide_cpu(config.engine.cpu_devices)
    join_hosts(config.engine.hosts)
    if config.engine.compilation_cache:
        cache = Path(platformdirs.user_cache_dir("reportgen")) / "xla"
        jax.config.update("jax_compilation_cache_dir", str(cache))
        # Everything is kept: the many small programs of a report are its cold start.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def _device() -> str:
    devices = jax.devices()
    kind = devices[0].device_kind
    return f"{len(devices)} × {devices[0].platform}" + ("" if kind == "cpu" else f" ({kind})")


def prepare(
    name: str, chosen: Chosen, *, config: Config, model: Model, images: ImageBatch, engine: Engine
) -> Job:
    method = chosen.methods[name]
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
        engine=engine,
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
        return job(context, method.work(context))
    except NotApplicableError as error:
        if name == chosen.alone:
            raise
        return job(None, 0, str(error))


def _compute(
    jobs: Sequence[Job],
    engine: Engine,
    progress: Progress,
    stages: list[Stage],
    painter: Painter,
) -> dict[str, Result]:
    """What every method made, by its name; those that test maps come last.

    A method's pictures are drawn and encoded while the next ones compute.
    """
    results: dict[str, Result] = {}
    for job in sorted(jobs, key=lambda job: job.method.needs_maps):
        began = time.perf_counter()
        result = Result(blocks=())
        made = "skipped" if job.skipped else numbers.counted(job.work, *job.method.unit)
        if job.context is not None:
            progress.start(job.name, job.work)
            explained = {n: r.explained for n, r in results.items() if r.explained is not None}
            result = job.method.run(
                replace(job.context, advance=progress.advance, explained=explained)
            )
            progress.finish(made)
        if _writes():
            painter.ahead(result.blocks)
        results[job.name] = result
        programs = engine.programs - sum(stage.programs for stage in stages)
        stages.append(Stage(job.name, made, time.perf_counter() - began, programs))
    return results


def _audited(
    audits: Mapping[str, Audit], evidence: Evidence, progress: Progress, stages: list[Stage]
) -> tuple[tuple[Check, ...], tuple[Finding, ...]]:
    if not audits:
        return (), ()
    began = time.perf_counter()
    progress.start("audit", len(audits))
    checks, findings = run_audit(audits, evidence, date.today(), progress.advance)
    made = numbers.counted(len(checks), "check")
    progress.finish(made)
    programs = evidence.engine.programs - sum(stage.programs for stage in stages)
    stages.append(Stage("audit", made, time.perf_counter() - began, programs))
    return checks, findings


def _sections(
    jobs: Sequence[Job],
    results: Mapping[str, Result],
    stages: Sequence[Stage],
    chosen: Chosen,
    images: ImageBatch,
    model: Model,
) -> tuple[Section, ...]:
    """One section a method, as they were listed, and one that compares the maps of all."""
    programs = {stage.name: stage.programs for stage in stages}
    evidence = [result.evidence for result in results.values()]
    sections = [
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
            programs=programs[job.name],
            settings=dict(job.settings),
        )
        for job in jobs
    ]
    explained = {name: r.explained for name, r in results.items() if r.explained is not None}
    if len(explained) > 1:
        command = chosen.command(tuple(explained))
        sections.append(
            Section(
                method="side_by_side",
                title="Side by side",
                blocks=side_by_side(explained, images, model.classes, command),
                intro="Every method's map of the same image. Where they agree, no single method's "
                "weakness explains it; where they differ, look at what each measures.",
                command=command,
            )
        )
    return tuple(sections)


def _with_evidence(block: Block, found: Sequence[tuple[tuple[str, Cell], ...]]) -> Block:
    """An image's group with what other methods found out about its map."""
    facts = tuple(fact for part in found for fact in part)
    if not facts or not isinstance(block, Group):
        return block
    first, *rest = block.blocks
    assert isinstance(first, Heatmap)
    return replace(block, blocks=(replace(first, facts=(*first.facts, *facts)), *rest))


def _config_yaml(node: DictConfig) -> str:
    """The resolved configuration, without where the report goes: equal runs are equal files."""
    copied = node.copy()
    with open_dict(copied):
        copied.report.dir = None
    return OmegaConf.to_yaml(copied, resolve=True)


def _write_log(folder: Path, stages: Sequence[Stage], seconds: float, told: Sequence[str]) -> None:
    """Clock, host, timings and what was measured; the one file of a report that is never hashed."""
    lines = [
        f"finished {datetime.now().astimezone().isoformat(timespec='seconds')}",
        f"host {socket.gethostname()}, {platform.platform()}",
        *(f"{stage.seconds:9.3f} s  {stage.name}: {stage.made}" for stage in stages),
        f"{seconds:9.3f} s  total",
        *told,
    ]
    (folder / LOG).write_text("\n".join(lines) + "\n", encoding="utf-8")
