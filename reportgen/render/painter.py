"""Pictures drawn and encoded by a pool of threads, each once, while others compute or lay out."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

from reportgen.render.sketches import Sketch, sketches

# Each holds one picture and what it is drawn with; more would take memory and win little.
_THREADS = 8


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Painter:
    """Draws sketches in the background.

    Pillow, zlib and most of NumPy leave the interpreter to others while they work. Pictures that
    wait to be drawn hold no memory of their own, those that are drawn only their files. An error of
    a thread is raised where its picture is used. On leaving, what was not begun is dropped.
    """

    def __init__(self, threads: int | None = None) -> None:
        self._pool = ThreadPoolExecutor(threads or min(_THREADS, cores()), "paint")
        self._files: dict[bytes, Future[bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def picture(self, sketch: Sketch) -> Future[bytes]:
        """The picture's file, which may still be drawn; one file for all equal sketches."""
        if sketch.key not in self._files:
            self._files[sketch.key] = self._pool.submit(sketch.encoded)
        return self._files[sketch.key]

    def ahead(self, blocks: Iterable[Any]) -> None:
        """Begins with the pictures of blocks that a page will show later."""
        for block in blocks:
            for sketch in sketches(block):
                self.picture(sketch)
