"""The comparison of two reports: its sections, in the order in which a reader asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from reportgen.compare.changes import Config, changes
from reportgen.compare.gaps import gaps
from reportgen.compare.layers import layers
from reportgen.compare.maps import maps
from reportgen.compare.part import CHECK, COUNTS, Part
from reportgen.compare.pictures import pictures
from reportgen.compare.predictions import predictions
from reportgen.core.blocks import Block, Finding, Table, Text
from reportgen.core.report import CHANGES, Report, Section
from reportgen.render import numbers

_TITLES = {
    CHANGES: "What changed",
    "changed_predictions": "Changed predictions",
    "changed_layers": "Changed layers",
    "changed_pictures": "Changed pictures",
    "changed_maps": "Changed maps",
    "not_compared": "What could not be compared",
}
# What a machine, a day or a file's name makes another, while the network stays the same.
_OF_BASELINES = (CHECK, "baseline")
_CIRCUMSTANCES = ("keys of the configuration", "facts of the environment")


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A comparison as a report shows it.

    Attributes:
      metrics: changes of headline numbers (``Δ accuracy``) and counts, unrounded.
    """

    sections: tuple[Section, ...]
    findings: tuple[Finding, ...]
    metrics: dict[str, float] = field(default_factory=dict)


def compared(
    base: Report,
    candidate: Report,
    configs: tuple[Config | None, Config | None] = (None, None),
) -> Compared:
    """Hold a candidate against a base, with all that both reports keep.

    Args:
      configs: the content of each one's config.yaml; None where there is none.
    """
    base, candidate = bare(base), bare(candidate)
    told = changes(base, candidate, configs)
    parts = {
        "changed_predictions": predictions(base, candidate),
        "changed_layers": layers(base, candidate),
        "changed_pictures": pictures(base, candidate),
        "changed_maps": maps(base, candidate),
    }
    every = [told, *parts.values()]
    rest = gaps(base, candidate, configs, [gap for part in every for gap in part.gaps])
    verdict, nothing = _verdict(every, rest)
    top = Part(blocks=(*verdict, *told.blocks), intro=_sides(base, candidate))
    named = {CHANGES: top, **parts, "not_compared": rest}
    return Compared(
        sections=tuple(
            Section(method=name, title=_TITLES[name], intro=part.intro, blocks=part.blocks)
            for name, part in named.items()
            if part.blocks
        ),
        findings=(*nothing, *(found for part in (*every, rest) for found in part.findings)),
        metrics={name: value for part in every for name, value in part.metrics.items()},
    )


def bare(report: Report) -> Report:
    """A report without what it tells of an earlier one, and of the run that made it.

    That is compared with no other.
    """
    left = {*_OF_BASELINES, *(one.name for one in report.checks if one.about != "network")}
    return replace(
        report,
        sections=tuple(one for one in report.sections if one.method not in _TITLES),
        checks=tuple(one for one in report.checks if one.name not in left),
        findings=tuple(one for one in report.findings if one.check not in left),
        metrics={
            name: value
            for name, value in report.metrics.items()
            if not name.startswith(numbers.CHANGE) and name not in COUNTS
        },
    )


def beside(report: Report, found: Compared) -> Report:
    """A report with what changed since an earlier one, whose pictures it then holds itself."""
    return replace(
        report,
        sections=(*report.sections, *found.sections),
        findings=(*found.findings, *report.findings),
        metrics={**report.metrics, **found.metrics},
    )


def _sides(base: Report, candidate: Report) -> str:
    told = [
        f"{side}: {report.title}, {report.model.name}, weights {report.model.weights_sha256[:12]}"
        for side, report in (("Base", base), ("candidate", candidate))
    ]
    return "; ".join(told) + "."


def _verdict(every: Sequence[Part], rest: Part) -> tuple[tuple[Block, ...], tuple[Finding, ...]]:
    """What changed, in sentences and as a table; a finding if nothing did.

    Args:
      rest: what could not be compared.
    """
    tallies = [tally for part in every for tally in part.tallies if tally.changed or tally.equal]
    changed = [tally.what for tally in tallies if tally.changed]
    network = [what for what in changed if what not in _CIRCUMSTANCES]
    words = " ".join(part.told for part in every if part.told)
    if not network and any(gap.grave for gap in rest.gaps):
        words = "What could be compared is equal, but not all could be."
    elif not changed:
        words = "Nothing changed: all that was compared is equal."
    elif not network:
        words = f"Nothing changed but {' and '.join(changed)}: all results are equal."
    table = Table(
        columns=("compared", "differ", "equal"),
        rows=tuple((tally.what, tally.changed, tally.equal) for tally in tallies),
    )
    nothing = () if network else (Finding(severity="info", check=CHECK, message=words),)
    said = (Text(text=words),) if words else ()
    return (*said, table), nothing
