"""Pictures drawn and encoded by pools of threads, each once, while others compute or lay out."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

from reportgen.core.cores import cores
from reportgen.render.sketches import Sketch, sketches

# Each holds one picture and what it is drawn with; more would take memory and win little.
_THREADS = 8


class Painter:
    """Draws sketches in the background.

    Pillow, zlib and most of NumPy leave the interpreter to others while they work. Pictures that
    wait to be drawn hold no memory of their own, those that are drawn only their files. An error of
    a thread is raised where its picture is used. On leaving, what was not begun is dropped.
    """

    def __init__(self, threads: int | None = None) -> None:
        threads = threads or min(_THREADS, cores())
        self._pool = ThreadPoolExecutor(threads, "paint")
        self._aside = ThreadPoolExecutor(threads, "paint-ahead", _stand_back)
        self._files: dict[bytes, Future[bytes]] = {}
        self._early: dict[bytes, Future[bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for pool in (self._pool, self._aside):
            pool.shutdown(wait=False, cancel_futures=True)
        for pool in (self._pool, self._aside):
            pool.shutdown()

    def picture(self, sketch: Sketch) -> Future[bytes]:
        """The picture's file, which may still be drawn; one file for all equal sketches."""
        if sketch.key not in self._files:
            early = self._early.get(sketch.key)
            # One that still waits is wanted now, and drawn with those that were not begun ahead.
            if early is None or early.cancel():
                early = self._pool.submit(sketch.encoded)
            self._files[sketch.key] = early
        return self._files[sketch.key]

    def smaller(self, sketch: Sketch, factor: int) -> Future[bytes]:
        """The picture's file, so many times smaller in height and width."""
        return self._pool.submit(sketch.encoded, factor)

    def ahead(self, blocks: Iterable[Any]) -> None:
        """Begins with the pictures of blocks that a page will show later, as long as cores idle."""
        for block in blocks:
            for sketch in sketches(block):
                if sketch.key not in self._early:
                    self._early[sketch.key] = self._aside.submit(sketch.encoded)


def _stand_back() -> None:
    """Lets all other threads go first; elsewhere than on Linux a thread has no priority of its own.

    Where XLA computes on all cores, drawing beside it would delay it by as long as it takes, and
    the seconds that methods report would count it.
    """
    if sys.platform == "linux":
        os.nice(19)
