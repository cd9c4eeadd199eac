"""The command ``compare``: two report folders become a third, without JAX."""

from __future__ import annotations

import hashlib
import re
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from reportgen import config as configuration
from reportgen import pages
from reportgen.archive.baseline import read_config
from reportgen.archive.folder import CONFIG, read_report, staged
from reportgen.archive.provenance import provenance, source_date
from reportgen.archive.resolve import resolve
from reportgen.archive.statement import write_statement
from reportgen.audits.choice import chosen_audits
from reportgen.audits.pair import Pair
from reportgen.audits.run import run_drift, told
from reportgen.compare.compared import Compared, bare, compared
from reportgen.compose import compose_from
from reportgen.config import Config
from reportgen.core.errors import ConfigError, OutputError, did_you_mean
from reportgen.core.progress import Progress
from reportgen.core.report import Report, headline
from reportgen.outcome import Outcome, Stage, write_log
from reportgen.render import house, pdf
from reportgen.render.numbers import counted
from reportgen.render.painter import Painter

_GROUPS = ("audit", "report")  # what of the configuration a comparison reads
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")
_NAME = 80  # letters of a report's name in a folder's


@dataclass(frozen=True)
class Side:
    """One of the two reports.

    Attributes:
      config: the content of its config.yaml; None if it has none.
    """

    name: str
    folder: Path
    report: Report
    config: dict[str, Any] | None


def run(base: str, candidate: str, overrides: Sequence[str], progress: Progress) -> Outcome:
    """Make the report that compares two.

    Args:
      base, candidate: as on the command line: folders, or names in the archive.
      overrides: keys of ``audit`` and ``report``, and ``archive.dir``.

    Raises:
      UserError: if a folder is no report, or the configuration is wrong.
    """
    begun = time.perf_counter()
    node = _composed(overrides)
    config = configuration.read(node)
    audits = chosen_audits(config.audit)
    own = house.gathered(config.report)
    pdf.standards(own.rendering.pdf, source_date())
    stages: list[Stage] = []
    archive = config.archive.dir
    folders = resolve(base, archive), resolve(candidate, archive)
    names = _names(*folders, Path(archive))
    target = _target(config, folders, names)
    started = _begin(progress, "reports", 2)
    before, after = (
        Side(name, path, read_report(path), read_config(path))
        for name, path in zip(names, folders, strict=True)
    )
    for side in (before, after):
        if side.report.sections and not bare(side.report).sections:
            raise OutputError(
                f"{side.folder} is itself a comparison of two reports.",
                f"Compare the reports: {side.report.command}",
            )
    _finish(progress, stages, "reports", "2 reports", started)
    with staged(target) as folder:
        started = _begin(progress, "comparison", 1)
        found = compared(before.report, after.report, (before.config, after.config))
        judged = told(run_drift(audits, Pair(before.report, after.report), date.today()))
        made = counted(len(judged[0]), "check")
        _finish(progress, stages, "comparison", made, started)
        text = _config_yaml(node, names)
        (folder / CONFIG).write_text(text, encoding="utf-8")
        report = replace(
            _report(after.report, found, config),
            title=config.report.title or f"{before.name} → {after.name}",
            findings=(*judged[1], *found.findings),
            checks=judged[0],
            provenance=provenance(
                device="none: two reports were read",
                seed=after.report.provenance.seed,
                config_sha256=hashlib.sha256(text.encode()).hexdigest(),
            ),
            command=shlex.join(["reportgen", "compare", base, candidate, *_lasting(overrides)]),
            rendering=own.rendering,
        )
        started = _begin(progress, "results and pages", 1)
        own.write(folder)
        with Painter() as painter:
            ledger = pages.draw(report, folder, painter)
        write_statement(report, folder)
        _finish(progress, stages, "results and pages", "HTML, PDF", started)
        seconds = time.perf_counter() - begun
        write_log(folder, stages, seconds, ledger.lines())
    return Outcome(target, report, tuple(stages), seconds, notes=ledger.notes)


def _report(candidate: Report, found: Compared, config: Config) -> Report:
    """Model and data are the candidate's: it is what the reader decides about."""
    alone, _ = headline(bare(candidate).metrics)
    return replace(
        candidate,
        metrics={**alone, **found.metrics},
        sections=found.sections,
        fail_on=config.audit.fail_on,
        measured=None,
    )


def _composed(overrides: Sequence[str]) -> DictConfig:
    """The configuration, of which a comparison reads audit and report alone.

    Raises:
      ConfigError: for a key of another group.
    """
    for override in overrides:
        key, given, _ = override.lstrip("+~").partition("=")
        if not given:
            raise ConfigError(
                f"{override!r} is no KEY=VALUE.", "reportgen compare BASE CANDIDATE [KEY=VALUE…]"
            )
        if key.split(".")[0] not in _GROUPS and key != "archive.dir":
            keys = [f"report.{name}" for name in configuration.ReportConfig.__annotations__]
            raise ConfigError(
                f"compare computes nothing, so it takes no {key!r}; it reads audit, report and "
                "archive.dir.",
                did_you_mean(key, ["audit", "audit.fail_on", "archive.dir", *keys]),
            )
    chosen = any(override.startswith("audit=") for override in overrides)
    return compose_from([*([] if chosen else ["audit=standard"]), *overrides])


def _names(base: Path, candidate: Path, archive: Path) -> tuple[str, str]:
    """The last parts of two paths, as many as tell them apart.

    Of an archive's reports the hash of the configuration is left out where it does not.
    """
    one, other = (_parts(path, archive) for path in (base, candidate))
    if one == other:  # the same report, or two of one release
        one, other = base.absolute().parts, candidate.absolute().parts
    if one == other:
        return one[-1], other[-1]
    count = 1
    while one[-count:] == other[-count:]:
        count += 1
    return "/".join(one[-count:]), "/".join(other[-count:])


def _parts(path: Path, archive: Path) -> tuple[str, ...]:
    """Of a path; of a report in the archive model and release."""
    root, own = archive.resolve(), path.resolve()
    if root in own.parents and len(own.relative_to(root).parts) == 3:
        return own.parts[:-1]
    return path.absolute().parts


def _target(config: Config, folders: Sequence[Path], names: Sequence[str]) -> Path:
    """Where the comparison goes: never where one of the two is.

    Raises:
      ConfigError: if it is one of the two reports.
    """
    plain = [_UNSAFE.sub("_", name)[:_NAME] for name in names]
    target = Path(config.report.dir or f"outputs/compare-{'-'.join(plain)}")
    if target.resolve() in [folder.resolve() for folder in folders]:
        raise ConfigError(
            f"report.dir is {target}, which is one of the two reports that are compared.",
            "Choose another folder: report.dir=…",
        )
    return target


def _lasting(overrides: Sequence[str]) -> list[str]:
    return [override for override in overrides if not override.startswith("report.dir=")]


def _config_yaml(node: DictConfig, names: Sequence[str]) -> str:
    """What the comparison was made by, without where it goes."""
    plain = OmegaConf.to_container(node, resolve=True)
    assert isinstance(plain, dict)
    own = {group: plain[group] for group in _GROUPS}
    own["report"] = {**own["report"], "dir": None}
    sides = dict(zip(("base", "candidate"), names, strict=True))
    return OmegaConf.to_yaml(OmegaConf.create({"compare": sides, **own}))


def _begin(progress: Progress, stage: str, work: int) -> float:
    progress.start(stage, work)
    return time.perf_counter()


def _finish(progress: Progress, stages: list[Stage], stage: str, made: str, started: float) -> None:
    progress.finish(made)
    stages.append(Stage(stage, made, time.perf_counter() - started))
