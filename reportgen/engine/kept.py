"""Work that was done before, kept on disk under what it was made of.

A run that was killed finds all that it had finished, and a report that differs in one setting finds
all that does not depend on it. What is found is what would be made, to the bit: code, versions,
devices and options are a part of the name. Nothing is ever unpickled: files are safetensors.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from reportgen.engine.digest import digest

_DIGEST = 32  # bytes in front of a file's content
_ROOM = 0.9  # of the limit that is left after the oldest went


@dataclass
class Kept:
    """Arrays by name, found again by a digest.

    Attributes:
      folder: made when something is kept.
      limit: bytes of all files; the longest unused go first.
      scope: what everything depends on, such as versions and devices.
      reads: whether what is there is looked at; new work is kept in any case.
      told: lines for the log.
    """

    folder: Path
    limit: int
    scope: str
    reads: bool = True
    told: list[str] = field(default_factory=list)
    found: int = 0
    made: int = 0
    _size: int | None = None
    _failed: bool = False

    def name(self, *about: Any) -> str:
        """What work on these things is kept under.

        Raises:
          TypeError: if one of them has no digest.
        """
        return digest(self.scope, *about)

    def find(self, name: str) -> dict[str, Any] | None:
        """What was kept: nested dictionaries of arrays; None if there is nothing, or it is torn."""
        if not self.reads:
            return None
        path = self._path(name)
        try:
            content = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        if hashlib.sha256(content[_DIGEST:]).digest() != content[:_DIGEST]:
            return None
        try:
            flat = load(content[_DIGEST:])
        except (SafetensorError, ValueError):
            return None
        self.found += 1
        return _nested(flat)

    def keep(self, name: str, made: Mapping[str, Any]) -> None:
        """Keep nested dictionaries of arrays; another process may keep the same at once."""
        self.made += 1
        if self._failed:
            return
        payload = save(_flat(made))
        content = hashlib.sha256(payload).digest() + payload
        path = self._path(name)
        try:
            write_at_once(path, content)
            self._make_room(len(content))
        except OSError as error:
            # The report does not need it; who runs it again does.
            self._failed = True
            self.told.append(f"finished work is not kept any more: {error.strerror} ({path})")

    def _path(self, name: str) -> Path:
        return self.folder / name[:2] / name[2:]

    def _make_room(self, added: int) -> None:
        if self._size is None:
            self._size = sum(size for _, size, _ in _files(self.folder))
        else:
            self._size += added
        if self._size <= self.limit:
            return
        files = sorted(_files(self.folder))
        self._size = sum(size for _, size, _ in files)
        for _, size, path in files:
            if self._size <= _ROOM * self.limit:
                return
            path.unlink(missing_ok=True)
            self._size -= size


def write_at_once(path: Path, content: bytes) -> None:
    """Write a file and its folder; another process sees all of it or nothing.

    Raises:
      OSError: if it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
        part = Path(file.name)
        try:
            file.write(content)
            file.flush()
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


def _files(folder: Path) -> list[tuple[float, int, Path]]:
    found = []
    for path in folder.glob("??/*"):
        try:
            state = path.stat()
        except OSError:  # another process was faster
            continue
        found.append((state.st_mtime, state.st_size, path))
    return found


def _flat(made: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Arrays under their number and path: a file has an order of its own."""
    flat: dict[str, np.ndarray] = {}

    def put(value: Any, place: tuple[str, ...]) -> None:
        if isinstance(value, Mapping) and value:
            for name, inner in value.items():
                put(inner, (*place, name))
        else:
            empty = isinstance(value, Mapping)
            array = np.zeros(0) if empty else np.array(value, order="C", copy=None)
            flat[json.dumps((len(flat), empty, *place))] = array

    put(made, ())
    return flat


def _nested(flat: Mapping[str, np.ndarray]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for joined in sorted(flat, key=lambda joined: int(json.loads(joined)[0])):
        _, empty, *place = json.loads(joined)
        if not place:
            return {}
        inner = made
        for part in place[:-1]:
            inner = inner.setdefault(part, {})
        inner[place[-1]] = {} if empty else flat[joined]
    return made
