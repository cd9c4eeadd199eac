"""How many tiles a montage has in a row, and how many fit."""

from __future__ import annotations

import math
from typing import NamedTuple


class Grid(NamedTuple):
    """Tiles in a row, and how many are drawn."""

    columns: int
    drawn: int

    def cut(self, total: int, what: str) -> str:
        """Words on what was left out; empty if nothing was."""
        return "" if self.drawn >= total else f"the first {self.drawn:,} of {total:,} {what}"


def square_grid(total: int, tile: tuple[int, int], max_side: int, multiple: int = 1) -> Grid:
    """A nearly square grid whose picture is no larger than ``max_side`` on either side.

    Args:
      tile: (height, width) in pixels, without the one-pixel gap.
      multiple: tiles that belong together (the input channels of one filter); a row holds whole
        multiples of them where that fits.
    """
    height, width = tile
    widest = max(1, max_side // (width + 1))
    tallest = max(1, max_side // (height + 1))
    columns = math.ceil(math.sqrt(total))
    if multiple > 1:
        columns = multiple * max(1, round(math.sqrt(total) / multiple))
    columns = max(1, min(columns, widest, total))
    rows = min(math.ceil(total / columns), tallest)
    return Grid(columns, min(total, rows * columns))
