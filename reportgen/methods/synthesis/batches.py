"""Units in batches of one shape, so that a layer compiles once whatever their number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np


def batches(units: Sequence[int], batch: int) -> Iterator[tuple[np.ndarray, int]]:
    """The units in batches of equal length, the last filled up with copies of its last unit.

    Returns:
      (B,) int32 units with B = min(batch, all), and how many of them are wanted.
    """
    size = min(batch, len(units))
    for start in range(0, len(units), size):
        part = np.asarray(units[start : start + size], np.int32)
        yield np.concatenate([part, np.repeat(part[-1:], size - len(part))]), len(part)
