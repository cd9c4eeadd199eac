"""Images on their way to a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Skipped:
    """An image that could not be read, and why."""

    name: str
    reason: str


class Pixels(Protocol):
    """Pixels (N, H, W, C), 0..255, RGB or grey, that may still be on their way.

    ``pixels[3]``, ``pixels[2:7]`` and ``pixels[[5, 1]]`` are float32 arrays. A look at images
    waits for those and the ones before them; ``len`` and ``shape`` wait for all.
    """

    def __getitem__(self, index: int | slice | Sequence[int] | np.ndarray) -> np.ndarray: ...

    def __len__(self) -> int: ...

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, H, W, C)."""

    def wait(self, count: int) -> int:
        """Wait for ``count`` images, or the last one; how many there are by then."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of images when the last one is read: names, labels, digest, bad ones."""

    names: tuple[str, ...]
    labels: np.ndarray | None
    sha256: str
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True, kw_only=True)
class ImageBatch:
    """Images at the network's size, before normalisation.

    Images are read in the background. Only good ones count: indices run over these. Whatever
    depends on which ones are good waits for the last one, and raises what went wrong on the way:
    ``len``, ``names``, ``labels``, ``sha256`` and ``skipped``.

    Attributes:
      pixels: (N, H, W, C), see ``Pixels``.
      listed: how many were chosen, good or bad; known at once.
      source: where they come from, for the report.
      facts: waits for the last image.
      licence: licence note of the images, empty if unknown.
      notes: where they are not quite what was asked for, a sentence each.
    """

    pixels: Pixels
    listed: int
    source: str
    facts: Callable[[], Facts]
    licence: str = ""
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.facts().names)

    def first(self, count: int) -> int:
        """How many of the first ``count`` images there are; waits for these alone."""
        return min(count, self.pixels.wait(count))

    @property
    def names(self) -> tuple[str, ...]:
        """N names, unique."""
        return self.facts().names

    @property
    def labels(self) -> np.ndarray | None:
        """(N,) class indices, or None where there are none."""
        return self.facts().labels

    @property
    def sha256(self) -> str:
        """Digest over names, pixels and labels."""
        return self.facts().sha256

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """Images that were left out, and why."""
        return self.facts().skipped
