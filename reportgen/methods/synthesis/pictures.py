"""Synthesised pictures as tiles of a montage."""

from __future__ import annotations

import numpy as np

from reportgen.core.errors import NotApplicableError


def check_drawable(channels: int) -> None:
    """NotApplicableError unless pictures of so many channels are grey or RGB."""
    if channels not in (1, 3):
        raise NotApplicableError(
            f"Synthesised pictures have the network's {channels} channels; only 1 (grey) and 3 "
            "(RGB) can be drawn."
        )


def tiles(pictures: np.ndarray) -> tuple[np.ndarray, str | None]:
    """Tiles and their colormap: (N, h, w) with ``gray``, or (N, h, w, 3) with none."""
    return (pictures[..., 0], "gray") if pictures.shape[-1] == 1 else (pictures, None)
