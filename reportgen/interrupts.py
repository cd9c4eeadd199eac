"""Ctrl-C, and a scheduler's SIGTERM that ends a run as Ctrl-C does: nothing half-written is left.

An exception that a signal raises is lost where Python cannot pass it on: in callbacks of the
garbage collector, of which JAX has some. So that it was asked for is remembered, and told again.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_asked: list[int] = []


def _raise(number: int, frame: FrameType | None) -> None:
    _asked.append(number)
    raise KeyboardInterrupt


@contextmanager
def ending_a_run() -> Iterator[None]:
    """Within, both signals raise ``KeyboardInterrupt``."""
    _asked.clear()
    former = {number: signal.signal(number, _raise) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def check() -> None:
    """Whether the exception was lost.

    Raises:
      KeyboardInterrupt: if one of the signals came.
    """
    if _asked:
        raise KeyboardInterrupt
