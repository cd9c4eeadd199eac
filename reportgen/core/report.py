"""A whole report: its sections, the cards of model and data, and what made it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field

from reportgen.core.blocks import Block, Finding, Number, Table
from reportgen.core.checks import Check
from reportgen.core.known_answers import KnownAnswers
from reportgen.core.measured import Measured

SCHEMA_VERSION = 2
CHANGES = "changes"  # the section that pages show before the cards of model and data

# In the names of metrics: maps that never saw the network, and a measure.
RANDOM, BLOB = "random map", "centred blob"
SHUFFLED = "rank correlation, weights shuffled ↓"

# A report may come from elsewhere: what becomes a path or a rule of a style sheet has a form.
Colour = Annotated[str, Field(pattern=r"^(#[0-9a-f]{6})?$")]
LogoFile = Annotated[str, Field(pattern=r"^(logo\.(png|webp|jpg|svg))?$")]
TemplateFile = Annotated[
    str, Field(pattern=r"^([A-Za-z0-9_][A-Za-z0-9_-]*/)?[A-Za-z0-9_][A-Za-z0-9_.-]*$")
]


@dataclass(frozen=True, kw_only=True)
class Section:
    """What one method made.

    Attributes:
      method: its name in the configuration.
      settings: its resolved settings.
      command: the command line that makes this section alone.
      skipped: why the method did not apply; empty if it ran.
      failed: what went wrong, empty if nothing did; and what that makes of the command's
        ``exit_code``: 1 for a bug, 2 for wrong input or a lack of memory.
      programs: compiled for it, besides those of sections before it: one for each shape of input.
    """

    method: str
    title: str
    blocks: tuple[Block, ...]
    intro: str = ""
    command: str = ""
    skipped: str = ""
    failed: str = ""
    exit_code: Literal[0, 1, 2] = 0
    settings: dict[str, Any] = field(default_factory=dict)
    programs: int = 0


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """The network in numbers.

    Attributes:
      framework: what the network is written in.
      evaluation: how evaluation mode was set.
      parameters: trained ones; mean and variance of batches are ``statistics``.
      flops: for one image; a multiply-add counts as two.
      weights_problems: what of the weights file did not fit, where that was allowed.
      scores: what is explained.
    """

    name: str
    architecture: str
    framework: str
    evaluation: str
    layers: int
    parameters: int
    flops: int
    input: str
    preprocessing: str
    weights: str
    weights_sha256: str
    weights_random: bool
    scores: str
    classes: tuple[str, ...]
    weights_problems: tuple[str, ...] = ()
    statistics: int = 0


@dataclass(frozen=True, kw_only=True)
class DataCard:
    """The images that were used."""

    source: str
    count: int
    labelled: bool
    sha256: str
    skipped: tuple[tuple[str, str], ...]
    licence: str = ""


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What made this report: enough to make it again.

    Attributes:
      config_sha256: of config.yaml.
      git_commit, git_dirty: of the working directory; empty and None outside a repository.
      created: time from SOURCE_DATE_EPOCH (ISO 8601, UTC), else empty: a clock would make two
        equal runs differ.
      known_answers: whether this build of JAX computed rightly on the device; None where nothing
        was computed, and in reports of before it was asked.
    """

    reportgen: str
    python: str
    packages: dict[str, str]
    device: str
    seed: int
    config_sha256: str
    git_commit: str
    git_dirty: bool | None
    created: str
    known_answers: KnownAnswers | None = None


@dataclass(frozen=True, kw_only=True)
class Rendering:
    """How the pages are drawn.

    Attributes:
      bundle: ``dir``: pictures, style and script beside the page; ``single``: all inside of it.
      max_mb: what report.html and assets/ may take, in megabytes of 10**6 bytes; None for any size.
      pdf: ``a-2``: PDF/UA-1, and PDF/A-2a where the report's date is known; ``a-3``: PDF/UA-1 and
        PDF/A-3a that carries results.json.
      templates: the house's, in ``templates/`` of the report, which win over the shipped ones.
      logo: the house's, in ``templates/`` too; may be empty.
      accent, accent_dark: the house's colour in both themes (``#rrggbb``); empty for the shipped.
    """

    bundle: Literal["dir", "single"] = "dir"
    max_mb: float | None = None
    pdf: Literal["a-2", "a-3"] = "a-2"
    templates: tuple[TemplateFile, ...] = ()
    logo: LogoFile = ""
    accent: Colour = ""
    accent_dark: Colour = ""


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything a renderer needs; the content of results.json.

    Attributes:
      banners: warnings for the head of every page, such as random weights.
      metrics: headline numbers, unrounded, such as accuracy (0..1). Those of several maps are
        named ``MAP: MEASURE``.
      command: the command line of the whole report.
      checks: of the audit, in its order; what is wrong is among the findings too.
      fail_on: which findings make the command fail.
      measured: what later reports are compared with; None in reports of schema version 1.
    """

    title: str
    model: ModelCard
    data: DataCard
    metrics: dict[str, Number]
    findings: tuple[Finding, ...]
    sections: tuple[Section, ...]
    provenance: Provenance
    command: str
    banners: tuple[str, ...] = ()
    rendering: Rendering = field(default_factory=Rendering)
    checks: tuple[Check, ...] = ()
    fail_on: Literal["fail", "warn", "never"] = "fail"
    measured: Measured | None = None
    schema_version: Literal[2] = 2

    @property
    def grave(self) -> tuple[str, ...]:
        """Severities of findings that make the command fail."""
        return {"fail": ("fail",), "warn": ("fail", "warn"), "never": ()}[self.fail_on]

    @property
    def failed(self) -> bool:
        """Whether a finding is as grave as ``fail_on`` says."""
        return any(finding.severity in self.grave for finding in self.findings)

    @property
    def exit_code(self) -> int:
        """Of the command that made it: a method's failure outweighs the audit's."""
        codes = {section.exit_code for section in self.sections}
        return next((code for code in (1, 2) if code in codes), 3 if self.failed else 0)


def headline(metrics: Mapping[str, float]) -> tuple[dict[str, float], Table | None]:
    """Metrics that stand alone, and a table of those that maps have: a row each, named ``map``."""
    alone = {name: value for name, value in metrics.items() if ": " not in name}
    ordered = [name.partition(": ") for name in metrics if name not in alone]
    rows = list(dict.fromkeys(row for row, _, _ in ordered))
    columns = list(dict.fromkeys(column for _, _, column in ordered))
    if not rows:
        return alone, None
    return alone, Table(
        columns=("map", *columns),
        rows=tuple((row, *(metrics.get(f"{row}: {column}") for column in columns)) for row in rows),
        caption="How far the maps can be trusted: means over images, beside maps that never saw "
        "the network.",
    )
