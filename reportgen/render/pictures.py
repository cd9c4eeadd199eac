"""Arrays of blocks as pictures: (H, W, 3) uint8 arrays, one pixel a value, and their files.

The viewer enlarges, by whole factors; only what is to be smooth is enlarged here.
"""

from __future__ import annotations

import io
import math

import numpy as np
from PIL import Image

from reportgen.core.blocks import Montage
from reportgen.render import colour

_WEBP_SIDE = 16383
_BAR_HEIGHT = 12
_VALUES = 1 << 20


def montage_size(block: Montage, zoom: int = 1) -> tuple[int, int]:
    """Height and width in pixels of what ``montage`` draws."""
    rows, columns, height, width, near, beyond = _grid(block, zoom)
    return (
        max(1, rows * (height + block.gap) + near + beyond),
        max(1, columns * (width + block.gap) + near + beyond),
    )


def _grid(block: Montage, zoom: int) -> tuple[int, int, int, int, int, int]:
    """Rows and columns, height and width of a tile, and what the gaps at both edges add."""
    count, height, width = np.shape(block.tiles)[:3]
    if block.interpolation == "bicubic":
        height, width = height * zoom, width * zoom
    columns = max(1, min(block.columns, count))
    rows = max(1, block.rows, math.ceil(count / columns))
    near = block.gap if block.frame == "all" else 0
    return rows, columns, height, width, near, -block.gap if block.frame == "none" else 0


