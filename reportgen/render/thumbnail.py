"""One small picture that stands for a report on a sweep's index page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from reportgen.core.blocks import Gallery, Group, Heatmap, Montage, Units
from reportgen.core.report import Report
from reportgen.render import pictures, sheets

PATH = "assets/thumbnail.png"
_WIDTH = 256


def thumbnail(report: Report) -> bytes | None:
    """The report's most telling picture as a PNG about 256 pixels wide; None if it has none.

    Synthesised images come first, then any other montage, units, an overlay, an input image.
    """
    found = list(_blocks(report))
    for choose in (_synthesised, _montage, _units, _overlay, _image):
        for block in found:
            picture = choose(block)
            if picture is not None and picture.size:
                return pictures.png(pictures.fitted(picture, _WIDTH))
    return None


def _blocks(report: Report) -> Iterator[Any]:
    for section in report.sections:
        yield from _flat(section.blocks)


def _flat(blocks: tuple[Any, ...]) -> Iterator[Any]:
    for block in blocks:
        if isinstance(block, Group):
            yield from _flat(block.blocks)
        else:
            yield block


def _synthesised(block: Any) -> np.ndarray | None:
    return _montage(block) if isinstance(block, Montage) and block.colormap is None else None


def _montage(block: Any) -> np.ndarray | None:
    return pictures.montage(block) if isinstance(block, Montage) and len(block.tiles) else None


def _units(block: Any) -> np.ndarray | None:
    if not isinstance(block, Units):
        return None
    tiles = block.crops if block.pictures is None else block.pictures[:, None]
    return sheets.draw_images(tiles, sheets.shares(block)[0])


def _overlay(block: Any) -> np.ndarray | None:
    if not isinstance(block, Heatmap):
        return None
    return pictures.overlay(
        block.image, block.map, block.low, block.high, block.colormap, block.opacity
    )


def _image(block: Any) -> np.ndarray | None:
    if isinstance(block, Gallery) and block.items:
        return pictures.pixels(block.items[0].image)
    return None
