"""Units in batches of one shape, so that a layer compiles once whatever their number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import jax
import numpy as np


def at_once(wanted: int | None, engine: int) -> int:
    """Units to compute at once: as configured, else one on a CPU and the engine's batch elsewhere.

    Measured on two cores, one at a time is about as fast as any number, since XLA spreads one
    picture over the cores; and then a picture is the same to the bit whatever else is computed.
    """
    if wanted is not None:
        return wanted
    return 1 if jax.default_backend() == "cpu" else engine


def batches(units: Sequence[int], batch: int) -> Iterator[tuple[np.ndarray, int]]:
    """The units in batches of equal length, the last filled up with copies of its last unit.

    Returns:
      (B,) int32 units with B = min(batch, all), and how many of them are wanted.
    """
    size = min(batch, len(units))
    for start in range(0, len(units), size):
        part = np.asarray(units[start : start + size], np.int32)
        yield np.concatenate([part, np.repeat(part[-1:], size - len(part))]), len(part)
