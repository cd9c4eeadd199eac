"""Rows that climb: one program after another, and the rows stay on the devices between them.

While a program runs, a thread compiles the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Any, NamedTuple

import jax

from reportgen.engine.programs import Compiled, Program, Rows
from reportgen.engine.rows import Engine
from reportgen.models.base import Model


class Rung(NamedTuple):
    """A program whose rows are those that the rung below returned.

    Attributes:
      size: rows of a chunk on each device.
    """

    program: Program
    size: int


class Ladder:
    """Programs that are run in their order, each on as many chunks as there are.

    A context: the thread that compiles ends with it.
    """

    def __init__(self, engine: Engine, model: Model, rungs: Sequence[Rung]) -> None:
        self._engine, self._rungs = engine, rungs
        self._model = engine.everywhere(model)
        self._compiled: dict[int, Future[Compiled]] = {}
        self._thread = ThreadPoolExecutor(1, "compile ahead")

    def __enter__(self) -> Ladder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._thread.shutdown(cancel_futures=True)

    def size(self, number: int) -> int:
        """Rows of a chunk at a rung, over all devices."""
        return self._rungs[number].size * len(self._engine.devices)

    def run(self, number: int, rows: Rows) -> Rows:
        """What a rung's program makes of a chunk of ``size(number)`` rows.

        Raises:
          ResourceError: if it does not fit into the budget, or into memory.
        """
        program, size = self._rungs[number]
        self._ask(number, rows)
        made = self._compiled[number].result()
        returned: Rows = self._engine.run(program, size, self._model, rows)
        if number + 1 < len(self._rungs):
            self._ask(number + 1, made.returns)
        if self._engine.on_cpu:  # one after another, so that a person can interrupt between
            jax.block_until_ready(returned)
        return returned

    def _ask(self, number: int, rows: Any) -> None:
        """Have a rung compiled for rows of these shapes, but for how many they are."""
        if number in self._compiled:
            return
        program, size = self._rungs[number]
        shapes = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct((self.size(number), *leaf.shape[1:]), leaf.dtype),
            rows,
        )
        work = partial(self._engine.prepared, program, size, self._model, shapes)
        self._compiled[number] = self._thread.submit(work)
