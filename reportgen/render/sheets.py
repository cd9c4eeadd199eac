"""Sheets of units: the pictures of many cards in one file, and where on it each card's is.

A page of thousands of cards opens fast if it asks for a few files.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from reportgen.core.units import Units
from reportgen.render import colour, pictures

PAPER = 24  # units of a layer that a printed page has: their pictures are sheets of their own
_GAP = 2  # pixels, so that smooth enlarging does not mix neighbours
_GREY = 168  # between parts of a kernel, whose zero may be white
_INNER = 1  # between the crops of one unit, and the parts of one kernel

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Grid:
    """Equal tiles on a nearly square sheet.

    Attributes:
      height, width: of a tile, in pixels.
    """

    count: int
    height: int
    width: int
    gap: int = _GAP

    @property
    def columns(self) -> int:
        area = self.count * (self.height + self.gap) / (self.width + self.gap)
        return max(1, min(self.count, round(math.sqrt(area))))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the sheet, in pixels."""
        rows = math.ceil(self.count / self.columns)
        return (
            rows * (self.height + self.gap) - self.gap,
            self.columns * (self.width + self.gap) - self.gap,
        )

    def box(self, index: int) -> Box:
        """Left, top, width and height of a tile, in pixels."""
        row, column = divmod(index, self.columns)
        return (
            column * (self.width + self.gap),
            row * (self.height + self.gap),
            self.width,
            self.height,
        )

    def laid(self, tiles: Iterable[np.ndarray], between: int = 255) -> np.ndarray:
        """Tiles (h, w, 3) on their sheet (H, W, 3), with white or a grey between them."""
        sheet = np.full((*self.size, 3), between, np.uint8)
        for index, tile in enumerate(tiles):
            left, top, width, height = self.box(index)
            sheet[top : top + height, left : left + width] = tile
        return sheet


def shares(block: Units) -> tuple[np.ndarray, ...]:
    """Rows of the block whose pictures share a sheet: first those that are printed, then the rest.

    Printed are the units of the largest response; both parts are in the block's order.
    """
    order = np.argsort(-np.nan_to_num(block.largest, nan=-np.inf), kind="stable")
    parts = np.sort(order[:PAPER]), np.sort(order[PAPER:])
    return tuple(part for part in parts if len(part))


def grids(tiles: np.ndarray, count: int) -> tuple[Grid, Grid]:
    """Where ``count`` units are on a sheet, and on each unit's own tile its parts.

    Args:
      tiles: (N, parts, h, w, …) of all units.
    """
    parts, height, width = tiles.shape[1:4]
    inner = Grid(parts, height, width, _INNER if height * width > 1 else 0)
    return Grid(count, *inner.size), inner


def draw_images(tiles: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Images (N, parts, h, w, 1 or 3) of some rows on their sheet, (H, W, 3) uint8."""
    outer, inner = grids(tiles, len(rows))
    drawn = (np.broadcast_to(tiles[row], (*tiles.shape[1:4], 3)) for row in rows)
    return outer.laid(inner.laid(parts) for parts in drawn)


def draw_kernels(kernels: np.ndarray, colormap: str, rows: np.ndarray) -> np.ndarray:
    """Kernels (N, parts, h, w) or (N, 1, h, w, 3) of some rows on their sheet, (H, W, 3) uint8.

    Each is drawn over its own range about zero, see ``reach``.
    """
    outer, inner = grids(kernels, len(rows))
    return outer.laid(inner.laid(_painted(kernels[row], colormap), _GREY) for row in rows)


def _painted(kernel: np.ndarray, colormap: str) -> np.ndarray:
    scaled = colour.normalised(kernel, -reach(kernel), reach(kernel), 0.5)
    if kernel.ndim == 3:
        return colour.paint(scaled, colormap)
    bad = np.isnan(scaled).any(axis=-1)
    painted = colour.paint(scaled, None)[..., 0]
    painted[bad] = colour.BAD
    return painted


def reach(kernel: np.ndarray) -> float:
    """The largest absolute weight that is finite."""
    return pictures.tile_range(kernel, diverging=True)[1]
