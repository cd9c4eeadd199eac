"""Pictures that are still to be drawn: what of, how large, and which are the same.

A sketch is cheap, so that a page can be laid out, and a picture that two places show be drawn once,
before any pixel is there.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property, singledispatch
from numbers import Real
from typing import Any

import numpy as np

from reportgen.core import blocks
from reportgen.render import pictures, plots, sheets

_MONTAGE_WIDTH = (480, 760)
_PART_WIDTH = (200, 360)
_MONTAGE_HEIGHT = 900
_TILE = 224
_MAP_WIDTH = 216
_GALLERY_WIDTH = 132
_COMPARED_WIDTH = 160


@dataclass(frozen=True)
class Sketch:
    """A picture that is still to be drawn.

    Attributes:
      draw: draws (height, width, 3) uint8 from ``parts``, and from nothing else.
      parts: arrays, numbers, names, and blocks of these.
      zoom: how many times as large it is shown.
    """

    draw: Callable[..., np.ndarray]
    parts: tuple[Any, ...]
    height: int
    width: int
    zoom: int = 1

    @cached_property
    def key(self) -> bytes:
        """Equal where pictures are; the same in another process, and for results read again."""
        digest = hashlib.sha256(self.draw.__name__.encode())
        _feed(digest, self.parts)
        return digest.digest()

    def encoded(self, factor: int = 1) -> bytes:
        """The picture's file, so many times smaller, of the kind that ``suffix`` tells."""
        picture = self.draw(*self.parts)
        if factor == 1:
            return pictures.encoded(picture)
        picture = pictures.reduced(picture, factor)
        return pictures.png(picture) if self.suffix == ".png" else pictures.encoded(picture)

    @property
    def suffix(self) -> str:
        return pictures.suffix(self.height, self.width)


def _feed(digest: hashlib._Hash, value: Any) -> None:
    if isinstance(value, np.ndarray):
        digest.update(f"{value.dtype.str} {value.shape}\n".encode())
        digest.update(np.ascontiguousarray(value).data)
    elif isinstance(value, tuple):
        digest.update(f"{len(value)} parts\n".encode())
        for part in value:
            _feed(digest, part)
    elif is_dataclass(value):
        _feed(digest, tuple(getattr(value, field.name) for field in fields(value)))
    else:
        # 0 and 0.0 are the same number in results.json, where one is read back as the other.
        digest.update(f"{float(value) if isinstance(value, Real) else value!r}\n".encode())


@singledispatch
def sketches(block: Any) -> tuple[Sketch, ...]:
    """The pictures of a block, in the order in which it shows them; most blocks have none."""
    return ()


@sketches.register
def _(block: blocks.Montage) -> tuple[Sketch, ...]:
    height, width = pictures.montage_size(block)
    zoom = _zoom(height, width, block.tiles.shape[2], _PART_WIDTH if block.part else _MONTAGE_WIDTH)
    if block.interpolation == "bicubic":
        return (Sketch(pictures.montage, (block, zoom), *pictures.montage_size(block, zoom)),)
    return (Sketch(pictures.montage, (block,), height, width, zoom),)


def _zoom(height: int, width: int, tile: int, widths: tuple[int, int] = _MONTAGE_WIDTH) -> int:
    """The whole factor that shows a montage at a comfortable width; 1 if it is large already."""
    low, high = widths
    zoom = min(math.ceil(low / width), max(1, _TILE // max(1, tile)))
    while zoom > 1 and (width * zoom > high or height * zoom > _MONTAGE_HEIGHT):
        zoom -= 1
    return int(zoom)


@sketches.register
def _(block: blocks.Heatmap) -> tuple[Sketch, ...]:
    """The image, the map, and the map laid over the image."""
    painted, overlay = _map(block.image, block, _MAP_WIDTH)
    return _image(block.image, _MAP_WIDTH), painted, overlay


@sketches.register
def _(block: blocks.Comparison) -> tuple[Sketch, ...]:
    """The image, then of each map the overlay and the map."""
    found = [_image(block.image, _COMPARED_WIDTH)]
    for part in block.maps:
        painted, overlay = _map(block.image, part, _COMPARED_WIDTH)
        found += [overlay, painted]
    return tuple(found)


@sketches.register
def _(block: blocks.Gallery) -> tuple[Sketch, ...]:
    return tuple(_image(item.image, _GALLERY_WIDTH) for item in block.items)


@sketches.register
def _(block: blocks.Matrix) -> tuple[Sketch, ...]:
    """A matrix that is too large to be a plot."""
    if plots.matrix_fits(block):
        return ()
    height, width = block.values.shape
    parts = block.values, block.colormap
    return (Sketch(pictures.matrix, parts, height, width, _zoom(height, width, 1)),)


@sketches.register
def _(block: blocks.Units) -> tuple[Sketch, ...]:
    """Of each share of the units: crops, synthesised pictures, kernels, of what there is."""
    found = []
    for rows in sheets.shares(block):
        found.append(_sheet(sheets.draw_images, block.crops, rows))
        if block.pictures is not None:
            found.append(_sheet(sheets.draw_images, block.pictures[:, None], rows))
        if block.kernels is not None:
            found.append(_sheet(sheets.draw_kernels, block.kernels, rows, block.colormap))
    return tuple(found)


def _sheet(
    draw: Callable[..., np.ndarray], tiles: np.ndarray, rows: np.ndarray, *more: str
) -> Sketch:
    return Sketch(draw, (tiles, *more, rows), *sheets.grids(tiles, len(rows))[0].size)


@sketches.register
def _(block: blocks.Group) -> tuple[Sketch, ...]:
    return tuple(sketch for part in block.blocks for sketch in sketches(part))


def _image(image: np.ndarray, shown: int) -> Sketch:
    height, width = image.shape[:2]
    return Sketch(pictures.pixels, (image,), height, width, max(1, shown // max(1, width)))


def _map(
    image: np.ndarray, part: blocks.Heatmap | blocks.ComparedMap, shown: int
) -> tuple[Sketch, Sketch]:
    height, width = part.map.shape
    size = height, width, max(1, shown // max(1, width))
    scale = part.low, part.high, part.colormap
    return (
        Sketch(pictures.painted, (part.map, *scale), *size),
        Sketch(pictures.overlay, (image, part.map, *scale, part.opacity), *size),
    )


def colour_bar(colormap: str) -> Sketch:
    """The colormap from low to high."""
    return Sketch(pictures.colour_bar, (colormap,), *pictures.bar_size(colormap))
