"""What changed in the numbers of two reports: metrics, checks, cards, settings, environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reportgen.compare.part import Part, Tally
from reportgen.core.blocks import Block, Cell, Finding, Table
from reportgen.core.drift import shared_images
from reportgen.core.report import DataCard, ModelCard, Report, headline
from reportgen.render import numbers

Config = Mapping[str, Any]

_DIGITS = 12  # of a digest
_BASELINE = "baseline"  # the key that names the base itself
_CLASSES = 12  # that are called otherwise


@dataclass(frozen=True)
class _Listed:
    """Rows of what differs, and how many rows are equal."""

    rows: Sequence[tuple[Cell, ...]]
    equal: int

    def table(self, title: str, columns: tuple[str, ...]) -> tuple[Table, ...]:
        if not self.rows:
            return ()
        caption = f"{title}: {len(self.rows)} of {len(self.rows) + self.equal} differ"
        return (Table(columns=columns, rows=tuple(self.rows), caption=caption),)


def changes(base: Report, candidate: Report, configs: tuple[Config | None, Config | None]) -> Part:
    """Tables of what differs, with a count of what is equal.

    Args:
      configs: what each report was made by; None where that is not known.
    """
    sides = ("base", "candidate")
    metrics = _metrics(base.metrics, candidate.metrics)
    checks = _checks(base, candidate)
    found = _findings(base.findings, candidate.findings)
    renamed = _classes(base.model.classes, candidate.model.classes)
    model = _differing(_model(base.model), _model(candidate.model), renamed)
    data = _differing(_data(base.data), _data(candidate.data), _images(base, candidate))
    environment = _differing(_environment(base), _environment(candidate))
    known = [
        {key: value for key, value in config.items() if key != _BASELINE}
        for config in configs
        if config is not None
    ]
    settings = _Listed(*_settings(known[0], known[1], "")) if len(known) == 2 else _Listed([], 0)
    tables: tuple[Block, ...] = (
        *metrics.table("Metrics", ("metric", *sides, "change")),
        *checks.table(
            "Checks of each report",
            ("check", "base, outcome", "candidate, outcome", "base", "candidate", "change"),
        ),
        *found.table("Findings", ("state", "severity", "check", "where", "message")),
        *model.table("Model", ("model", *sides)),
        *data.table("Data", ("data", *sides)),
        *settings.table("Configuration", ("key", *sides)),
        *environment.table("Environment", ("environment", *sides)),
    )
    listed = (
        ("metrics", metrics),
        ("checks", checks),
        ("findings", found),
        ("facts of the model", model),
        ("facts of the data", data),
        ("keys of the configuration", settings),
        ("facts of the environment", environment),
    )
    alone, _ = headline(candidate.metrics)
    both = {name: (base.metrics[name], alone[name]) for name in alone if name in base.metrics}
    return Part(
        blocks=tables,
        told=" ".join(_moved(name, *pair) for name, pair in both.items() if not _same(*pair)),
        metrics={
            f"{numbers.CHANGE}{name}": after - before for name, (before, after) in both.items()
        },
        tallies=tuple(
            Tally(what=what, changed=len(rows.rows), equal=rows.equal) for what, rows in listed
        ),
    )


def _moved(name: str, before: float, after: float) -> str:
    sides = " → ".join(numbers.cell(value, name) for value in (before, after))
    return f"{name[:1].upper()}{name[1:]} {sides} ({numbers.change(after - before, name)})."


def _settings(base: Config, candidate: Config, above: str) -> tuple[list[tuple[Cell, ...]], int]:
    """Rows of keys with other values, and how many are equal; what one side lacks is one row."""
    rows: list[tuple[Cell, ...]] = []
    equal = 0
    for key in _keys(base, candidate):
        name, pair = f"{above}{key}", (base.get(key), candidate.get(key))
        if all(key in side and isinstance(side[key], Mapping) for side in (base, candidate)):
            below, same = _settings(base[key], candidate[key], f"{name}.")
            rows, equal = rows + below, equal + (same or not below)
        elif key in base and key in candidate and _same(*pair):
            equal += 1
        else:
            shown = (_shown(side, key) for side in (base, candidate))
            rows.append((name, *shown))
    return rows, equal


def _shown(config: Config, key: str) -> Cell:
    if key not in config:
        return None
    value = config[key]
    if isinstance(value, Mapping) and value:
        return numbers.counted(len(flattened(value)), "key")
    return numbers.setting(value)


def flattened(config: Config, before: str = "") -> dict[str, Cell]:
    """Values as one would type them, by dotted keys; lists are values."""
    found: dict[str, Cell] = {}
    for key, value in config.items():
        name = f"{before}{key}"
        if isinstance(value, Mapping) and value:
            found |= flattened(value, f"{name}.")
        else:
            found[name] = numbers.setting(value)
    return found


def _same(one: Any, other: Any) -> bool:
    return bool(one == other or (one != one and other != other))


def _keys(base: Mapping[str, Any], candidate: Mapping[str, Any]) -> list[str]:
    """Of both, in the candidate's order, then what only the base has."""
    return list(dict.fromkeys((*candidate, *base)))


