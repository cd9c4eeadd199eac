"""The one file that knows all stages: configuration, model, images, methods, results, files."""

from __future__ import annotations

import hashlib
import shlex
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import jax
import platformdirs
from omegaconf import DictConfig, OmegaConf, open_dict
from threadpoolctl import threadpool_limits

from reportgen import cards, pages
from reportgen import config as configuration
from reportgen.archive.baseline import read_baseline, read_config
from reportgen.archive.folder import CONFIG, staged
from reportgen.archive.provenance import package_versions, provenance, source_date
from reportgen.archive.release import Place, Release, planned
from reportgen.archive.statement import write_statement
from reportgen.auditing import Auditing
from reportgen.audits.choice import chosen_audits
from reportgen.audits.evidence import Evidence
from reportgen.audits.finished import Finished
from reportgen.audits.pair import Pair
from reportgen.chosen import chosen_methods, lasting, layers_for
from reportgen.config import Config
from reportgen.core.cores import cores
from reportgen.core.progress import Progress
from reportgen.core.report import Report
from reportgen.data.load import load_images
from reportgen.engine.compilation_cache import cache_programs
from reportgen.engine.cpu import divide_cpu
from reportgen.engine.digest import code_digest, digest
from reportgen.engine.hosts import join_hosts
from reportgen.engine.kept import Kept
from reportgen.engine.known_answers import known_answers
from reportgen.engine.memory import peak
from reportgen.engine.rows import Engine
from reportgen.measurements import measured
from reportgen.methods.survey import Survey
from reportgen.models.load import Network, load_model, open_network
from reportgen.models.select import select_layers
from reportgen.outcome import Outcome, Stage, write_log
from reportgen.render import house, numbers, pdf
from reportgen.render.colour import check_colormap
from reportgen.render.painter import Painter
from reportgen.running import compute, look, prepare
from reportgen.sections import failed, sections


def list_layers(node: DictConfig) -> Network:
    """The network of a configuration; no weights are read and nothing is computed."""
    return open_network(configuration.read(node))


def run(node: DictConfig, *, target: Path, overrides: Sequence[str], progress: Progress) -> Outcome:
    """Make one report.

    Args:
      node: the composed configuration.
      target: the report's folder, unless it is archived; it appears only when the report is whole.
      overrides: what the user asked for on the command line, recorded in the report.

    Raises:
      UserError: if the configuration, data, weights or folder are wrong.
    """
    begun = time.perf_counter()
    config = configuration.read(node)
    chosen, audits = chosen_methods(config, overrides), chosen_audits(config.audit)
    for name in ("weights", "activations", "heatmap", "signed", "matrix"):
        check_colormap(getattr(config.colormap, name))
    own = house.gathered(config.report)
    pdf.standards(own.rendering.pdf, source_date())
    baseline = read_baseline(config.baseline, config.archive.dir)
    text = _config_yaml(node)
    config_sha256 = hashlib.sha256(text.encode()).hexdigest()
    release = planned(
        config.archive,
        model=config.model.name,
        config_sha256=config_sha256,
        report_dir=config.report.dir,
    )
    _start_jax(config)
    # BLAS sums in an order that depends on how many threads it has, which a job on one core of
    # several inherits from whoever imported NumPy. What is summed with it here is small.
    with (
        threadpool_limits(1, user_api="blas"),
        _place(target, release) as place,
        Painter() as painter,
    ):
        folder = place.folder
        progress.start("model and images", 1)
        network = open_network(config)
        select_layers(network.outline.layers, config.layers)  # even if no method takes layers
        for name in chosen.methods:
            layers_for(name, chosen, network.outline.layers, config.layers)
        for check in audits.values():
            select_layers(network.outline.layers, check.layers or ("all",))
        # First, so that images are decoded while weights are read and programs compiled.
        images = load_images(config.data, network.spec, network.classes, config.seed)
        model, weights = load_model(network, config)
        answers = known_answers(lowerings=model.kernels is not None)
        progress.advance(1)
        loaded = numbers.counted(images.listed, "image")
        progress.finish(loaded)
        engine = Engine.local(
            config.engine.batch,
            config.engine.memory_budget,
            weights=sum(leaf.nbytes for leaf in jax.tree.leaves(model)),
            early_ranking=config.engine.early_ranking,
            bfloat16=config.engine.bfloat16,
            kept=_kept(config),
        )
        survey = Survey(model, images, engine)
        jobs = [prepare(name, chosen, config=config, survey=survey) for name in chosen.methods]
        stages = [Stage("model and images", loaded, time.perf_counter() - begun)]
        look(survey, progress, stages)
        drawing = painter if _writes() else None
        results, failures = compute(jobs, engine, progress, stages, drawing)
        metrics = {k: v for result in results.values() for k, v in result.metrics.items()}
        (folder / CONFIG).write_text(text, encoding="utf-8")
        made = provenance(
            device=_device(),
            seed=config.seed,
            config_sha256=config_sha256,
            known_answers=answers,
        )
        draft = Report(
            title=config.report.title or f"Report on {model.name}",
            model=cards.model_card(network, model, weights),
            data=cards.data_card(images),
            metrics=metrics,
            findings=(
                *cards.wrong_answers(answers, made),
                *(failed(name, failure) for name, failure in failures.items()),
                *cards.findings(config, network, model, weights, images),
                *(finding for result in results.values() for finding in result.findings),
            ),
            sections=sections(jobs, results, failures, stages, chosen, images, model),
            provenance=made,
            command=shlex.join(["reportgen", *lasting(overrides)]),
            banners=cards.banners(weights),
            rendering=own.rendering,
            fail_on=config.audit.fail_on,
            measured=measured(survey),
        )
        pair = None if baseline is None else Pair(baseline.report, draft)
        configs = (None if baseline is None else baseline.config, read_config(folder))
        audit = Auditing(audits, Evidence(survey, metrics, pair), draft, date.today(), configs)
        report = _audited(audit, progress, stages)
        if not _writes():
            return Outcome(place.target, report, tuple(stages), time.perf_counter() - begun, False)
        started = time.perf_counter()
        progress.start("results and pages", 1)
        own.write(folder)
        ledger = pages.draw(report, folder, painter)
        if audit.late:
            taken = Finished(
                sizes=pages.sizes_of(folder),
                seconds=time.perf_counter() - begun,
                memory=peak(),
                timings=config.report.timings,
            )
            report = audit.after_pages(taken)
            ledger = pages.draw_again(report, folder, painter)
        write_statement(report, folder)
        progress.advance(1)
        progress.finish("HTML, PDF")
        now = time.perf_counter()
        stages.append(Stage("results and pages", "HTML, PDF", now - started))
        traces = [failure.trace for failure in failures.values() if failure.trace]
        told = [*engine.told, *_told(engine), *ledger.lines(), *traces]
        write_log(folder, stages, now - begun, told)
    seconds = time.perf_counter() - begun
    notes = (*ledger.notes, *place.notes)
    return Outcome(place.target, report, tuple(stages), seconds, notes=notes)


