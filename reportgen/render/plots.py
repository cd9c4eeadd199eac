"""Histograms, curves, bars and matrices as SVG by Matplotlib, each in a light and a dark dress.

No pyplot and no global setting: a caller's own Matplotlib state is neither used nor changed.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from reportgen.core.blocks import Bars, Curve, Histogram, Matrix, Series
from reportgen.render import numbers, pictures
from reportgen.render.text import drawable, printable, shorten

INK, MUTED, GRID, SURFACE = "#1f2933", "#55606e", "#dde2e8", "#fefefe"
# Okabe and Ito's palette, which colour-blind readers can tell apart; black is the ink above.
_LINES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_DASHES = ("-", "--", ":", "-.")
_DARK = {
    INK: "#e6e9ee",
    MUTED: "#a3adba",
    GRID: "#343c47",
    SURFACE: "#171c23",
    "#0072b2": "#4aa8e0",
    "#d55e00": "#f08a3c",
    "#009e73": "#2cc49a",
}
_DARK_PATTERN = re.compile("|".join(_DARK))
_STYLE: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9.0,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.unicode_minus": True,
    "axes.linewidth": 0.8,
    "text.color": INK,
    "text.usetex": False,
    "text.parse_math": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "axes.formatter.use_mathtext": False,
    "path.simplify": True,
    "svg.fonttype": "path",
    "svg.hashsalt": "reportgen",
    "svg.image_inline": True,
}
_MATRIX_CELLS = 32
_BAR, _BETWEEN = 0.155, 0.07  # inches: height of a bar, and the gap between names
_BAR_NAME = 26  # letters
_LEGEND_NAMES = 12


@dataclass(frozen=True)
class Plot:
    """One drawing in both dresses, and its size in CSS pixels."""

    light: bytes
    dark: bytes
    width: int
    height: int


def histogram(block: Histogram) -> Plot:
    """Bars from edge to edge; the counts' axis begins at zero."""
    with _axes(3.3, 2.1) as (figure, axes):
        edges = np.asarray(block.edges, np.float64)
        counts = np.asarray(block.counts, np.float64)
        if len(counts) and np.isfinite(edges).all():
            axes.stairs(counts, edges, fill=True, color=_LINES[0], linewidth=0)
            if edges[0] < 0 < edges[-1]:
                axes.axvline(0, color=MUTED, linewidth=0.8, linestyle=(0, (3, 2)))
        axes.set_ylim(bottom=0)
        axes.margins(x=0.01)
        _label(axes, block.x_label, "count")
        _open(axes, whole=True)
        return _save(figure)


def curve(block: Curve) -> Plot:
    """Lines over a common axis; a point alone is drawn as a dot. A legend where there are two."""
    with _axes(4.8, 2.7) as (figure, axes):
        for index, series in enumerate(block.series):
            _line(axes, index, series)
        if block.y_range is not None:
            axes.set_ylim(*block.y_range)
        _label(axes, block.x_label, block.y_label)
        _open(axes)
        if len(block.series) > 1:
            _legend(axes, len(block.series))
        return _save(figure)


def _line(axes: Axes, index: int, series: Series) -> None:
    x, y = np.asarray(series.x, np.float64), np.asarray(series.y, np.float64)
    axes.plot(
        x,
        np.where(np.isfinite(y), y, np.nan),
        color=_LINES[index % len(_LINES)],
        linestyle=_DASHES[index // len(_LINES) % len(_DASHES)],
        linewidth=1.7,
        marker="o" if len(x) <= 24 else "",
        markersize=3.2,
        label=_text(series.name, 32),
    )


def _legend(axes: Axes, count: int) -> None:
    """Names beside the lines; the first dozen, as more would leave no room for the lines."""
    handles, names = axes.get_legend_handles_labels()
    if count > _LEGEND_NAMES:
        names[_LEGEND_NAMES - 1] = f"… {count - _LEGEND_NAMES + 1} more"
    axes.legend(
        handles[:_LEGEND_NAMES],
        names[:_LEGEND_NAMES],
        frameon=False,
        fontsize=8,
        loc="center left",
        bbox_to_anchor=(1.01, 0.5),
        borderaxespad=0.2,
    )


def bars(block: Bars) -> Plot:
    """A bar of each series for every name, with its value at its end; a legend where there are two.

    A value that is not finite has its words and no bar.
    """
    count, among = len(block.names), max(1, len(block.series))
    step = among * _BAR + _BETWEEN
    names = [_text(name, _BAR_NAME) for name in block.names]
    # Long names take their room from the bars, so that two plots stand beside each other.
    width = 4.8 - 0.085 * max(map(len, names), default=0)
    with _axes(width, 0.5 + step * max(1, count)) as (figure, axes):
        for index, series in enumerate(block.series):
            values = np.asarray(series.values, np.float64)
            middles = np.arange(count) * step + (index + 0.5) * _BAR
            lengths = np.where(np.isfinite(values), values, 0.0)
            axes.barh(
                middles,
                lengths,
                height=0.86 * _BAR,
                color=_LINES[index % len(_LINES)],
                label=_text(series.name, 32),
            )
            for middle, value, length in zip(middles, values, lengths, strict=True):
                axes.annotate(
                    numbers.NONE if np.isnan(value) else numbers.cell(float(value), block.x_label),
                    (max(length, 0.0), middle),
                    xytext=(3, 0),
                    textcoords="offset points",
                    va="center",
                    fontsize=7.5,
                )
        axes.set_yticks(np.arange(count) * step + among * _BAR / 2, names)
        _bound(axes, block, max(count * step - _BETWEEN, _BAR))
        if among > 1:
            axes.legend(
                frameon=False,
                fontsize=8,
                ncols=among,
                loc="lower left",
                bbox_to_anchor=(0, 1),
                borderpad=0.2,
            )
        return _save(figure)


def _bound(axes: Axes, block: Bars, height: float) -> None:
    """Names from the top, values from zero."""
    if block.x_range is not None:
        axes.set_xlim(*block.x_range)
    else:
        axes.margins(x=0.02)
        low, high = axes.get_xlim()
        axes.set_xlim(min(low, 0.0), high if high > 0 else 1.0)
    axes.set_ylim(height + _BETWEEN, -_BETWEEN)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    in_percent = numbers.is_share(block.x_label)
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{_tick(100 * value)} %" if in_percent else _tick(value))
    )
    axes.tick_params(length=3, width=0.7)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(_text(block.x_label, 60))


