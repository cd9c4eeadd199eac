"""Arrays of blocks as pictures: (H, W, 3) uint8 arrays, one pixel a value, and their files.

The viewer enlarges, by whole factors; only what is to be smooth is enlarged here.
"""

from __future__ import annotations

import io
import math

import numpy as np
from PIL import Image

from reportgen.core.blocks import ComparedMap, Heatmap, Montage
from reportgen.render import colour

_WEBP_SIDE = 16383
_BAR_HEIGHT = 12


def montage(block: Montage, zoom: int = 1) -> np.ndarray:
    """The tiles on their grid, row by row from the top left.

    Tile ``i`` begins at row ``near + (i // columns) * (h + gap)`` and column
    ``near + (i % columns) * (w + gap)``, where ``near`` is the gap if ``frame`` is ``all``, else 0.

    Args:
      zoom: how many times as large tiles are drawn that are enlarged by interpolation.

    Returns:
      (H, W, 3) uint8; gaps and missing tiles in the block's background.
    """
    tiles = _painted_tiles(block, zoom if block.interpolation == "bicubic" else 1)
    count, height, width = tiles.shape[:3]
    columns = max(1, min(block.columns, count))
    rows = max(1, block.rows, math.ceil(count / columns))
    near = block.gap if block.frame == "all" else 0
    beyond = near - (block.gap if block.frame == "none" else 0)
    canvas = np.full(
        (
            max(1, rows * (height + block.gap) + beyond),
            max(1, columns * (width + block.gap) + beyond),
            3,
        ),
        255 if block.background == "white" else 0,
        np.uint8,
    )
    for index, tile in enumerate(tiles):
        top = near + (index // columns) * (height + block.gap)
        left = near + (index % columns) * (width + block.gap)
        canvas[top : top + height, left : left + width] = tile
    return canvas


def _painted_tiles(block: Montage, zoom: int) -> np.ndarray:
    tiles = np.asarray(block.tiles)
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


def heatmap(block: Heatmap) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The image, the painted map, and the map laid over the image; each (H, W, 3) uint8.

    ``overlay = (1 - a) * image + a * map``, rounded to nearest, with ``a = opacity * strength``.
    Strength is the map's value between ``low`` (0) and ``high`` (1); where the range has both
    signs it is ``|value| / max(|low|, |high|)``, so that zero is clear. Values that are not
    finite lie over the image at full opacity, in magenta.
    """
    return laid_over(block.image, block)


def laid_over(
    image: np.ndarray, block: Heatmap | ComparedMap
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As ``heatmap``, for a map of an image that is kept elsewhere."""
    image = pixels(image)
    rest = 0.5 if colour.is_diverging(block.colormap) else 0.0
    painted = colour.paint(
        colour.normalised(block.map, block.low, block.high, rest), block.colormap
    )
    alpha = (block.opacity * strength(block.map, block.low, block.high))[..., None]
    alpha[~np.isfinite(block.map)] = 1.0
    mixed = (1 - alpha) * image + alpha * painted
    return image, painted, np.floor(mixed + 0.5).astype(np.uint8)


def strength(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """How strong a map is, 0..1 (see ``heatmap``); NaN where it is not finite."""
    if low < 0 < high:
        return colour.normalised(np.abs(values), 0.0, max(-low, high))
    return colour.normalised(values, low, high)


def colour_bar(colormap: str) -> np.ndarray:
    """The colormap from low (left) to high (right), one column an entry."""
    entries = colour.table(colormap)
    return np.array(np.broadcast_to(entries[None], (_BAR_HEIGHT, *entries.shape)))


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


def encoded(picture: np.ndarray) -> tuple[str, bytes]:
    """A picture without loss, as (suffix, bytes): WebP, or PNG beyond WebP's 16,383 pixels a side.

    Method 4: on montages, method 6 took up to three times as long for no smaller files.
    """
    if max(picture.shape[:2]) > _WEBP_SIDE:
        return ".png", png(picture)
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "WEBP", lossless=True, method=4, quality=80)
    return ".webp", buffer.getvalue()


def png(picture: np.ndarray) -> bytes:
    """A picture as PNG, which every mail client and chat shows."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", compress_level=9)
    return buffer.getvalue()
