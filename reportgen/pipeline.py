"""The one file that knows all stages: configuration, model, images, methods, results, files."""

from __future__ import annotations

import hashlib
import platform
import shlex
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import jax
import platformdirs
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf, open_dict

from reportgen import config as configuration
from reportgen.archive.folder import LOG, staged, write_results
from reportgen.archive.provenance import provenance
from reportgen.compose import options
from reportgen.config import Config
from reportgen.core.blocks import DataCard, Finding, ModelCard, Report, Section
from reportgen.core.errors import ConfigError, NotApplicableError, did_you_mean
from reportgen.core.images import ImageBatch
from reportgen.core.progress import Progress
from reportgen.core.settings import parse
from reportgen.data.load import load_images
from reportgen.methods.base import Context, Method, Result, fold_in_name
from reportgen.models.base import LayerInfo, Model
from reportgen.models.factory import KERAS_FILE
from reportgen.models.load import Network, Weights, load_model, open_network
from reportgen.models.select import select_layers
from reportgen.render import numbers
from reportgen.render.colour import check_colormap
from reportgen.render.report import render_report


@dataclass(frozen=True)
class Stage:
    """One row of the table at the end: what was made, how much of it, seconds."""

    name: str
    made: str
    seconds: float


@dataclass(frozen=True)
class Outcome:
    """A finished report and where the time went."""

    folder: Path
    report: Report
    stages: tuple[Stage, ...]
    seconds: float


@dataclass(frozen=True)
class _Job:
    """A method with all it needs, checked before anything is computed."""

    name: str
    method: Method
    settings: dict[str, Any]
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
    for name in ("weights", "activations", "heatmap", "signed", "matrix"):
        check_colormap(getattr(config.colormap, name))
    methods = {name: _method(name, keys) for name, keys in config.method.items()}
    with staged(target) as folder:
        _start_jax(config)
        progress.start("model and images", 1)
        network = open_network(config)
        select_layers(network.outline.layers, config.layers)  # even if no method takes layers
        for name, method in methods.items():
            _select(name, method, network.outline.layers, config)
        # First, so that images are decoded while weights are read and programs compiled.
        images = load_images(config.data, network.spec, network.classes, config.seed)
        model, weights = load_model(network, config)
        progress.advance(1)
        loaded = numbers.counted(images.listed, "image")
        progress.finish(loaded)
        own = [o for o in overrides if not o.startswith(("report.dir=", "hydra."))]
        prepare = partial(_prepare, config=config, model=model, images=images, own=own)
        jobs = [prepare(name, method) for name, method in methods.items()]
        stages = [Stage("model and images", loaded, time.perf_counter() - begun)]
        sections, results = _compute(jobs, progress, stages)
        text = _config_yaml(node)
        (folder / "config.yaml").write_text(text, encoding="utf-8")
        report = Report(
            title=config.report.title or f"Report on {model.name}",
            model=_model_card(network, model, weights),
            data=_data_card(images),
            metrics={k: v for result in results for k, v in result.metrics.items()},
            findings=(
                *_unseen_layers(network),
                *_weights_of_factory(config),
                *_unfit_weights(weights),
                *_other_channel_order(weights, model),
                *_skipped_images(images),
                *_noted(images),
                *(finding for result in results for finding in result.findings),
            ),
            sections=tuple(sections),
            provenance=provenance(
                device=_device(),
                seed=config.seed,
                config_sha256=hashlib.sha256(text.encode()).hexdigest(),
            ),
            command=shlex.join(["reportgen", *own]),
            banners=_banners(weights),
        )
        started = time.perf_counter()
        progress.start("results and pages", 1)
        write_results(report, folder)
        render_report(report, folder)
        progress.advance(1)
        progress.finish("HTML, PDF")
        now = time.perf_counter()
        stages.append(Stage("results and pages", "HTML, PDF", now - started))
        _write_log(folder, stages, now - begun)
    return Outcome(target, report, tuple(stages), time.perf_counter() - begun)


def _start_jax(config: Config) -> None:
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


def _method(name: str, keys: dict[str, Any]) -> Method:
    values = dict(keys)
    target = values.pop("_target_", None)
    if target is None:
        raise ConfigError(
            f"method.{name} has settings, but the method is not chosen.",
            f"Choose it: method=[…,{name}]. {did_you_mean(name, options('method'))}",
        )
    try:
        cls = get_class(target)
    except Exception as error:
        raise ConfigError(
            f"method.{name}._target_ {target!r} cannot be imported: {error}"
        ) from error
    if not issubclass(cls, Method):
        raise ConfigError(f"method.{name}._target_ {target!r} is no Method.")
    return parse(cls, values, f"method.{name}")


