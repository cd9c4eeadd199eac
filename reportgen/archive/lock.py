"""Locks of an archive. They are the kernel's, which frees them when a process ends, however."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from reportgen.archive.folder import writing
from reportgen.archive.names import check_inside
from reportgen.core.errors import OutputError

LOCKS = ".locks"
_PATIENCE = 60.0  # seconds, for what takes a fraction of one
_GLANCE = 1.0  # seconds that ``free`` may hold what a run wants


@contextmanager
def running(archive: Path, key: str) -> Iterator[None]:
    """Held as long as a report is being made, so that no second run makes the same.

    Args:
      key: which report, ``lenet/v1.4/0123456789ab``.

    Raises:
      OutputError: at once, if another run holds it: its process, host and since when.
    """
    with _held(
        archive,
        key,
        _GLANCE,
        lambda holder: f"A run for {key} is still going{holder}; it is left alone.",
        "Wait for it, or end that process.",
    ):
        yield


@contextmanager
def free(archive: Path, key: str) -> Iterator[bool]:
    """Whether no run is going for a report; if so, none begins in the block."""
    lock, _ = _files(archive, key)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


@contextmanager
def changing(archive: Path, patience: float = _PATIENCE) -> Iterator[None]:
    """Held while the archive itself is changed: a report put in place, a line, the index.

    Raises:
      OutputError: if another process holds it for longer than ``patience`` seconds.
    """
    with _held(
        archive,
        "",
        patience,
        lambda holder: f"The archive {archive} has been locked for {patience:g} s{holder}.",
        "Nothing was changed. Try again once that process has ended.",
    ):
        yield


@contextmanager
def _held(
    archive: Path, key: str, patience: float, message: Callable[[str], str], hint: str
) -> Iterator[None]:
    """A lock, and beside it who holds it, which is what the message is made with for another."""
    lock, told = _files(archive, key)
    try:
        with writing(archive, "archive.dir"):
            lock.acquire(timeout=patience)
    except Timeout:
        raise OutputError(message(_holder(told)), hint) from None
    holder = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now().astimezone().isoformat(timespec="seconds"),
    }
    try:
        with writing(archive, "archive.dir"):
            told.write_text(json.dumps(holder), encoding="utf-8")
        yield
    finally:
        # Before the lock, or it would be the next holder's.
        with suppress(OSError):
            told.unlink(missing_ok=True)
        lock.release()


def _files(archive: Path, key: str) -> tuple[FileLock, Path]:
    """The lock, and the file that says who holds it."""
    folder = archive / LOCKS
    check_inside(archive, folder)
    name = hashlib.sha256(key.encode()).hexdigest()[:16] if key else "archive"
    with writing(archive, "archive.dir"):
        folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / f"{name}.lock"), folder / f"{name}.json"


def _holder(told: Path) -> str:
    try:
        holder = json.loads(told.read_text(encoding="utf-8"))
        return f" (process {holder['pid']} on {holder['host']}, since {holder['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
