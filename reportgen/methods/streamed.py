"""Sums over a stream of images that outlive a killed run: they are kept every so many images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from reportgen.engine.digest import Digest
from reportgen.engine.programs import Program, Rows
from reportgen.engine.rows import Chunk, Engine, Source
from reportgen.models.base import Model

BLOCK = 256  # images: some seconds of a large network on a CPU
_AT_ONCE = 16


def streamed(
    engine: Engine,
    program: Program,
    model: Model,
    source: Source,
    listed: int,
    advance: Callable[[int], None],
    take: Callable[[Chunk], np.ndarray | None],
    sums: Mapping[str, Any],
) -> list[np.ndarray]:
    """Run a program over all images and take in what it makes, chunk by chunk.

    Where finished work is kept, the sums are read from there as far as the images are the same.

    Args:
      listed: images at the most.
      take: adds a chunk to the sums; chunks come in order, their ``start`` counts all images. It
        may return an array (N, …) that is wanted of every image.
      sums: by name; dataclasses, or dictionaries of them, whose fields are arrays and numbers.

    Returns:
      What ``take`` returned, in order.
    """
    if engine.kept is None:
        chunks = engine.map(program, model, source, listed, advance, keep=False)
        return [rows for chunk in chunks if (rows := take(chunk)) is not None]
    wanted: list[np.ndarray] = []
    content = Digest()
    # What is summed up is not the program's to say: of how many leaders, for instance.
    content.take(_shapes(_arrays(sums)))
    for first in range(0, listed, BLOCK):
        size = min(BLOCK, listed - first)
        found = _look(source, content, first, first + size)
        if found:
            block = _Block(engine, program, model, source, first, found, advance, take, sums)
            about = (program, model, content.hex(), listed)
            made = engine.recalled(about, block.run)
            if not block.ran:
                _restore(sums, made["sums"])
                advance(found)
            wanted += made["rows"].values()
        if found < size:
            break
    return wanted


@dataclass
class _Block:
    engine: Engine
    program: Program
    model: Model
    source: Source
    first: int
    count: int
    advance: Callable[[int], None]
    take: Callable[[Chunk], np.ndarray | None]
    sums: Mapping[str, Any]
    ran: bool = False

    def run(self) -> dict[str, Any]:
        """The sums behind the block, and what is wanted of its images."""
        self.ran = True
        chunks = self.engine.map(
            self.program, self.model, self._rows, self.count, self.advance, keep=False
        )
        moved = (replace(chunk, start=self.first + chunk.start) for chunk in chunks)
        wanted = [rows for chunk in moved if (rows := self.take(chunk)) is not None]
        whole = {"0": np.concatenate(wanted)} if wanted else {}
        return {"sums": _arrays(self.sums), "rows": whole}

    def _rows(self, start: int, stop: int) -> Rows:
        return self.source(self.first + start, self.first + stop)


def _look(source: Source, content: Digest, start: int, stop: int) -> int:
    """Take the rows into a digest, a few at a time; how many there are."""
    for first in range(start, stop, _AT_ONCE):
        rows = source(first, min(first + _AT_ONCE, stop))
        content.take(tuple(rows))
        if len(rows[0]) < min(_AT_ONCE, stop - first):
            return first - start + len(rows[0])
    return stop - start


def _arrays(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _arrays(part) for name, part in value.items()}
    return {field.name: np.asarray(getattr(value, field.name)) for field in fields(value)}


def _shapes(arrays: Any) -> Any:
    if isinstance(arrays, Mapping):
        return {name: _shapes(part) for name, part in arrays.items()}
    return arrays.shape, arrays.dtype.str


def _restore(value: Any, before: Mapping[str, Any]) -> None:
    if isinstance(value, Mapping):
        for name, part in value.items():
            _restore(part, before[name])
        return
    for field in fields(value):
        array = before[field.name]
        number = isinstance(getattr(value, field.name), int)
        setattr(value, field.name, int(array) if number else np.array(array))
