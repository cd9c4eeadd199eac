"""The images that two reports show, found again by their pixels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from reportgen.core.blocks import Comparison, Gallery, Group, Heatmap
from reportgen.core.measured import image_digest
from reportgen.core.report import Report


def shown_images(*reports: Report) -> dict[bytes, np.ndarray]:
    """Every image (H, W, 1 or 3; 0..255) that a section of the reports holds, by its digest.

    The digest is that of ``Measured``: a picture at another size than the network's has another.
    """
    found: dict[bytes, np.ndarray] = {}
    for report in reports:
        for section in report.sections:
            for image in _images(section.blocks):
                found.setdefault(image_digest(image).tobytes(), image)
    return found


def _images(blocks: Iterable[Any]) -> Iterator[np.ndarray]:
    for block in blocks:
        if isinstance(block, Group):
            yield from _images(block.blocks)
        elif isinstance(block, Heatmap | Comparison):
            yield block.image
        elif isinstance(block, Gallery):
            yield from (item.image for item in block.items)
