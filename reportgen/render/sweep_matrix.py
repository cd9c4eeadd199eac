"""Where a sweep's jobs stand on its matrix: rows and columns by the keys that differ among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from reportgen.core.sweep import SweepJob, settings_of
from reportgen.render.text import printable, shorten

_COLUMNS = 5  # that a screen shows beside one another
_VALUE = 48  # letters of a value before its middle is left out
_UNSET = "not set"

View = dict[str, Any]


@dataclass(frozen=True)
class Axes:
    """The keys that differ among jobs, and how they are laid out.

    Attributes:
      values: of each key that differs, in the order of the jobs; None where a job has none.
      rows: keys down the side, the outer first.
      column: key across the top; empty for a single column.
    """

    values: dict[str, list[str | None]]
    rows: tuple[str, ...]
    column: str


def axes(jobs: Sequence[SweepJob]) -> Axes:
    """Of several keys the one with most values that a screen holds goes across, else the shortest.

    A key alone goes across if it fits, and down the side if not.
    """
    settings = [settings_of(job.overrides) for job in jobs]
    keys = dict.fromkeys(key for chosen in settings for key in chosen)
    every = {key: list(dict.fromkeys(chosen.get(key) for chosen in settings)) for key in keys}
    values = {key: found for key, found in every.items() if len(found) > 1}
    if not values:
        return Axes(values, (), "")
    fitting = {key: len(found) for key, found in values.items() if len(found) <= _COLUMNS}
    if len(values) == 1:
        column = next(iter(fitting), "")
    elif fitting:
        column = max(reversed(fitting), key=fitting.__getitem__)
    else:
        column = min(reversed(values), key=lambda key: len(values[key]))
    return Axes(values, tuple(key for key in values if key != column), column)


def matrix(jobs: Sequence[SweepJob]) -> View:
    """The matrix with the jobs' numbers in its cells; a combination that was not run is empty."""
    found = axes(jobs)
    settings = [settings_of(job.overrides) for job in jobs]
    order = {key: {value: i for i, value in enumerate(all_)} for key, all_ in found.values.items()}

    def place(chosen: dict[str, str], keys: Sequence[str]) -> tuple[int, ...]:
        return tuple(order[key][chosen.get(key)] for key in keys)

    across = (found.column,) if found.column else ()
    cells: dict[tuple[int, ...], dict[tuple[int, ...], list[int]]] = {}
    for job, chosen in zip(jobs, settings, strict=True):
        row = cells.setdefault(place(chosen, found.rows), {})
        row.setdefault(place(chosen, across), []).append(job.number)
    columns = range(len(found.values[found.column])) if found.column else None
    rows = sorted(cells)
    heads = _heads(rows, found)
    return {
        "down": [printable(key) for key in found.rows],
        "column": printable(found.column),
        "columns": [_value(value) for value in found.values[found.column]] if across else [],
        "rows": [
            {
                "heads": heads[i],
                "cells": [cells[row].get((c,), []) for c in columns]
                if columns is not None
                else [cells[row].get((), [])],
            }
            for i, row in enumerate(rows)
        ],
    }


def _heads(rows: Sequence[tuple[int, ...]], found: Axes) -> list[list[View]]:
    """Each row's headers; one that stands for several rows is the first one's, with their count."""
    heads: list[list[View]] = [[] for _ in rows]
    for level, key in enumerate(found.rows):
        start = 0
        for outer, same in groupby(rows, lambda row: row[: level + 1]):  # noqa: B023
            span = len(list(same))
            value = _value(found.values[key][outer[-1]])
            heads[start].append({**value, "span": span, "level": level})
            start += span
    return heads


def _value(value: str | None) -> View:
    """A value as it is printed, and in full where that is shortened."""
    text = _UNSET if value is None else printable(value)
    short = shorten(text, _VALUE)
    return {"text": short, "full": text if short != text else ""}


def swept(job: SweepJob, keys: Sequence[str]) -> list[str]:
    """A job's values of some keys, in full."""
    chosen = settings_of(job.overrides)
    return [printable(chosen.get(key, _UNSET)) for key in keys]


def common(jobs: Sequence[SweepJob]) -> list[str]:
    """Overrides that every one of several jobs has."""
    first, *others = [job.overrides for job in jobs] or [()]
    return [printable(word) for word in first if others and all(word in job for job in others)]