def montage(block: Montage, zoom: int = 1) -> np.ndarray:
    """The tiles on their grid, row by row from the top left.

    Tile ``i`` begins at row ``near + (i // columns) * (h + gap)`` and column
    ``near + (i % columns) * (w + gap)``, where ``near`` is the gap if ``frame`` is ``all``, else 0.

    Args:
      zoom: how many times as large tiles are drawn that are enlarged by interpolation.

    Returns:
      (H, W, 3) uint8; gaps and missing tiles in the block's background.
    """
    tiles = np.asarray(block.tiles)
    _, columns, height, width, near, _ = _grid(block, zoom)
    canvas = np.full(
        (*montage_size(block, zoom), 3), 255 if block.background == "white" else 0, np.uint8
    )
    smooth = zoom if block.interpolation == "bicubic" else 1
    # Some tiles at a time: as 64-bit numbers, all of a wide layer's maps would take much memory.
    step = max(1, _VALUES // max(1, height * width * math.prod(tiles.shape[3:])))
    for start in range(0, len(tiles), step):
        for index, tile in enumerate(_painted_tiles(block, tiles[start : start + step], smooth)):
            row, column = divmod(start + index, columns)
            top, left = near + row * (height + block.gap), near + column * (width + block.gap)
            canvas[top : top + height, left : left + width] = tile
    return canvas


def _painted_tiles(block: Montage, tiles: np.ndarray, zoom: int) -> np.ndarray:
    if zoom > 1:
        tiles = np.stack([_enlarged(tile, zoom) for tile in tiles])
    in_colour = tiles.ndim == 4
    diverging = colour.is_diverging(block.colormap)
    rest = 0.5 if diverging else 0.0
    if block.scale == "joint":
        scaled = colour.normalised(tiles, block.low, block.high, rest)
    else:
        scaled = np.empty(tiles.shape)
        for index, tile in enumerate(tiles):
            scaled[index] = colour.normalised(tile, *tile_range(tile, diverging), rest)
    if not in_colour:
        return colour.paint(scaled, block.colormap)
    bad = np.isnan(scaled).any(axis=-1)
    scaled = np.broadcast_to(scaled, (*scaled.shape[:-1], 3))
    painted = colour.paint(scaled, None)[..., 0]
    painted[bad] = colour.BAD
    return painted


def _enlarged(tile: np.ndarray, zoom: int) -> np.ndarray:
    """A tile (h, w) or (h, w, 3) so many times as large, by cubic convolution (a = −1/2)."""
    size = tile.shape[1] * zoom, tile.shape[0] * zoom
    channels = [
        np.asarray(Image.fromarray(channel).resize(size, Image.Resampling.BICUBIC))
        for channel in np.moveaxis(np.atleast_3d(tile.astype(np.float32)), -1, 0)
    ]
    return np.stack(channels, axis=-1).reshape(size[1], size[0], *tile.shape[2:])


def tile_range(tile: np.ndarray, diverging: bool) -> tuple[float, float]:
    """A tile's own range; centred on zero for a diverging colormap, whose middle means zero."""
    finite = np.asarray(tile, np.float64)
    finite = finite[np.isfinite(finite)]
    if not finite.size:
        return 0.0, 0.0
    low, high = float(finite.min()), float(finite.max())
    if diverging:
        high = max(abs(low), abs(high))
        low = -high
    return low, high


def pixels(image: np.ndarray) -> np.ndarray:
    """An image (H, W), (H, W, 1) or (H, W, 3) of 0..255 as uint8 RGB; not finite in magenta."""
    values = np.asarray(image, np.float64)
    if values.ndim == 2:
        values = values[..., None]
    bad = np.asarray(~np.isfinite(values).all(axis=-1))
    values = np.clip(np.where(bad[..., None], 0, values), 0, 255)
    rounded = np.floor(values + 0.5).astype(np.uint8)
    drawn = np.array(np.broadcast_to(rounded, (*rounded.shape[:2], 3)))
    drawn[bad] = colour.BAD
    return drawn


def painted(values: np.ndarray, low: float, high: float, colormap: str) -> np.ndarray:
    """A map (H, W) in the colours of its colormap, (H, W, 3) uint8."""
    rest = 0.5 if colour.is_diverging(colormap) else 0.0
    return colour.paint(colour.normalised(values, low, high, rest), colormap)


def overlay(
    image: np.ndarray, values: np.ndarray, low: float, high: float, colormap: str, opacity: float
) -> np.ndarray:
    """A map laid over its image, (H, W, 3) uint8.

    ``overlay = (1 - a) * image + a * map``, rounded to nearest, with ``a = opacity * strength``.
    Strength is the map's value between ``low`` (0) and ``high`` (1); where the range has both
    signs it is ``|value| / max(|low|, |high|)``, so that zero is clear. Values that are not
    finite lie over the image at full opacity, in magenta.
    """
    alpha = (opacity * strength(values, low, high))[..., None]
    alpha[~np.isfinite(values)] = 1.0
    mixed = (1 - alpha) * pixels(image) + alpha * painted(values, low, high, colormap)
    return np.floor(mixed + 0.5).astype(np.uint8)


def strength(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """How strong a map is, 0..1 (see ``overlay``); NaN where it is not finite."""
    if low < 0 < high:
        return colour.normalised(np.abs(values), 0.0, max(-low, high))
    return colour.normalised(values, low, high)


def matrix(values: np.ndarray, colormap: str) -> np.ndarray:
    """A matrix with one pixel a cell, (H, W, 3) uint8, drawn over ``matrix_range``."""
    return colour.paint(colour.normalised(values, *matrix_range(values)), colormap)


def matrix_range(values: np.ndarray) -> tuple[float, float]:
    """The values drawn as the two ends of a matrix's colormap."""
    finite = np.asarray(values, np.float64)
    finite = finite[np.isfinite(finite)]
    return (min(0.0, float(finite.min())), float(finite.max())) if finite.size else (0.0, 0.0)


def colour_bar(colormap: str) -> np.ndarray:
    """The colormap from low (left) to high (right), one column an entry."""
    entries = colour.table(colormap)
    return np.array(np.broadcast_to(entries[None], (_BAR_HEIGHT, *entries.shape)))


def bar_size(colormap: str) -> tuple[int, int]:
    """Height and width in pixels of ``colour_bar``."""
    return _BAR_HEIGHT, len(colour.table(colormap))


def fitted(picture: np.ndarray, width: int) -> np.ndarray:
    """The picture at most ``width`` wide, for a thumbnail: enlarged crisply, or reduced smoothly.

    Pictures much taller than wide are cut at the bottom, as a thumbnail shows a piece anyway.
    """
    picture = picture[: max(1, picture.shape[1] * 3 // 2)]
    height, own = picture.shape[:2]
    if own <= width:
        factor = width // own
        return picture.repeat(factor, axis=0).repeat(factor, axis=1)
    size = (width, max(1, round(height * width / own)))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX))


def reduced(picture: np.ndarray, factor: int) -> np.ndarray:
    """The picture so many times smaller: means of squares of pixels, cut off at its far edges."""
    return np.asarray(Image.fromarray(picture).reduce(factor))


def suffix(height: int, width: int) -> str:
    """The kind of file that a picture of so many pixels becomes."""
    return ".png" if max(height, width) > _WEBP_SIDE else ".webp"


def encoded(picture: np.ndarray) -> bytes:
    """A picture without loss: WebP, or PNG beyond WebP's 16,383 pixels a side.

    Method 2, quality 25: overlays take a fifth of the time of method 4, quality 80, for three per
    cent more bytes.
    """
    if suffix(*picture.shape[:2]) == ".png":
        return png(picture)
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "WEBP", lossless=True, method=2, quality=25)
    return buffer.getvalue()


def png(picture: np.ndarray) -> bytes:
    """A picture as PNG, which every mail client and chat shows."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", compress_level=9)
    return buffer.getvalue()
