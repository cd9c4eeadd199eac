"""Images on their way to a network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Skipped:
    """An image that could not be read, and why."""

    name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class ImageBatch:
    """Images at the network's size, before normalisation.

    Attributes:
      pixels: (N, H, W, C) float32, 0..255, RGB or grey.
      names: N names, unique.
      labels: (N,) class indices, or None where there are none.
      source: where they come from, for the report.
      sha256: digest over names, pixels and labels.
      skipped: images that were left out, and why.
      licence: licence note of the images, empty if unknown.
    """

    pixels: np.ndarray
    names: tuple[str, ...]
    labels: np.ndarray | None
    source: str
    sha256: str
    skipped: tuple[Skipped, ...] = ()
    licence: str = ""

    def __len__(self) -> int:
        return len(self.names)
