"""The blocks that a report is made of.

A method returns blocks; results.json stores them; every renderer draws them. Each block class has
one template of its ``type`` in HTML and one in the PDF. Arrays live beside results.json in
``arrays/*.npz`` and are referred to by name, so that nobody has to read numbers off pixels.

The classes are plain frozen dataclasses; pydantic reads, writes and describes them (one definition
is the reader, the writer and the JSON Schema of results.json).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from reportgen.core.fields import Array as Array
from reportgen.core.fields import Caption as Caption
from reportgen.core.fields import Cell as Cell
from reportgen.core.fields import Number as Number
from reportgen.core.units import Units as Units


@dataclass(frozen=True, kw_only=True)
class Text:
    """A paragraph."""

    text: str
    tone: Literal["plain", "note", "warning"] = "plain"
    type: Literal["text"] = "text"


@dataclass(frozen=True, kw_only=True)
class KeyValues:
    """Names and values, such as the statistics of a layer. Floats are kept unrounded."""

    pairs: tuple[tuple[str, Cell], ...]
    title: str = ""
    type: Literal["key_values"] = "key_values"


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of cells under column names. Floats are kept unrounded; renderers round.

    Attributes:
      totals: a last row set apart, or empty.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""
    totals: tuple[Cell, ...] = ()
    type: Literal["table"] = "table"


@dataclass(frozen=True, kw_only=True)
class Montage:
    """Tiles on a grid: kernels, feature maps, synthesised images.

    Attributes:
      tiles: (N, h, w) values for a colormap, or (N, h, w, 3) colours.
      low, high: the values drawn as the two ends of the colormap (or as black and white).
      scale: ``joint`` maps low..high for all tiles; ``each`` maps every tile's own range.
      colormap: its name; None for tiles in colour.
      columns: tiles in a row; rows follow, ``rows`` of them at least.
      gap: pixels between tiles.
      frame: where the gap is drawn beyond the grid: nowhere, on its ``far`` sides (right and
        bottom), or on ``all``.
      interpolation: how tiles are enlarged: not at all but by the viewer, pixel by pixel
        (``nearest``), or before they are coloured (``bicubic``).
      background: colour of the gaps and of missing tiles.
      labels: one a tile, for hovering and for the text alternative; may be empty.
      part: what it shows of a layer that has several pictures (``channel 3``); files and arrays
        are named after it, and it is drawn smaller. Empty if it is the only one.
    """

    tiles: Array
    low: Number
    high: Number
    columns: int
    caption: Caption
    scale: Literal["joint", "each"] = "joint"
    colormap: str | None = None
    rows: int = 1
    gap: int = 1
    frame: Literal["none", "far", "all"] = "none"
    interpolation: Literal["nearest", "bicubic"] = "nearest"
    background: Literal["white", "black"] = "white"
    labels: tuple[str, ...] = ()
    part: str = ""
    type: Literal["montage"] = "montage"


class _Pictured:
    """A block with an image, which is kept in 8 bits where its pixels are whole numbers.

    They are, but for images from arrays: a quarter of the memory, and far less of the file.
    """

    image: Array

    def __post_init__(self) -> None:
        if self.image.dtype != np.uint8:
            with np.errstate(invalid="ignore"):
                narrow = self.image.astype(np.uint8)
            if np.array_equal(narrow, self.image):
                object.__setattr__(self, "image", narrow)


@dataclass(frozen=True, kw_only=True)
class Heatmap(_Pictured):
    """One image, a map of the same height and width, and the map laid over the image.

    Attributes:
      image: (H, W, 1 or 3) pixels, 0..255.
      map: (H, W) raw values.
      low, high: the values drawn as the two ends of the colormap.
      opacity: of the map at ``high`` in the overlay (0..1).
      facts: short facts beside it, such as predicted class and score.
    """

    image: Array
    map: Array
    low: Number
    high: Number
    colormap: str
    caption: Caption
    opacity: float = 0.6
    facts: tuple[tuple[str, Cell], ...] = ()
    type: Literal["heatmap"] = "heatmap"


@dataclass(frozen=True, kw_only=True)
class ComparedMap:
    """One of several maps of the same image; see ``Heatmap``.

    Attributes:
      title: of the method; ``subtitle`` says what it explains.
    """

    title: str
    map: Array
    low: Number
    high: Number
    colormap: str
    opacity: float
    subtitle: str = ""


@dataclass(frozen=True, kw_only=True)
class Comparison(_Pictured):
    """Maps of one image (H, W, 1 or 3; 0..255) by several methods, side by side."""

    image: Array
    maps: tuple[ComparedMap, ...]
    caption: Caption
    type: Literal["comparison"] = "comparison"


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """Counts (B,) between edges (B + 1,)."""

    counts: Array
    edges: Array
    caption: Caption
    x_label: str = "value"
    type: Literal["histogram"] = "histogram"


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line: values (N,) over x (N,)."""

    name: str
    x: Array
    y: Array


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A line plot. ``y_range`` fixes the axis (probabilities 0..1), else it follows the data."""

    series: tuple[Series, ...]
    caption: Caption
    x_label: str
    y_label: str
    y_range: tuple[float, float] | None = None
    type: Literal["curve"] = "curve"


@dataclass(frozen=True, kw_only=True)
class BarSeries:
    """One bar for each name of a ``Bars``: values (N,), NaN where there is none."""

    name: str
    values: Array


@dataclass(frozen=True, kw_only=True)
class Bars:
    """Horizontal bars with their values written at them, one of each series for every name.

    Attributes:
      names: N, from the top.
      x_label: what the values are; one that tells of shares has them in percent.
      x_range: fixes the axis (shares 0..1), else it begins at zero and follows the data.
    """

    names: tuple[str, ...]
    series: tuple[BarSeries, ...]
    caption: Caption
    x_label: str
    x_range: tuple[float, float] | None = None
    type: Literal["bars"] = "bars"


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """A matrix of counts with names, such as a confusion matrix (rows: truth)."""

    values: Array
    row_labels: tuple[str, ...]
    column_labels: tuple[str, ...]
    row_title: str
    column_title: str
    colormap: str
    caption: Caption
    type: Literal["matrix"] = "matrix"


@dataclass(frozen=True, kw_only=True)
class GalleryItem(_Pictured):
    """One image with a title and its highest scores (label, value 0..1)."""

    image: Array
    title: str
    subtitle: str = ""
    bars: tuple[tuple[str, Number], ...] = ()
    mark: Literal["correct", "wrong", "none"] = "none"


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Images (H, W, 1 or 3; 0..255) side by side, each with its scores."""

    items: tuple[GalleryItem, ...]
    caption: Caption
    type: Literal["gallery"] = "gallery"