def _select(
    name: str, method: Method, layers: tuple[LayerInfo, ...], config: Config
) -> tuple[tuple[LayerInfo, ...], str]:
    """A method's layers, and why there are none.

    Raises:
      ModelError: if a pattern names no layer.
      NotApplicableError: if the method's own choice holds no layer that it can use.
    """
    if not hasattr(method, "layers"):
        return (), ""
    own = method.layers
    chosen = select_layers(layers, config.layers if own is None else own)
    usable = tuple(layer for layer in chosen if not method.rejects(layer))
    if usable:
        return usable, ""
    reason = f"{name} has no layer to work on: {method.rejects(chosen[0])}."
    if own is not None or len(config.method) == 1:
        fitting = [layer.path for layer in layers if not method.rejects(layer)]
        raise NotApplicableError(reason, f"It applies to: {', '.join(fitting) or 'none'}.")
    return (), reason


def _prepare(
    name: str,
    method: Method,
    *,
    config: Config,
    model: Model,
    images: ImageBatch,
    own: Sequence[str],
) -> _Job:
    settings = {k: v for k, v in config.method[name].items() if k != "_target_"}
    layers, reason = _select(name, method, model.layers, config)
    job = partial(_Job, name, method, settings)
    if reason:
        return job(None, 0, reason)
    context = Context(
        model=model,
        images=images,
        layers=layers,
        colormap=config.colormap,
        timings=config.report.timings,
        key=fold_in_name(jax.random.key(config.seed), name),
        batch=config.engine.batch,
        advance=lambda done: None,
        command=partial(_command, own, name),
    )
    try:
        if method.needs_images and not images.listed:
            raise NotApplicableError(f"{name} needs images, and data=none gives none.")
        return job(context, method.work(context))
    except NotApplicableError as error:
        if len(config.method) == 1:
            raise
        return job(None, 0, str(error))


def _command(own: Sequence[str], method: str, *more: str) -> str:
    """The command line that makes one method's section alone."""
    kept = [
        override
        for override in own
        if not override.startswith("method=")
        and (not override.startswith("method.") or override.startswith(f"method.{method}."))
        and override.partition("=")[0] not in {extra.partition("=")[0] for extra in more}
    ]
    return shlex.join(["reportgen", *kept, f"method={method}", *more])


def _compute(
    jobs: Sequence[_Job], progress: Progress, stages: list[Stage]
) -> tuple[list[Section], list[Result]]:
    sections, results = [], []
    for job in jobs:
        began = time.perf_counter()
        result = Result(blocks=())
        made = "skipped" if job.skipped else numbers.counted(job.work, *job.method.unit)
        if job.context is not None:
            progress.start(job.name, job.work)
            context = Context(**{**job.context.__dict__, "advance": progress.advance})
            result = job.method.run(context)
            progress.finish(made)
        results.append(result)
        sections.append(
            Section(
                method=job.name,
                title=job.method.title,
                blocks=result.blocks,
                intro=result.intro,
                command="" if job.context is None else job.context.command(),
                skipped=job.skipped,
                settings=job.settings,
            )
        )
        stages.append(Stage(job.name, made, time.perf_counter() - began))
    return sections, results


def _config_yaml(node: DictConfig) -> str:
    """The resolved configuration, without where the report goes: equal runs are equal files."""
    copied = node.copy()
    with open_dict(copied):
        copied.report.dir = None
    return OmegaConf.to_yaml(copied, resolve=True)


def _banners(weights: Weights) -> tuple[str, ...]:
    if weights.random:
        return (f"The weights are {weights.source}: nothing in this report was learned.",)
    if weights.drawn:
        named = ", ".join(weights.drawn[:3]) + (", …" if len(weights.drawn) > 3 else "")
        count = f"{len(weights.drawn)} of the network's parameters"
        return (f"{count} are random, since the weights file does not give them: {named}.",)
    return ()


def _model_card(network: Network, model: Model, weights: Weights) -> ModelCard:
    spec = model.spec
    mean, std = (", ".join(f"{value:g}" for value in part) for part in (spec.mean, spec.std))
    order = "" if spec.channels == 1 else f", {spec.order.upper()}"
    return ModelCard(
        name=model.name,
        architecture=model.architecture,
        framework=network.adapted.framework,
        evaluation=network.adapted.evaluation,
        layers=len(model.layers),
        parameters=model.parameter_count - model.statistics_count,
        statistics=model.statistics_count,
        flops=model.flops,
        input=f"{spec.height} × {spec.width} × {spec.channels}{order}",
        preprocessing=f"{spec.resizing}; (pixels × {spec.scale:.6g} − [{mean}]) / [{std}]",
        weights=weights.source,
        weights_sha256=weights.sha256,
        weights_random=weights.random,
        scores=model.head.words,
        classes=model.classes,
        weights_problems=weights.problems,
    )


