"""history.jsonl: a line for each report that was archived or removed, in the order that it was.

Lines are only ever added. One that was torn by a killed process is cut off; what it told is told
again from what is on the disk (see ``standing.py``).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from reportgen.archive.folder import HISTORY, writing
from reportgen.archive.names import check_inside, fault
from reportgen.core.archived import Entry, Removal
from reportgen.core.errors import OutputError
from reportgen.core.results import strict

Line = Entry | Removal


@dataclass(frozen=True)
class History:
    """What the lines tell.

    Attributes:
      live: reports by path that should be there, in the order of their lines.
      removed: those that were pruned.
      paths: of all reports that ever were.
      next: the number of the next line.
      size: bytes up to the end of the last whole line; ``torn`` if there are more.
      damaged: numbers of lines that cannot be read, from 1.
    """

    live: dict[str, Entry]
    removed: tuple[Entry, ...]
    paths: frozenset[str]
    next: int
    size: int
    torn: bool
    damaged: tuple[int, ...]


def read(archive: Path) -> History:
    """The history of an archive; an empty one if it has none.

    Raises:
      OutputError: if the file cannot be read.
    """
    path = archive / HISTORY
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        content = b""
    except OSError as error:
        raise OutputError(f"{path} cannot be read: {error.strerror}.") from error
    *lines, rest = content.split(b"\n")
    live: dict[str, Entry] = {}
    removed: dict[str, Entry] = {}
    paths, damaged, last = set(), [], 0
    for number, text in enumerate(lines, 1):
        last = max(last, number)  # a line that is damaged had one, too
        line = _parsed(text)
        if line is None:
            damaged.append(number)
            continue
        last = max(last, line.sequence)
        if isinstance(line, Entry):
            live.pop(line.path, None)  # to the end
            live[line.path] = line
            removed.pop(line.path, None)
            paths.add(line.path)
        else:
            gone = [path for path in line.paths if path in live]
            removed |= {path: live.pop(path) for path in gone}
    return History(
        live=live,
        removed=tuple(removed.values()),
        paths=frozenset(paths),
        next=last + 1,
        size=len(content) - len(rest),
        torn=bool(rest),
        damaged=tuple(damaged),
    )


def append(archive: Path, lines: Iterable[Line]) -> None:
    """Add lines, on the disk when this returns; none of them if that fails.

    The archive must be locked, and no line of it torn.

    Raises:
      OutputError: if the file cannot be written.
    """
    path = archive / HISTORY
    check_inside(archive, path)
    content = b"".join(map(_written, lines))
    if not content:
        return
    with writing(path, "archive.dir"):
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            size = os.fstat(file).st_size
            try:
                _write(file, content)
                os.fsync(file)
            except OSError:
                os.ftruncate(file, size)
                raise
        finally:
            os.close(file)


def cut(archive: Path, history: History) -> None:
    """Cut off a torn line. The archive must be locked."""
    path = archive / HISTORY
    check_inside(archive, path)
    with writing(path, "archive.dir"):
        os.truncate(path, history.size)


def _write(file: int, content: bytes) -> None:
    while content:
        content = content[os.write(file, content) :]


@cache
def _adapter() -> TypeAdapter[Any]:
    return TypeAdapter(Annotated[Line, Field(discriminator="event")])


def _written(line: Line) -> bytes:
    data = strict(_adapter().dump_python(line, mode="json"))
    return (json.dumps(data, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _parsed(text: bytes) -> Line | None:
    """A line's content; None if it is damaged, or names a path that leads out of the archive."""
    try:
        line: Line = _adapter().validate_python(json.loads(text))
    except (ValueError, ValidationError, RecursionError):
        return None
    paths = (line.path,) if isinstance(line, Entry) else line.paths
    if any(len(path.split("/")) != 3 or any(map(fault, path.split("/"))) for path in paths):
        return None
    return line
