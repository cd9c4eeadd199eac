"""A Report as one plain dictionary that HTML and PDF are both drawn from: nothing is said twice."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from reportgen.core.blocks import Group
from reportgen.core.report import (
    CHANGES,
    DataCard,
    ModelCard,
    Provenance,
    Report,
    Section,
    headline,
)
from reportgen.render import numbers
from reportgen.render.assets import Assets
from reportgen.render.block_views import Place, View, block_view, finding_view
from reportgen.render.contact_sheet import contact_sheet
from reportgen.render.contents import contents
from reportgen.render.layout import rows
from reportgen.render.strip import strip
from reportgen.render.text import Names, printable, slug
from reportgen.render.verdict import SEVERITIES, checks_view, verdict

_RESERVED = (
    "top",
    "summary",
    "findings",
    "audit",
    "about",
    "contents",
    "run",
    "provenance",
    "model",
    "data",
)
_CLASSES_SHOWN = 12
_ORDER = re.compile(r"^\d+[-_]+")
_FIGURES = frozenset(
    {"montage", "heatmap", "histogram", "curve", "matrix", "gallery", "diagram"}
    | {"comparison", "bars", "units"}
)


def report_view(report: Report, assets: Assets) -> View:
    """Everything the templates print, in order, as text; pictures are drawn into ``assets``."""
    ids = Names(*_RESERVED)
    named = zip(_section_ids(report, ids), report.sections, strict=True)
    sections = [_section(own, section, assets, ids) for own, section in named]
    extras = [_extra(name, assets, ids) for name in assets.templates.sections]
    assets.begin("")
    alone, maps = headline(report.metrics)
    view: View = {
        "title": report.title,
        "command": report.command,
        "banners": list(report.banners),
        "verdict": verdict(report),
        "checks": checks_view(report.checks),
        "metrics": metrics_view(alone),
        "facts": _facts(report),
        "strip": strip((section, walk_rows(section["rows"])) for section in sections),
        "maps": block_view(maps, Place("summary", 3, assets, ids, "")) if maps else None,
        "model": {
            "name": report.model.name,
            "rows": _model_rows(report.model),
            "problems": list(report.model.weights_problems),
        },
        "data": {
            "source": report.data.source,
            "rows": _data_rows(report.data),
            "skipped": [{"name": name, "reason": why} for name, why in report.data.skipped],
        },
        "findings": [
            finding_view(finding)
            for severity in SEVERITIES
            for finding in report.findings
            if finding.severity == severity
        ],
        "sections": sections,
        "extras": extras,
        "logo": None,
        "provenance": _provenance_rows(report.provenance),
        "packages": [
            {"name": name, "version": version}
            for name, version in sorted(report.provenance.packages.items())
        ],
        "created": report.provenance.created,
        "reportgen": report.provenance.reportgen,
    }
    clean: View = _printable(view)
    return clean


def metrics_view(metrics: Mapping[str, float]) -> list[View]:
    """Headline numbers by name, in their order."""
    return [{"name": name, "value": numbers.cell(value, name)} for name, value in metrics.items()]


def section_titles(report: Report) -> dict[str, str]:
    """Titles of a report's sections by the ids that its page has them under."""
    ids = _section_ids(report, Names(*_RESERVED))
    return {own: section.title for own, section in zip(ids, report.sections, strict=True)}


def _section_ids(report: Report, ids: Names) -> list[str]:
    """Taken before all others, so that a link into a report needs nothing but its methods."""
    return [ids.take(slug(section.method)) for section in report.sections]


def _extra(name: str, assets: Assets, ids: Names) -> View:
    """A section of the house's: its title is its file's name, without a number that orders it."""
    words = _ORDER.sub("", name, count=1).replace("_", " ").replace("-", " ").strip() or name
    return {
        "id": ids.take(slug(name)),
        "name": name,
        "title": words[:1].upper() + words[1:],
        "html": f"sections/{name}.html.j2" in assets.templates.own,
        "typ": f"sections/{name}.typ" in assets.templates.own,
    }


