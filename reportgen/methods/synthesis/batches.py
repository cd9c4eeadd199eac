"""How many units are computed at once, and units in batches of one shape."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import platformdirs

from reportgen.engine.programs import Compiled, Program, Rows
from reportgen.engine.rows import Engine

_WORTH = 4  # measure where there are so many times the most units at once
_GAIN = 0.97  # twice as many at once must take this share of a unit's time, or less


@dataclass(frozen=True)
class Trial:
    """A program to find out with how many units at once are best.

    Attributes:
      model: a network, or any arrays that all rows share.
      rows: of so many units.
      about: what the answer depends on besides the program, devices and limits.
    """

    engine: Engine
    program: Program
    model: Any
    rows: Callable[[int], Rows]
    about: tuple[Any, ...]

    def fits(self, size: int) -> bool:
        """Whether memory holds so many units on each device."""
        return self._prepared(size).bytes <= self.engine.budget

    def seconds(self, size: int) -> float | None:
        """What so many units on each device take, without compilation; None if they do not fit."""
        if not self.fits(size):
            return None
        run, rows = self._prepared(size), self.rows(size * len(self.engine.devices))
        shared = self.engine.everywhere(self.model)
        try:
            jax.block_until_ready(run(shared, rows))
            began = time.perf_counter()
            jax.block_until_ready(run(shared, rows))
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            return None
        return time.perf_counter() - began

    def _prepared(self, size: int) -> Compiled:
        rows = jax.eval_shape(lambda: self.rows(size * len(self.engine.devices)))
        return self.engine.prepared(self.program, size, self.model, rows)


def at_once(wanted: int | None, engine: Engine, count: int, trial: Trial) -> int:
    """Units to compute at once on each device: as configured, else as is fastest.

    On a CPU that is one, on each of its devices, of which there is one a core: measured with VGG16,
    SqueezeNet and LeNet, a unit's step takes as long alone as among 2, 4 or 8 others. And a picture
    is then the same to the bit whatever else is computed, and on all machines of a kind.

    Elsewhere it is measured once and kept in the user's cache folder, so that a report that is made
    again on the same machine is the same to the bit.

    Args:
      wanted: as configured; None for what is fastest.
      count: units there are; a few are not worth measuring.
    """
    if wanted is not None:
        return wanted
    if engine.on_cpu:
        return 1
    across = len(engine.devices)
    size = min(engine.batch, -(-count // across))
    if count >= _WORTH * engine.batch * across:
        return _kept(trial)
    while size > 1 and not trial.fits(size):
        size //= 2
    return size


def _kept(trial: Trial) -> int:
    """What was measured when this machine was first asked."""
    engine = trial.engine
    shapes = [(leaf.shape, str(leaf.dtype)) for leaf in jax.tree.leaves(trial.model)]
    known = (jax.__version__, engine.devices[0].device_kind, len(engine.devices), engine.batch)
    about = (*known, engine.budget, shapes, repr(trial.program), trial.about)
    name = hashlib.sha256(repr(about).encode()).hexdigest()
    file = Path(platformdirs.user_cache_dir("reportgen")) / "at_once" / f"{name}.json"
    if not file.is_file():
        chosen = fastest(engine.batch, trial.seconds)
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps(chosen), encoding="utf-8")
        part.replace(file)
    size = int(json.loads(file.read_text(encoding="utf-8")))
    engine.told.append(
        f"{trial.program.name}: {size} units at once on each device, as was fastest when it was "
        f"measured; elsewhere method.{trial.program.name}.batch={size} gives the same"
    )
    return size


def fastest(most: int, seconds: Callable[[int], float | None]) -> int:
    """How many units at once take the least time each: doubled for as long as that pays."""
    best, least = 1, seconds(1)
    size = 2
    while least is not None and size <= most:
        taken = seconds(size)
        if taken is None or taken / size > _GAIN * least:
            break
        best, least = size, taken / size
        size *= 2
    return best


def batches(units: Sequence[int] | np.ndarray, batch: int) -> Iterator[tuple[np.ndarray, int]]:
    """The units in batches of equal length, the last filled up with copies of its last unit.

    Returns:
      (batch,) int32 units, and how many of them are wanted.
    """
    for start in range(0, len(units), batch):
        part = np.asarray(units[start : start + batch], np.int32)
        yield np.concatenate([part, np.repeat(part[-1:], batch - len(part))]), len(part)
