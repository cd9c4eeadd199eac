"""One small picture that stands for a report on a sweep's index page."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from reportgen.core.blocks import Gallery, Group, Heatmap, Montage, Units
from reportgen.core.report import Report
from reportgen.render import pictures, sheets

PATH = "assets/thumbnail.png"
_WIDTH = 256
_TILES = 6  # in a row, at the most: more could not be told apart
_IMAGE = 16  # pixels a side above which a tile in colour is an image, and not a kernel
_GAP = 1


@dataclass(frozen=True)
class Thumbnail:
    """A picture that is still to be drawn.

    Attributes:
      shown: what it shows, in words.
      draw: (H, W, 3) uint8.
    """

    shown: str
    draw: Callable[[], np.ndarray]

    def png(self) -> bytes:
        """The picture about 256 pixels wide."""
        return pictures.png(pictures.fitted(self.draw(), _WIDTH))


def thumbnail(report: Report) -> Thumbnail | None:
    """The report's most telling picture; None if it has none.

    Synthesised images of the deepest layer come first, or of the classes; then what the network
    looks at in the first images; units; any other montage; the images themselves.
    """
    found = [
        (section.title, list(_flat(section.blocks)))
        for section in report.sections
        if section.blocks
    ]
    for choose in (_synthesised, _overlays, _units, _montage, _images):
        for title, blocks in reversed(found) if choose is _synthesised else found:
            made = choose(title, blocks)
            if made is not None:
                return made
    return None


def _flat(blocks: Sequence[Any]) -> Iterator[Any]:
    for block in blocks:
        if isinstance(block, Group):
            yield from _flat(block.blocks)
        else:
            yield block


def _synthesised(title: str, blocks: list[Any]) -> Thumbnail | None:
    found = [
        block
        for block in blocks
        if isinstance(block, Montage)
        and block.colormap is None
        and len(block.tiles)
        and min(block.tiles.shape[1:3]) > _IMAGE
    ]
    return _tiles(title, found[-1]) if found else None


def _montage(title: str, blocks: list[Any]) -> Thumbnail | None:
    found = [block for block in blocks if isinstance(block, Montage) and block.tiles.size]
    return _tiles(title, found[0]) if found else None


def _tiles(title: str, block: Montage) -> Thumbnail:
    """The first tiles of a montage, as many as can be seen."""
    across = _across(len(block.tiles), block.tiles.shape[1:3])
    part = replace(block, tiles=block.tiles[: across**2], labels=(), columns=across, rows=1)
    own = block.caption.title
    shown = own if own.startswith(title) else f"{title}: {own}"
    return Thumbnail(shown, partial(pictures.montage, part))


def _across(count: int, size: tuple[int, ...]) -> int:
    """Tiles of a height and width in a row."""
    return min(_TILES, max(2, _WIDTH // max(*size, 1)), math.ceil(math.sqrt(count)))


def _overlays(title: str, blocks: list[Any]) -> Thumbnail | None:
    found = [block for block in blocks if isinstance(block, Heatmap) and block.map.size]
    return _several(title, found, _overlay)


def _units(title: str, blocks: list[Any]) -> Thumbnail | None:
    found = [block for block in blocks if isinstance(block, Units) and len(block.indices)]
    if not found:
        return None
    block = found[-1]
    tiles = block.crops[:, :1] if block.pictures is None else block.pictures[:, None]
    across = _across(len(tiles), tiles.shape[2:4])
    rows = sheets.shares(block)[0][: across**2]
    draw = partial(sheets.draw_images, tiles, rows)
    return Thumbnail(f"{title}: {block.layer}", draw) if tiles.size else None


def _overlay(block: Heatmap) -> np.ndarray:
    return pictures.overlay(
        block.image, block.map, block.low, block.high, block.colormap, block.opacity
    )


def _images(title: str, blocks: list[Any]) -> Thumbnail | None:
    galleries = [block for block in blocks if isinstance(block, Gallery)]
    found = [item for block in galleries for item in block.items if item.image.size]
    return _several(title, found, lambda item: pictures.pixels(item.image))


def _several(title: str, found: list[Any], draw: Callable[[Any], np.ndarray]) -> Thumbnail | None:
    """The first four pictures as a square where they are of one size, else the first alone."""
    first = found[:4]
    if not first:
        return None
    if len(first) < 4 or len({block.image.shape[:2] for block in first}) > 1:
        return Thumbnail(f"{title}: first image", partial(draw, first[0]))
    return Thumbnail(f"{title}: first four images", lambda: _square([*map(draw, first)]))


def _square(drawn: list[np.ndarray]) -> np.ndarray:
    height, width = drawn[0].shape[:2]
    # Grey between them is seen on light and dark pages alike.
    canvas = np.full((2 * height + _GAP, 2 * width + _GAP, 3), 128, np.uint8)
    for place, picture in enumerate(drawn):
        top, left = (height + _GAP) * (place // 2), (width + _GAP) * (place % 2)
        canvas[top : top + height, left : left + width] = picture
    return canvas
