"""Arrays of one shape, kept in memory while they are few and in a temporary file beyond."""

from __future__ import annotations

import errno
import math
import tempfile
import threading
import weakref
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from reportgen.core.errors import DataError

IN_MEMORY = 256 * 2**20  # bytes


class Store(Protocol):
    """Room for so many arrays. Each place is written once, and read only after that."""

    def put(self, index: int, value: np.ndarray) -> None:
        """Write one array, or consecutive ones if ``value`` has one axis more."""

    def get(self, start: int, stop: int) -> np.ndarray:
        """The arrays from ``start`` to before ``stop``."""


class _Memory:
    def __init__(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self._array = np.empty(shape, dtype)

    def put(self, index: int, value: np.ndarray) -> None:
        count = 1 if value.ndim < self._array.ndim else len(value)
        self._array[index : index + count] = value

    def get(self, start: int, stop: int) -> np.ndarray:
        return self._array[start:stop]


class _File:
    """Read and written, not mapped: mapped pages would count as the process's own memory.

    The file has no name, so that nothing is left behind, however the process ends.
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self._shape, self._dtype = shape[1:], dtype
        self._bytes = dtype.itemsize * math.prod(shape[1:])
        self._total = shape[0] * self._bytes
        self._lock = threading.Lock()
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (closed below)
        # Not at the interpreter's end, when a thread may still write; the system closes it then.
        weakref.finalize(self, self._file.close).atexit = False

    def put(self, index: int, value: np.ndarray) -> None:
        rest = np.ascontiguousarray(value, self._dtype).reshape(-1).data.cast("B")
        try:
            with self._lock:
                self._file.seek(index * self._bytes)
                while rest:
                    rest = rest[self._file.write(rest) :]
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            raise DataError(
                f"The images need {self._total / 2**20:,.0f} MiB for a while, and there is no room "
                f"left in {tempfile.gettempdir()}.",
                "Set TMPDIR to a folder with more room, or data.count=… for fewer images.",
            ) from error

    def get(self, start: int, stop: int) -> np.ndarray:
        array = np.empty((stop - start, *self._shape), self._dtype)
        with self._lock:
            self._file.seek(start * self._bytes)
            rest = array.reshape(-1).data.cast("B") if array.size else memoryview(b"")
            while rest:
                rest = rest[self._file.readinto(rest) :]
        return array


def make_store(shape: Sequence[int], dtype: np.dtype) -> Store:
    """Room for ``shape[0]`` arrays of the shape that follows; a file beyond ``IN_MEMORY`` bytes."""
    fits = math.prod(shape) * dtype.itemsize <= IN_MEMORY
    return (_Memory if fits else _File)(tuple(shape), dtype)