def _section(own: str, section: Section, assets: Assets, ids: Names) -> View:
    assets.begin(section.title)
    place = Place(own, 3, assets, ids, section.command)
    drawn = [block_view(block, place) for block in section.blocks]
    groups = [block for block in drawn if block["type"] == Group.type]
    laid_out = rows(drawn)
    figures = sum(view["type"] in _FIGURES for view in walk_rows(laid_out))
    return {
        "id": own,
        "method": section.method,
        "title": section.title,
        "intro": section.intro,
        "command": section.command,
        "skipped": section.skipped,
        "leads": section.method == CHANGES,
        "failed": section.failed,
        "programs": numbers.counted(section.programs, "compiled program")
        if section.programs
        else "",
        "settings": [
            {"name": str(name), "value": numbers.setting(value)}
            for name, value in section.settings.items()
        ],
        "rows": laid_out,
        "groups": [{"id": group["id"], "title": group["title"]} for group in groups],
        "contents": contents(groups),
        "sheet": contact_sheet(groups),
        "outcome": _outcome(section, figures),
    }


def _outcome(section: Section, figures: int) -> str:
    if section.failed:
        return "failed"
    return "skipped" if section.skipped else numbers.counted(figures, "figure")


def walk_rows(rows: list[View]) -> Iterator[View]:
    """All blocks of rows, those of groups after the group."""
    for row in rows:
        for block in (*row["main"], *row["side"]):
            yield block
            if block["type"] == Group.type:
                yield from walk_rows(block["rows"])


def _facts(report: Report) -> list[View]:
    """The report in a line: what, how large, which weights, on what, when."""
    model, data, made = report.model, report.data, report.provenance
    weights = "random weights" if model.weights_random else f"weights {model.weights_sha256[:12]}"
    images = numbers.counted(data.count, "image")
    return _filled(
        _row("Architecture", f"{model.architecture.rpartition(':')[2]} ({model.framework})"),
        _row("Parameters", f"{numbers.quantity(model.parameters)} parameters"),
        _row("FLOPs for one image", f"{numbers.quantity(model.flops)} FLOPs"),
        _row("Weights, SHA-256", weights),
        _row("Data", f"{images}, {data.source}" if data.count else "no images"),
        _row("Device", made.device),
        _row("Created", made.created),
    )


def _row(name: str, value: str, style: str = "") -> View:
    return {"name": name, "value": value, "style": style}


def _filled(*found: View) -> list[View]:
    return [row for row in found if row["value"]]


def _model_rows(model: ModelCard) -> list[View]:
    weights = f"{model.weights} (random, not trained)" if model.weights_random else model.weights
    return _filled(
        _row("Name", model.name),
        _row("Architecture", model.architecture),
        _row("Framework", model.framework),
        _row("Layers", numbers.integer(model.layers)),
        _row("Parameters", _both(model.parameters)),
        _row("Batch statistics", _statistics(model.statistics)),
        _row("FLOPs for one image", f"{_both(model.flops)}; a multiply-add is two"),
        _row("Input", model.input),
        _row("Preprocessing", model.preprocessing),
        _row("Evaluation mode", model.evaluation),
        _row("Weights", weights),
        _row("Weights, SHA-256", model.weights_sha256, "code"),
        _row("Scores", model.scores),
        _row("Classes", _classes(model.classes)),
    )


def _both(count: int) -> str:
    """A large count in full and for the eye."""
    short = numbers.quantity(count)
    full = numbers.integer(count)
    return full if count < 1_000_000 else f"{full} ({short})"


def _statistics(count: int) -> str:
    return f"{_both(count)} besides, measured and not trained" if count else ""


def _classes(classes: tuple[str, ...]) -> str:
    if not classes:
        return ""
    shown = ", ".join(classes[:_CLASSES_SHOWN])
    more = ", …" if len(classes) > _CLASSES_SHOWN else ""
    return f"{numbers.integer(len(classes))}: {shown}{more}"


def _data_rows(data: DataCard) -> list[View]:
    return _filled(
        _row("Source", data.source),
        _row("Images", numbers.integer(data.count)),
        _row("Labels", "yes" if data.labelled else "none"),
        _row("Left out", numbers.counted(len(data.skipped), "image") if data.skipped else ""),
        _row("SHA-256", data.sha256, "code"),
        _row("Licence", data.licence),
    )


def _provenance_rows(made: Provenance) -> list[View]:
    commit = made.git_commit
    if commit and made.git_dirty:
        commit += " with uncommitted changes"
    return _filled(
        _row("reportgen", made.reportgen),
        _row("Python", made.python),
        _row("Device", made.device),
        _row("Known answers", made.known_answers.words if made.known_answers else ""),
        _row("Seed", str(made.seed)),
        _row("Config, SHA-256", made.config_sha256, "code"),
        _row("Git commit", commit, "code"),
        _row("Created", made.created),
    )


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {key: _printable(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_printable(part) for part in value]
    return value
