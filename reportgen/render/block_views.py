"""Each block as plain data for the templates: numbers formatted, pictures drawn and named.

A block type without an entry here is passed on with its fields formatted, so that a new type needs
its class and its two templates only; types with pictures register a function.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields
from functools import singledispatch
from typing import Any

import numpy as np

from reportgen.core import blocks
from reportgen.render import colour, diagram, numbers, pictures, plots
from reportgen.render.assets import Assets
from reportgen.render.layout import rows
from reportgen.render.sketches import sketches
from reportgen.render.text import Names, added, shorten, slug
from reportgen.render.unit_views import units_view

View = dict[str, Any]

_ALT = 600
_COUNTED = re.compile(r"(.*?)(\d{1,9})")
_SHORT = 26


@dataclass(frozen=True)
class Place:
    """Where a block stands.

    Attributes:
      id: of what holds it.
      level: of its headings.
      command: the command line of its section.
    """

    id: str
    level: int
    assets: Assets
    ids: Names
    command: str


def block_view(block: Any, place: Place) -> View:
    """A block as data for its templates, with ``type`` first among equals."""
    return {"type": block.type, **_view(block, place)}


@singledispatch
def _view(block: Any, place: Place) -> View:
    return {part.name: _plain(getattr(block, part.name), part.name) for part in fields(block)}


def _plain(value: Any, name: str) -> Any:
    return (
        [_plain(part, name) for part in value] if isinstance(value, tuple) else numbers.cell(value)
    )


@_view.register
def _(block: blocks.KeyValues, place: Place) -> View:
    return {"title": block.title, "pairs": pairs(block.pairs)}


@_view.register
def _(block: blocks.Table, place: Place) -> View:
    body = [*block.rows, block.totals] if block.totals else list(block.rows)
    return {
        "caption": block.caption,
        "columns": [
            {"name": name, "numeric": _numeric([row[index] for row in body if index < len(row)])}
            for index, name in enumerate(block.columns)
        ],
        "rows": [_cells(row, block.columns) for row in block.rows],
        "totals": _cells(block.totals, block.columns) if block.totals else [],
    }


def _numeric(cells: list[Any]) -> bool:
    numbers_only = [isinstance(cell, int | float) and not isinstance(cell, bool) for cell in cells]
    filled = [cell is not None for cell in cells]
    return any(filled) and all(
        is_number or not is_filled
        for is_number, is_filled in zip(numbers_only, filled, strict=True)
    )


def _cells(row: tuple[Any, ...], columns: tuple[str, ...]) -> list[str]:
    padded = [*row, *[None] * (len(columns) - len(row))]
    names = list(columns)
    if columns[:1] == ("metric",):
        # A row of a metric is read as the metric is: accuracies in percent, changes in points.
        names = [f"{numbers.CHANGE}{row[0]}" if n == "change" else str(row[0]) for n in columns]
    return [numbers.cell(cell, name) for cell, name in zip(padded, names, strict=False)]


@_view.register
def _(block: blocks.Montage, place: Place) -> View:
    (sketch,) = sketches(block)
    tiles = np.asarray(block.tiles)
    count, height, width = tiles.shape[:3]
    of = f"{numbers.counted(count, 'tile')} of {width} × {height} values"
    alt = f"{block.caption.title}: {of} in rows of {block.columns}, {_range_words(block)}."
    if block.labels:
        alt += f" Tiles: {shorten(_listed(block.labels), _ALT)}."
    name = f"{place.id[:44]}-{slug(block.part)}-montage" if block.part else _name(block, place)
    return {
        **_figure(block.caption, place, f"{of}.", _bad_note(tiles)),
        "images": [place.assets.picture(name, sketch, alt)],
        "range": _range(block, place),
        "part": block.part,
        "labels": list(block.labels),
        "listed": _listed(block.labels),
        "tiles": count,
    }


def _range(block: blocks.Montage, place: Place) -> View:
    low, high, note = numbers.number(block.low), numbers.number(block.high), ""
    if block.scale == "each":
        centred = ", centred on zero" if colour.is_diverging(block.colormap) else ""
        note = f"Every tile has its own range{centred}; all lie within {low} … {high}."
        low, high = "tile’s low", "tile’s high"
    bar = ""
    if block.colormap is not None:
        bar = place.assets.colour_bar(block.colormap)
    else:
        low, high = f"{low} (black)", f"{high} (white)"
    return {"low": low, "high": high, "bar": bar, "name": block.colormap or "", "note": note}


def _range_words(block: blocks.Montage) -> str:
    if block.scale == "each":
        return "every tile drawn over its own range"
    return f"drawn from {numbers.number(block.low)} to {numbers.number(block.high)}"


@_view.register
def _(block: blocks.Heatmap, place: Place) -> View:
    labels = ("image", "map", "overlay")
    images = []
    for label, sketch in zip(labels, sketches(block), strict=True):
        name = f"{_name(block, place)}-{label}"
        image = place.assets.picture(name, sketch, f"{block.caption.title}: {label}.")
        images.append({**image, "label": label})
    return {
        **_figure(block.caption, place, _bad_note(np.asarray(block.map))),
        "images": images,
        "range": _map_range(block, place),
        "facts": pairs(block.facts),
    }


def _map_range(part: blocks.Heatmap | blocks.ComparedMap, place: Place) -> View:
    return {
        "low": numbers.number(part.low),
        "high": numbers.number(part.high),
        "bar": place.assets.colour_bar(part.colormap),
        "name": part.colormap,
        "note": "",
    }


@_view.register
def _(block: blocks.Comparison, place: Place) -> View:
    sketch, *drawn = sketches(block)
    name, title = _name(block, place), block.caption.title
    image = place.assets.picture(f"{name}-image", sketch, f"{title}: image.")
    entries: list[View] = [
        {"images": [{**image, "label": "image"}], "title": "image", "subtitle": "", "range": None}
    ]
    for part, overlay, painted in zip(block.maps, drawn[::2], drawn[1::2], strict=True):
        images = []
        for label, sketch in (("overlay", overlay), ("map", painted)):
            own = f"{name}-{slug(part.title)}-{label}"
            image = place.assets.picture(own, sketch, f"{part.title}: {label}.")
            images.append({**image, "label": label})
        entries.append(
            {
                "images": images,
                "title": part.title,
                "subtitle": part.subtitle,
                "range": _map_range(part, place),
            }
        )
    return {**_figure(block.caption, place), "images": [], "entries": entries}


@_view.register
def _(block: blocks.Histogram, place: Place) -> View:
    counts, edges = np.asarray(block.counts), np.asarray(block.edges)
    alt = f"{block.caption.title}: histogram of {block.x_label}."
    if len(counts):
        most = int(np.argmax(counts))
        spread = f"{numbers.number(edges[0])} to {numbers.number(edges[-1])}"
        peak = f"{numbers.number(edges[most])} and {numbers.number(edges[most + 1])}"
        total = numbers.counted(int(counts.sum()), "value")
        alt = f"{alt[:-1]}, {total} from {spread}, most between {peak}."
    return _plot_figure(block, plots.histogram(block), alt, place)


@_view.register
def _(block: blocks.Curve, place: Place) -> View:
    lines = [
        f"{series.name} from {numbers.number(series.y[0])} to {numbers.number(series.y[-1])}"
        for series in block.series
        if len(series.y)
    ]
    over = f"{block.caption.title}: {block.y_label} over {block.x_label}"
    alt = f"{over}; {shorten(', '.join(lines), _ALT)}."
    return _plot_figure(block, plots.curve(block), alt, place)


@_view.register
def _(block: blocks.Bars, place: Place) -> View:
    said = []
    for series in block.series:
        values = np.asarray(series.values, np.float64).tolist()
        told = [
            f"{name} {numbers.cell(value, block.x_label)}"
            for name, value in zip(block.names, values, strict=True)
            if not math.isnan(value)
        ]
        said.append(f"{series.name}: {', '.join(told)}")
    alt = f"{block.caption.title}: bars of {block.x_label}. {shorten('; '.join(said), _ALT)}."
    return _plot_figure(block, plots.bars(block), alt, place)


@_view.register
def _(block: blocks.Matrix, place: Place) -> View:
    values = np.asarray(block.values, np.float64)
    high_rows, wide = values.shape
    alt = (
        f"{block.caption.title}: matrix of {high_rows} rows ({block.row_title}) by {wide} columns "
        f"({block.column_title})."
    )
    if plots.matrix_fits(block):
        return _plot_figure(block, plots.matrix(block), alt, place)
    (sketch,) = sketches(block)
    low, high = pictures.matrix_range(values)
    return {
        **_figure(block.caption, place, _bad_note(values)),
        "images": [place.assets.picture(_name(block, place), sketch, alt)],
        "range": {
            "low": numbers.number(low),
            "high": numbers.number(high),
            "bar": place.assets.colour_bar(block.colormap),
            "name": block.colormap,
            "note": f"Rows: {block.row_title}; columns: {block.column_title}.",
        },
    }


@_view.register
def _(block: blocks.Gallery, place: Place) -> View:
    entries = []
    for item, sketch in zip(block.items, sketches(block), strict=True):
        bars = [
            {
                "label": label,
                "text": numbers.percent(value),
                "value": f"{min(max(value, 0.0), 1.0):.4f}" if math.isfinite(value) else "0",
            }
            for label, value in item.bars
        ]
        entries.append(
            {
                "image": place.assets.picture(_name(block, place), sketch, item.title),
                "title": item.title,
                "subtitle": item.subtitle,
                "mark": item.mark,
                "bars": bars,
            }
        )
    return {**_figure(block.caption, place), "images": [], "entries": entries}


@_view.register
def _(block: blocks.Diagram, place: Place) -> View:
    images = []
    for part in diagram.diagram(block, place.assets.templates):
        alt = f"{block.caption.title}: layers {part.first} to {part.last} as boxes in their order."
        size = part.width, part.height
        name = _name(block, place)
        images.append(place.assets.drawing(name, part.light, part.dark, size, alt))
    return {**_figure(block.caption, place), "images": images}


@_view.register
def _(block: blocks.Finding, place: Place) -> View:
    return finding_view(block)


@_view.register
def _(block: blocks.Units, place: Place) -> View:
    figure = _figure(block.caption, place)
    cards = units_view(block, place.id[:44], place.assets, place.ids)
    return {**figure, **cards, "level": place.level}


@_view.register
def _(block: blocks.Group, place: Place) -> View:
    own = place.ids.take(slug(place.id, block.title))
    inner = Place(own, place.level + 1, place.assets, place.ids, place.command)
    return {
        "id": own,
        "title": block.title,
        "subtitle": block.subtitle,
        "layer": block.layer,
        "level": place.level,
        "rows": rows([block_view(part, inner) for part in block.blocks]),
    }


def finding_view(finding: blocks.Finding) -> View:
    """A finding with the numbers that were compared, as words."""
    compared = []
    if finding.value is not None:
        compared.append(f"value {numbers.cell(float(finding.value))}")
    if finding.threshold is not None:
        compared.append(f"threshold {numbers.cell(float(finding.threshold))}")
    return {
        "type": finding.type,
        "severity": finding.severity,
        "check": finding.check,
        "message": finding.message,
        "where": finding.where,
        "numbers": ", ".join(compared),
        "advice": finding.advice,
    }


def pairs(found: tuple[tuple[str, Any], ...]) -> list[View]:
    """Names and formatted values; ``short`` ones are aligned at the right edge, others wrap."""
    return [
        {
            "name": name,
            "value": numbers.cell(value, name),
            "short": len(numbers.cell(value, name)) <= _SHORT,
        }
        for name, value in found
    ]


def _plot_figure(block: Any, plot: plots.Plot, alt: str, place: Place) -> View:
    size = plot.width, plot.height
    image = place.assets.drawing(_name(block, place), plot.light, plot.dark, size, alt)
    return {**_figure(block.caption, place), "images": [image]}


def _figure(caption: blocks.Caption, place: Place, *notes: str) -> View:
    return {
        "id": place.ids.take(slug(place.id, caption.title)),
        "title": caption.title,
        "detail": _sentences(caption.detail, *notes),
        "formula": caption.formula,
        "override": added(caption.override, place.command),
        "range": None,
    }


def _sentences(*parts: str) -> str:
    """Parts as sentences one after another, whether or not they end with a full stop."""
    filled = [part.rstrip() for part in parts if part.strip()]
    ended = [part if part[-1] in ".!?" else f"{part}." for part in filled[:-1]]
    return " ".join([*ended, *filled[-1:]])


def _listed(labels: tuple[str, ...]) -> str:
    """Names of tiles in words; ``unit 0 to unit 63`` where they only count on."""
    found = [_COUNTED.fullmatch(label) for label in labels]
    if len(labels) > 2 and all(found):
        heads = {match[1] for match in found if match}
        steps = [int(match[2]) for match in found if match]
        if len(heads) == 1 and steps == list(range(steps[0], steps[0] + len(steps))):
            return f"{labels[0]} to {labels[-1]}"
    return ", ".join(labels)


def _name(block: Any, place: Place) -> str:
    return f"{place.id[:44]}-{block.type}"


def _bad_note(values: np.ndarray) -> str:
    count = int(values.size - np.isfinite(values).sum())
    if not count:
        return ""
    return (
        f"{numbers.integer(count)} of {numbers.counted(values.size, 'value')} "
        f"{'is' if count == 1 else 'are'} not finite (NaN or infinite), drawn in magenta."
    )