def _data_card(images: ImageBatch) -> DataCard:
    return DataCard(
        source=images.source,
        count=len(images),
        labelled=images.labels is not None,
        sha256=images.sha256,
        skipped=tuple((item.name, item.reason) for item in images.skipped),
        licence=images.licence,
    )


def _unseen_layers(network: Network) -> tuple[Finding, ...]:
    return tuple(
        Finding(
            severity="warn",
            check="model",
            message=f"Layer {path} runs inside of {around}, where its output cannot be seen.",
            where=path,
            value=None,
            advice="Move the call out of it to have the layer in the report.",
        )
        for path, around in network.outline.hidden
    )


def _weights_of_factory(config: Config) -> tuple[Finding, ...]:
    # A saved model is a file that holds its weights.
    if config.weights.source != "factory" or config.model.factory.endswith(KERAS_FILE):
        return ()
    return (
        Finding(
            severity="warn",
            check="weights",
            message=f"The weights are as {config.model.factory} makes them, and may be random: "
            "it cannot be seen whether it loads any.",
            where=config.model.factory,
            value=None,
            advice="If it draws them, say so by weights=random; else give their file by "
            "weights.path=….",
        ),
    )


def _unfit_weights(weights: Weights) -> tuple[Finding, ...]:
    if not weights.problems:
        return ()
    count = len(weights.problems)
    return (
        Finding(
            severity="warn",
            check="weights",
            message=f"{count} tensors of the weights file and the network do not fit each other, "
            f"the first: {weights.problems[0].strip()}.{_drawn(weights)}",
            where=weights.source,
            value=float(count),
            advice="They are listed with the model; weights.strict=true refuses such a file.",
        ),
    )


def _drawn(weights: Weights) -> str:
    if not weights.drawn:
        return ""
    named = ", ".join(weights.drawn[:3]) + (", …" if len(weights.drawn) > 3 else "")
    count = numbers.counted(len(weights.drawn), "parameter")
    return f" {count} of the network drawn at random instead: {named}."


# By whose names a weights file uses: the channel order that networks published there were trained
# with, and the presets that give it.
_CONVENTIONS = {
    "torchvision": ("rgb", "torchvision"),
    "timm": ("rgb", "torchvision or vit"),
    "keras": ("bgr", "keras_caffe"),
    "keras_legacy": ("bgr", "keras_caffe"),
    "caffe": ("bgr", "caffe"),
}


def _other_channel_order(weights: Weights, model: Model) -> tuple[Finding, ...]:
    order, presets = _CONVENTIONS.get(weights.scheme, (model.spec.order, ""))
    if model.spec.channels != 3 or model.spec.order == order:
        return ()
    return (
        Finding(
            severity="warn",
            check="weights",
            message=f"The weights have names of {weights.scheme}, whose networks take "
            f"{order.upper()}; the input is {model.spec.order.upper()}.",
            where=weights.source,
            advice="If they were trained there, choose preprocessing="
            f"{presets}; if by you, on this input, all is well.",
        ),
    )


def _skipped_images(images: ImageBatch) -> tuple[Finding, ...]:
    if not images.skipped:
        return ()
    total = len(images) + len(images.skipped)
    first = images.skipped[0]
    return (
        Finding(
            severity="warn",
            check="data",
            message=f"{len(images.skipped)} of {total} images were skipped, the first: "
            f"{first.name} ({first.reason}).",
            where=images.source,
            value=float(len(images.skipped)),
            advice="They are listed with the data; mend or remove them.",
        ),
    )


def _noted(images: ImageBatch) -> tuple[Finding, ...]:
    return tuple(
        Finding(severity="warn", check="data", message=note, where=images.source)
        for note in images.notes
    )


def _write_log(folder: Path, stages: Sequence[Stage], seconds: float) -> None:
    """Clock, host and timings; the one file of a report that is never hashed."""
    lines = [
        f"finished {datetime.now().astimezone().isoformat(timespec='seconds')}",
        f"host {socket.gethostname()}, {platform.platform()}",
        *(f"{stage.seconds:9.3f} s  {stage.name}: {stage.made}" for stage in stages),
        f"{seconds:9.3f} s  total",
    ]
    (folder / LOG).write_text("\n".join(lines) + "\n", encoding="utf-8")
