"""How the tiles of a layer are laid out as a montage, and how many fit.

Besides a grid of our own there are those of three systems that people know. They enlarge pictures
until they are 100 or 1,000 pixels wide; here the viewer does that.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np

from reportgen.core.blocks import Caption, Montage
from reportgen.core.settings import Count, Whole, settings
from reportgen.methods.base import Method

LABELLED = 512  # tiles up to which each is named

Frame = Literal["none", "far", "all"]


class Grid(NamedTuple):
    """Tiles in a row, how many are drawn, and in how many rows at least.

    Attributes:
      side: what is drawn of a tile, from its top left, if it is larger.
    """

    columns: int
    drawn: int
    rows: int = 1
    gap: int = 1
    frame: Frame = "none"
    side: int | None = None

    def cut(self, total: int, what: str) -> str:
        """Words on what was left out; empty if nothing was."""
        left = "" if self.drawn >= total else f"the first {self.drawn:,} of {total:,} {what}"
        side = "" if self.side is None else f"cut to {self.side} pixels a side"
        return ", ".join(filter(None, (left, side)))


def square_grid(
    total: int, tile: tuple[int, int], max_side: int, multiple: int = 1, gap: int = 1
) -> Grid:
    """A nearly square grid whose picture is no larger than ``max_side`` on either side.

    Args:
      tile: (height, width) in pixels, without the gap.
      multiple: tiles that belong together (the input channels of one filter); a row holds whole
        multiples of them where that fits.
    """
    columns = math.ceil(math.sqrt(total))
    if multiple > 1:
        columns = multiple * max(1, round(math.sqrt(total) / multiple))
    return _fitted(total, columns, tile, max_side, gap)


def factor_grid(total: int, tile: tuple[int, int], max_side: int, gap: int = 1) -> Grid:
    """The grid of conviz: the two middle factors of the number of tiles, the larger one across.

    A row that is wider than ``max_side`` is folded: of a prime number of tiles there is but one.
    """
    rows = max(side for side in range(1, math.isqrt(total) + 1) if total % side == 0)
    return _fitted(total, total // rows, tile, max_side, gap)


def digits_grid(total: int, tile: tuple[int, int], max_side: int, gap: int = 1) -> Grid:
    """The grid of DIGITS: n x n, n = ceil(sqrt(N)), with n - 1 columns if that is enough.

    Tiles wider than ``max_side`` (600 in DIGITS 2, later 1200) are cut, and the first alone is
    drawn; of others the first (max_side // (width + gap))². The gap is on the right and below every
    tile, but not where a tile is one pixel wide.
    """
    width = tile[1]
    if width > max_side:
        return Grid(1, 1, gap=0, side=max_side)
    gap = gap if width > 1 else 0
    drawn = min(total, max(1, max_side // (width + gap)) ** 2)
    n = math.ceil(math.sqrt(drawn))
    columns = n - 1 if n * (n - 1) >= drawn else n
    return Grid(columns, drawn, gap=gap, frame="far")


def caffe_grid(total: int, tile: tuple[int, int], max_side: int, gap: int = 1) -> Grid:
    """The grid of the Caffe notebook: always n x n, n = ceil(sqrt(N)), the last row maybe empty.

    The gap is on the right and below every tile. Unlike there, what is larger than ``max_side`` is
    left out.
    """
    most = max(1, max_side // (max(tile) + gap))
    n = min(math.ceil(math.sqrt(total)), most)
    return Grid(n, min(total, n * n), rows=n, gap=gap, frame="far")


def _fitted(total: int, columns: int, tile: tuple[int, int], max_side: int, gap: int) -> Grid:
    height, width = tile
    widest = max(1, max_side // (width + gap))
    tallest = max(1, max_side // (height + gap))
    columns = max(1, min(columns, widest, total))
    rows = min(math.ceil(total / columns), tallest)
    return Grid(columns, min(total, rows * columns), gap=gap)


def value_range(values: np.ndarray, scale: str) -> tuple[float, float]:
    """The values at the ends of the colormap: symmetric about zero, or minimum and maximum."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    if scale == "symmetric":
        bound = float(np.abs(finite).max())
        return -bound, bound
    return float(finite.min()), float(finite.max())


@settings
class Tiled(Method):
    """Settings of methods that draw the tiles of a layer.

    Attributes:
      grid: ``square``, or as ``digits``, ``caffe`` or conviz (``factors``) lay tiles out.
      pictures: one of the whole ``layer``, or one for each ``channel``.
      gap: white pixels between tiles.
      interpolation: how tiles are enlarged.
      max_side: longest side of a montage in pixels.
    """

    grid: Literal["square", "digits", "caffe", "factors"]
    pictures: Literal["layer", "channel"]
    gap: Whole
    interpolation: Literal["nearest", "bicubic"]
    max_side: Count

    def laid_out(self, total: int, tile: tuple[int, int], multiple: int = 1) -> Grid:
        """The grid of so many tiles (height, width); see ``square_grid`` for ``multiple``."""
        if self.grid == "square":
            return square_grid(total, tile, self.max_side, multiple, self.gap)
        rules = {"digits": digits_grid, "caffe": caffe_grid, "factors": factor_grid}
        return rules[self.grid](total, tile, self.max_side, self.gap)

    def montage(
        self,
        tiles: np.ndarray,
        names: list[str],
        *,
        caption: Caption,
        what: str,
        colormap: str | None,
        limits: str | tuple[float, float],
        scale: Literal["joint", "each"] = "joint",
        multiple: int = 1,
        part: str = "",
    ) -> Montage:
        """Tiles (N, h, w[, 3]) as these settings draw them; what is left out is in the caption.

        Args:
          names: of the tiles. ``what`` they are, in the plural.
          limits: the ends of the colormap, or how they follow from the tiles, see ``value_range``.
          part: what it shows of a layer that has several pictures.
        """
        grid = self.laid_out(len(tiles), (tiles.shape[1], tiles.shape[2]), multiple)
        drawn = tiles[: grid.drawn, : grid.side, : grid.side]
        if isinstance(limits, str):
            # DIGITS leaves out first; elsewhere colours do not depend on the room there is.
            limits = value_range(drawn if self.grid == "digits" else tiles, limits)
        cut = grid.cut(len(tiles), what)
        return Montage(
            tiles=np.ascontiguousarray(drawn),
            low=limits[0],
            high=limits[1],
            scale=scale,
            columns=grid.columns,
            rows=grid.rows,
            gap=grid.gap,
            frame=grid.frame,
            interpolation=self.interpolation,
            colormap=colormap,
            labels=tuple(names[: grid.drawn]) if grid.drawn <= LABELLED else (),
            part=part,
            caption=replace(caption, detail="; ".join(filter(None, (caption.detail, cut)))),
        )