def _writes() -> bool:
    """Whether this host writes the report that several make."""
    return jax.process_index() == 0


@contextmanager
def _place(target: Path, release: Release | None) -> Iterator[Place]:
    """The folder to write to, or on other hosts one that is thrown away."""
    if not _writes():
        with tempfile.TemporaryDirectory() as scratch:
            yield Place(Path(scratch), target)
    elif release is not None:
        with release.placed() as place:
            yield place
    else:
        with staged(target) as folder:
            yield Place(folder, target)


def _start_jax(config: Config) -> None:
    divide_cpu(config.engine.cpu_devices)
    join_hosts(config.engine.hosts)
    if config.engine.compilation_cache:
        cache_programs(Path(platformdirs.user_cache_dir("reportgen")) / "xla")


def _kept(config: Config) -> Kept:
    """Finished work of runs on the same devices and cores, with the same versions and code."""
    devices = [(device.platform, device.device_kind) for device in jax.local_devices()]
    return Kept(
        Path(platformdirs.user_cache_dir("reportgen")) / "work",
        config.engine.kept,
        digest(code_digest(), package_versions(), devices, cores(), config.engine.bfloat16),
        config.resume,
    )


def _device() -> str:
    devices = jax.devices()
    kind = devices[0].device_kind
    return f"{len(devices)} × {devices[0].platform}" + ("" if kind == "cpu" else f" ({kind})")


def _audited(audit: Auditing, progress: Progress, stages: list[Stage]) -> Report:
    if not audit.early:
        return audit.before_pages(lambda done: None)
    began = time.perf_counter()
    progress.start("audit", len(audit.early))
    report = audit.before_pages(progress.advance)
    made = numbers.counted(len(audit.early), "check")
    progress.finish(made)
    stages.append(Stage("audit", made, time.perf_counter() - began))
    return report


def _config_yaml(node: DictConfig) -> str:
    """The resolved configuration, but for where the report goes and what was found again."""
    copied = node.copy()
    with open_dict(copied):
        copied.report.dir, copied.resume = None, True
        del copied.archive
    return OmegaConf.to_yaml(copied, resolve=True)


def _told(engine: Engine) -> list[str]:
    kept = engine.kept
    if kept is None:
        return []
    return [f"finished work: {kept.found} pieces found, {kept.made} made and kept", *kept.told]
