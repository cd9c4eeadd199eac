"""Small lines of numbers over an archive's reports, as coordinates that a template draws."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

View = dict[str, Any]

WIDTH, HEIGHT = 240, 48
_EDGE = 5  # room for a dot at the border
_FAR = 4  # times as high as all else, which would be flat beside it


@dataclass(frozen=True)
class Point:
    """One report's value; None where it has none.

    Attributes:
      outcome: ``good``, ``warn``, ``fail`` or ``info``; empty if nothing judged it.
      warn, fail: the thresholds that it was held against.
    """

    value: float | None
    outcome: str = ""
    warn: float | None = None
    fail: float | None = None


def sparkline(points: Sequence[Point]) -> View:
    """The points as lines in a box of ``WIDTH`` by ``HEIGHT``, thresholds among them.

    Values that are missing or not finite leave a gap. Dots mark what was not good, and the last.
    A threshold of failure that is far from all else is left out.

    Returns:
      ``lines``, ``warn`` and ``fail``: texts of coordinates, one for each piece of a line;
      ``dots``: each with ``x``, ``y`` and ``outcome``.
    """
    columns: dict[str, list[float | None]] = {
        "lines": [point.value for point in points],
        "warn": [point.warn for point in points],
        "fail": [point.fail for point in points],
    }
    near = _finite([*columns["lines"], *columns["warn"]])
    shown = [*near, *_finite(columns["fail"])]
    if near and 0 < _FAR * _span(near) < _span(shown):
        shown, columns["fail"] = near, [None] * len(points)
    low, high = min(shown, default=0.0), max(shown, default=0.0)
    places = [_across(i, len(points)) for i in range(len(points))]
    drawn = {
        name: [
            None if v is None or not math.isfinite(v) else (x, _down(v, low, high))
            for x, v in zip(places, values, strict=True)
        ]
        for name, values in columns.items()
    }
    last = max((i for i, place in enumerate(drawn["lines"]) if place), default=-1)
    dots = [
        {"x": _text(place[0]), "y": _text(place[1]), "outcome": point.outcome or "none"}
        for i, (place, point) in enumerate(zip(drawn["lines"], points, strict=True))
        if place and (i == last or point.outcome in ("warn", "fail"))
    ]
    return {**{name: _pieces(found) for name, found in drawn.items()}, "dots": dots}


def _finite(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None and math.isfinite(value)]


def _span(values: Sequence[float]) -> float:
    return max(values) / 2 - min(values) / 2  # halved: that of the largest floats is no float


def _across(index: int, count: int) -> float:
    inner = WIDTH - 2 * _EDGE
    return _EDGE + (inner * index / (count - 1) if count > 1 else inner)


def _down(value: float, low: float, high: float) -> float:
    inner = HEIGHT - 2 * _EDGE
    share = _span([low, value]) / _span([low, high]) if high > low else 0.5
    return _EDGE + inner * (1 - share)


def _pieces(places: Sequence[tuple[float, float] | None]) -> list[str]:
    """Coordinates without a gap; a place alone becomes a short stroke, or it would not be seen."""
    pieces: list[list[tuple[float, float]]] = [[]]
    for place in places:
        if place is None:
            pieces.append([])
        else:
            pieces[-1].append(place)
    return [
        " ".join(
            f"{_text(x)},{_text(y)}" for x, y in (piece if len(piece) > 1 else _stroke(*piece))
        )
        for piece in pieces
        if piece
    ]


def _stroke(place: tuple[float, float]) -> list[tuple[float, float]]:
    x, y = place
    return [(max(0.0, x - 3), y), (min(float(WIDTH), x + 3), y)]


def _text(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
