"""The blocks that both weights and activations show of a layer: histograms and dense layers."""

from __future__ import annotations

import numpy as np

from reportgen.core.blocks import Curve, Histogram, Series
from reportgen.core.statistics import Statistics
from reportgen.methods.base import Context

POSITIVE_BINS = 100  # as the Caffe notebook draws them


def value_histogram(context: Context, title: str, stats: Statistics, *overrides: str) -> Histogram:
    """The 20-bin histogram of a layer's values."""
    return Histogram(
        counts=stats.counts,
        edges=stats.edges,
        caption=context.caption(
            f"{title} · histogram", *overrides, detail=f"{len(stats.counts)} bins of equal width"
        ),
    )


def positive_histogram(
    context: Context, title: str, values: np.ndarray, *overrides: str
) -> Histogram:
    """The 100-bin histogram of the values above zero."""
    positive = values[np.isfinite(values) & (values > 0)].astype(np.float64)
    top = float(positive.max()) if positive.size else 1.0
    counts, edges = np.histogram(positive, POSITIVE_BINS, (0.0, top))
    return Histogram(
        counts=counts,
        edges=edges,
        caption=context.caption(
            f"{title} · positive values",
            *overrides,
            detail=f"{positive.size:,} of {values.size:,} values, {POSITIVE_BINS} bins",
        ),
    )


def unit_curve(
    context: Context,
    title: str,
    values: np.ndarray,
    *overrides: str,
    y_label: str,
    y_range: tuple[float, float] | None = None,
    detail: str = "",
) -> Curve:
    """One value a unit, as a line over the units."""
    return Curve(
        series=(Series(name=title, x=np.arange(len(values)), y=values),),
        x_label="unit",
        y_label=y_label,
        y_range=y_range,
        caption=context.caption(title, *overrides, detail=detail),
    )
