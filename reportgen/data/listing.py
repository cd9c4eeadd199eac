"""What a source of images tells before any is decoded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reportgen.core.errors import DataError
from reportgen.core.images import Skipped
from reportgen.core.paths import beside
from reportgen.core.spec import InputSpec


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One image of a source.

    Attributes:
      name: unique in the source.
      read: the image at the network's size, (H, W, C), 0..255; called from many threads. Raises
        DataError if it cannot be used.
      label: its class as the source writes it, a name or an index; None if it has none.
      origin: how a message about the label begins (``The sub-folder``).
    """

    name: str
    read: Callable[[InputSpec], np.ndarray]
    label: str | None = None
    origin: str = "The label"


@dataclass(frozen=True, kw_only=True)
class Listing:
    """All images of a source, in its order.

    Attributes:
      source: where they come from, for the report.
      dtype: of what ``Entry.read`` returns: uint8, or float32 where that would lose values.
      skipped: files that were found to be no images.
    """

    entries: tuple[Entry, ...]
    source: str
    licence: str = ""
    dtype: type[np.uint8] | type[np.float32] = np.uint8
    skipped: tuple[Skipped, ...] = ()


def no_file(path: Path, suffix: str) -> DataError:
    """The error for what should be a file of images' names or values, and is none."""
    if path.is_dir():
        return DataError(
            f"{path} is a folder, and data={suffix[1:]} takes a file.",
            "If it holds image files, choose data=folder.",
        )
    hint = beside(path, lambda other: other.suffix.lower() == suffix)
    return DataError(f"There is no file {path}.", hint)
