"""What two reports do not tell enough of to be compared, or only with care."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from reportgen.compare.changes import Config, flattened
from reportgen.compare.part import CHECK, Gap, Part
from reportgen.core.blocks import Finding, Table, Text
from reportgen.core.report import Report, Section
from reportgen.render.numbers import counted

_KEYS = 6  # settings that are named


def gaps(
    base: Report,
    candidate: Report,
    configs: tuple[Config | None, Config | None],
    found: Iterable[Gap],
) -> Part:
    """Everything that was not compared, the grave first.

    Args:
      found: what the other parts could not compare.
    """
    every = [
        *_unmeasured(base, candidate),
        *found,
        *_configurations(configs),
        *_sections(base, candidate),
        *_seeds(base, candidate),
    ]
    every.sort(key=lambda gap: not gap.grave)
    if not every:
        return Part(blocks=(Text(text="All that both reports hold was compared."),))
    return Part(
        blocks=(Table(columns=("what", "why"), rows=tuple((gap.what, gap.why) for gap in every)),),
        findings=_finding([gap for gap in every if gap.grave]),
        gaps=tuple(every),
    )


def _finding(grave: list[Gap]) -> tuple[Finding, ...]:
    if not grave:
        return ()
    told = "; ".join(f"{gap.what}: {gap.why}" for gap in grave)
    return (
        Finding(
            severity="warn",
            check=CHECK,
            message=f"Not all could be compared. {told[:1].upper()}{told[1:]}.",
            value=float(len(grave)),
            advice="See What could not be compared, and make both reports alike if that matters.",
        ),
    )


def _unmeasured(base: Report, candidate: Report) -> Iterator[Gap]:
    old = [n for n, r in (("base", base), ("candidate", candidate)) if r.measured is None]
    if old:
        which = " and the ".join(old)
        yield Gap(
            what="predictions and layers",
            why=f"the {which} {'keeps' if len(old) == 1 else 'keep'} no measurements of layers and "
            "images, as reports of schema version 1; make the report again to compare them",
            grave=True,
        )
        if base.data.sha256 != candidate.data.sha256:
            yield Gap(
                what="metrics",
                why="the images are not the same (SHA-256), and metrics are of each report’s own",
                grave=True,
            )


def _configurations(configs: tuple[Config | None, Config | None]) -> Iterator[Gap]:
    sides = ("base", "candidate")
    missing = [side for side, config in zip(sides, configs, strict=True) if config is None]
    if missing:
        yield Gap(what="configuration", why=f"no config.yaml of the {' and the '.join(missing)}")


def _sections(base: Report, candidate: Report) -> Iterator[Gap]:
    before = {section.method: section for section in base.sections}
    after = {section.method: section for section in candidate.sections}
    for method in dict.fromkeys((*after, *before)):
        one, other = before.get(method), after.get(method)
        if one is None or other is None:
            own = one or other
            assert own is not None
            side = "candidate" if one is None else "base"
            yield Gap(what=own.title, why=f"only the {side} has it")
        else:
            yield from _section(one, other)


def _section(base: Section, candidate: Section) -> Iterator[Gap]:
    for side, section in (("base", base), ("candidate", candidate)):
        if section.skipped:
            yield Gap(what=section.title, why=f"skipped in the {side}: {section.skipped}")
        if section.failed:
            yield Gap(what=section.title, why=f"failed in the {side}: {section.failed}", grave=True)
    if changed := _settings(base.settings, candidate.settings):
        yield Gap(
            what=candidate.title,
            why=f"other settings, for which its pictures differ as well: {changed}",
        )


def _settings(base: dict[str, Any], candidate: dict[str, Any]) -> str:
    before, after = flattened(base), flattened(candidate)
    changed = [
        f"{key} {before.get(key, '–')} → {after.get(key, '–')}"
        for key in dict.fromkeys((*after, *before))
        if before.get(key) != after.get(key)
    ]
    more = f" and {counted(len(changed) - _KEYS, 'more')}" if len(changed) > _KEYS else ""
    return ", ".join(changed[:_KEYS]) + more


def _seeds(base: Report, candidate: Report) -> Iterator[Gap]:
    one, other = base.provenance.seed, candidate.provenance.seed
    if one != other:
        yield Gap(
            what="random numbers",
            why=f"seed {one} → {other}: a sample of images, and pictures that begin with noise, "
            "differ for that reason as well",
        )