def matrix_fits(block: Matrix) -> bool:
    """Whether the matrix is small enough for names and numbers; a larger one is a picture."""
    return bool(max(np.asarray(block.values).shape) <= _MATRIX_CELLS)


def matrix(block: Matrix) -> Plot:
    """Cells in colour with their values written in them, rows from the top."""
    values = np.asarray(block.values, np.float64)
    rows, columns = values.shape
    side = 0.4 if max(rows, columns) <= 16 else 0.3
    with _axes(1.6 + side * columns, 1.2 + side * rows) as (figure, axes):
        colours = pictures.matrix(values, block.colormap)
        for row in range(rows):
            for column in range(columns):
                shade = colours[row, column]
                axes.add_patch(
                    mpl.patches.Rectangle((column, row), 1, 1, color=shade / 255, linewidth=0.4)
                )
                axes.text(
                    column + 0.5,
                    row + 0.5,
                    _short_number(values[row, column]),
                    ha="center",
                    va="center",
                    fontsize=8 if side > 0.35 else 6,
                    color=_readable_on(shade),
                )
        axes.set(xlim=(0, columns), ylim=(rows, 0), aspect="equal")
        _name_cells(axes, block)
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.tick_params(length=0)
        return _save(figure)


def _name_cells(axes: Axes, block: Matrix) -> None:
    columns = [_text(name, 18) for name in block.column_labels]
    turned = max(map(len, columns), default=0) > 3
    axes.set_xticks(
        np.arange(len(columns)) + 0.5,
        columns,
        rotation=45 if turned else 0,
        ha="right" if turned else "center",
        rotation_mode="anchor" if turned else "default",
    )
    axes.set_yticks(
        np.arange(len(block.row_labels)) + 0.5, [_text(name, 22) for name in block.row_labels]
    )
    _label(axes, block.column_title, block.row_title)


def _readable_on(shade: np.ndarray) -> str:
    """Black or white, whichever stands out more (WCAG's relative luminance, 0.179 between)."""
    linear = (shade / 255.0) ** 2.2
    return "#000000" if linear @ np.array([0.2126, 0.7152, 0.0722]) > 0.179 else "#ffffff"


def _short_number(value: float) -> str:
    return numbers.quantity(round(value)) if float(value).is_integer() else f"{value:.2g}"


@contextmanager
def _axes(width: float, height: float) -> Iterator[tuple[Figure, Axes]]:
    """A figure of so many inches with one style; texts are literal (``$`` is a dollar)."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        figure = Figure(figsize=(width, height))
        FigureCanvasSVG(figure)
        yield figure, figure.add_subplot()


def _open(axes: Axes, whole: bool = False) -> None:
    """Ticks written as in the tables, no box; ``whole`` numbers only up the side, for counts."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5, integer=whole and axis is axes.yaxis))
        axis.set_major_formatter(FuncFormatter(_tick))
    axes.tick_params(length=3, width=0.7)


def _tick(value: float, _place: int | None = None) -> str:
    # The locator's steps leave 0.30000000000000004 and -0.0 behind.
    value = float(f"{value:.10g}") + 0.0
    return numbers.quantity(value) if abs(value) >= 10_000 else numbers.number(value)


def _label(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(_text(x, 60))
    axes.set_ylabel(_text(y, 40))


def _text(text: str, length: int) -> str:
    return drawable(shorten(" ".join(printable(text).split()), length))


def _save(figure: Figure) -> Plot:
    buffer = io.BytesIO()
    figure.savefig(
        buffer,
        format="svg",
        transparent=True,
        bbox_inches="tight",
        pad_inches=0.04,
        metadata={"Date": None, "Creator": None},
    )
    light = _plain(buffer.getvalue().decode())
    width, height = (
        round(float(found) * 4 / 3) for found in re.findall(r'(?:width|height)="([\d.]+)pt"', light)
    )
    dark = _DARK_PATTERN.sub(lambda match: _DARK[match[0]], light)
    return Plot(light.encode(), dark.encode(), width, height)


def _plain(svg: str) -> str:
    """The SVG with attributes for its inline styles, which a strict CSP would ignore."""
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!DOCTYPE.*?>", "", svg, flags=re.DOTALL)
    svg = svg.replace("<svg ", '<svg stroke-linejoin="round" stroke-linecap="butt" ', 1)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r' style="([^"]*)"', _attributes, svg)
    return re.sub(r">\s+<", "><", svg)


def _attributes(match: re.Match[str]) -> str:
    pairs = [part.split(":", 1) for part in match[1].split(";") if ":" in part]
    return "".join(f' {name.strip()}="{value.strip()}"' for name, value in pairs)