def _differing(
    base: Mapping[str, Cell],
    candidate: Mapping[str, Cell],
    more: Sequence[tuple[Cell, ...]] = (),
) -> _Listed:
    rows: list[tuple[Cell, ...]] = []
    names = _keys(base, candidate)
    for name in names:
        one, other = base.get(name), candidate.get(name)
        if not _same(one, other):
            rows.append((name, *_told(name, one, other)))
    return _Listed([*rows, *more], len(names) - len(rows))


def _told(name: str, one: Cell, other: Cell) -> tuple[Cell, Cell]:
    """Of digests the first digits, where they tell the two apart."""
    if "SHA-256" not in name or str(one)[:_DIGITS] == str(other)[:_DIGITS]:
        return one, other
    return str(one or "")[:_DIGITS] or None, str(other or "")[:_DIGITS] or None


def _metrics(base: Mapping[str, float], candidate: Mapping[str, float]) -> _Listed:
    rows: list[tuple[Cell, ...]] = []
    names = _keys(base, candidate)
    for name in names:
        one, other = base.get(name), candidate.get(name)
        if not _same(one, other):
            rows.append((name, one, other, _change(one, other)))
    return _Listed(rows, len(names) - len(rows))


def _change(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else other - one


def _checks(base: Report, candidate: Report) -> _Listed:
    before = {check.name: check for check in base.checks}
    after = {check.name: check for check in candidate.checks}
    rows: list[tuple[Cell, ...]] = []
    names = _keys(before, after)
    for name in names:
        one, other = before.get(name), after.get(name)
        outcomes = tuple(None if check is None else check.outcome for check in (one, other))
        values = tuple(None if check is None else check.value for check in (one, other))
        if outcomes[0] != outcomes[1] or not _same(*values):
            rows.append((name, *outcomes, *values, _change(*values)))
    return _Listed(rows, len(names) - len(rows))


def _findings(base: Sequence[Finding], candidate: Sequence[Finding]) -> _Listed:
    """Those that the other report does not have: of the same check at the same place."""

    def place(finding: Finding) -> tuple[str, str, str]:
        return finding.severity, finding.check, finding.where

    before, after = set(map(place, base)), set(map(place, candidate))
    rows: list[tuple[Cell, ...]] = [
        (word, finding.severity, finding.check, finding.where, finding.message)
        for word, own, other in (("new", candidate, before), ("gone", base, after))
        for finding in own
        if place(finding) not in other
    ]
    return _Listed(rows, len(before & after))


def _model(model: ModelCard) -> dict[str, Cell]:
    return {
        "name": model.name,
        "architecture": model.architecture,
        "framework": model.framework,
        "evaluation mode": model.evaluation,
        "layers": model.layers,
        "parameters": model.parameters,
        "batch statistics": model.statistics,
        "FLOPs for one image": model.flops,
        "input": model.input,
        "preprocessing": model.preprocessing,
        "weights, SHA-256": model.weights_sha256,
        "random weights": model.weights_random,
        "tensors that did not fit": len(model.weights_problems),
        "scores": model.scores,
        "classes": len(model.classes),
    }


def _classes(base: Sequence[str], candidate: Sequence[str]) -> list[tuple[Cell, ...]]:
    """What is called otherwise: swapped names change what every number of a class means."""
    pairs = zip(base, candidate, strict=False)
    other = [(index, *pair) for index, pair in enumerate(pairs) if pair[0] != pair[1]]
    rows: list[tuple[Cell, ...]] = [(f"class {i}", one, two) for i, one, two in other[:_CLASSES]]
    if len(other) > _CLASSES:
        rows.append((f"{len(other) - _CLASSES} more classes are called otherwise", None, None))
    return rows


def _data(data: DataCard) -> dict[str, Cell]:
    return {
        "images": data.count,
        "labelled": data.labelled,
        "left out": len(data.skipped),
        "SHA-256": data.sha256,
    }


def _images(base: Report, candidate: Report) -> list[tuple[Cell, ...]]:
    """Which images are the same by their pixels, and which of these have another label."""
    if base.measured is None or candidate.measured is None:
        return []
    one, other = base.measured, candidate.measured
    places = shared_images(one, other)
    rows: list[tuple[Cell, ...]] = []
    if not len(one.names) == len(other.names) == len(places):
        both = f"{len(places)} of "
        words = tuple(f"{both}{numbers.counted(len(m.names), 'image')}" for m in (one, other))
        rows.append(("that the other has, by their pixels", *words))
    labels = one.labels[places[:, 0]], other.labels[places[:, 1]]
    if relabelled := int((labels[0] != labels[1]).sum()):
        rows.append(("the same images with another label", None, relabelled))
    return rows


def _environment(report: Report) -> dict[str, Cell]:
    """What made the report, and where things lay: it may change while the network does not."""
    made = report.provenance
    dirty = "" if made.git_dirty is None else " with uncommitted changes" * made.git_dirty
    return {
        "reportgen": made.reportgen,
        "Python": made.python,
        "device": made.device,
        "seed": made.seed,
        "git commit": f"{made.git_commit[:_DIGITS]}{dirty}" or None,
        "created": made.created or None,
        "weights": report.model.weights,
        "images": report.data.source,
        **{f"package {name}": version for name, version in sorted(made.packages.items())},
    }
