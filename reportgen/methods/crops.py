"""Pieces of images at a unit's receptive field, and pictures made small enough for many cards."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from reportgen.models.base import LayerInfo
from reportgen.rewrite.receptive import Field


def side(count: int, most: int, pixels: int) -> int:
    """The longest side of so many pictures that have so many pixels, ``most`` at the most."""
    return min(most, max(1, math.isqrt(pixels // count)))


def reduced(picture: np.ndarray, longest: int) -> np.ndarray:
    """A picture (h, w, 1 or 3), 0..255, as whole numbers, smoothly made no longer than that."""
    whole = np.floor(np.clip(np.nan_to_num(picture), 0, 255) + 0.5).astype(np.uint8)
    height, width = whole.shape[:2]
    if max(height, width) <= longest:
        return whole
    scale = longest / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    squeezed = whole[..., 0] if whole.shape[-1] == 1 else whole
    small = np.asarray(Image.fromarray(squeezed).resize(size, Image.Resampling.BOX))
    return small.reshape(size[1], size[0], whole.shape[-1])


def crop(image: np.ndarray, field: Field | None, layer: LayerInfo, place: int) -> np.ndarray:
    """The pixels (h, w, C) that a place looks at; all crops of a layer have one size.

    White where they are outside of the image; all of it where a place looks at no less.

    Args:
      image: (H, W, C), 0..255.
      field: of the layer; None for one without maps.
      place: in the map, row by row.
    """
    height, width = image.shape[:2]
    if field is None:
        return image
    row, column = divmod(place, layer.shape[1])
    top, bottom, left, right = field.box(row, column, (height, width))
    if bottom - top >= height and right - left >= width:
        return image
    cut = np.full((bottom - top, right - left, image.shape[2]), 255.0, np.float32)
    inside = image[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    down, across = max(-top, 0), max(-left, 0)
    cut[down : down + inside.shape[0], across : across + inside.shape[1]] = inside
    return cut


def middle(pictures: np.ndarray, field: Field | None) -> np.ndarray:
    """Of pictures (N, H, W, C) what a place in the middle sees, twice as wide and as high.

    The rest is what the procedure fills it with; it shifts and turns the picture, so that a little
    more than the receptive field counts.
    """
    if field is None:
        return pictures
    sides = pictures.shape[1:3]
    top, bottom, left, right = field.box(0, 0, (sides[0], sides[1]))
    high, wide = min(sides[0], 2 * (bottom - top)), min(sides[1], 2 * (right - left))
    down, across = (sides[0] - high) // 2, (sides[1] - wide) // 2
    return pictures[:, down : down + high, across : across + wide]