@dataclass(frozen=True, kw_only=True)
class Node:
    """A layer in a diagram: output shape without the batch, number of parameters."""

    path: str
    kind: str
    shape: tuple[int, ...]
    parameters: int


@dataclass(frozen=True, kw_only=True)
class Diagram:
    """The network as boxes in execution order, from input to output."""

    nodes: tuple[Node, ...]
    caption: Caption
    type: Literal["diagram"] = "diagram"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that a person should know.

    Attributes:
      severity: ``info``, ``warn`` or ``fail``.
      check: which check or method found it.
      message: what and how much.
      where: layer, unit or file; may be empty.
      value, threshold: the unrounded numbers compared, where there are any.
      advice: what to do about it.
    """

    severity: Literal["info", "warn", "fail"]
    check: str
    message: str
    where: str = ""
    value: Number | None = None
    threshold: float | None = None
    advice: str = ""
    type: Literal["finding"] = "finding"


@dataclass(frozen=True, kw_only=True)
class Group:
    """Blocks that belong together under a heading: one layer, one image.

    Attributes:
      layer: path of the layer that it is about; empty if of none.
    """

    title: str
    blocks: tuple[Block, ...]
    subtitle: str = ""
    layer: str = ""
    type: Literal["group"] = "group"


Block = Annotated[
    Text
    | KeyValues
    | Table
    | Montage
    | Heatmap
    | Comparison
    | Histogram
    | Curve
    | Bars
    | Matrix
    | Gallery
    | Diagram
    | Finding
    | Units
    | Group,
    Field(discriminator="type"),
]
