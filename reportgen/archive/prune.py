"""Removing nightly reports that are old; releases are kept."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from reportgen.archive import history, index, lock
from reportgen.archive.folder import writing
from reportgen.archive.names import check_inside
from reportgen.archive.standing import TRASH, Standing, looked_at, mended, now
from reportgen.core.archived import Entry, Removal

KEEP = 30


def removable(archive: Path, keep: int) -> tuple[list[Entry], Standing]:
    """Nightly reports but the last ``keep`` of each model, by their numbers; nothing is changed.

    Raises:
      OutputError: if the archive cannot be read, or a link leads to one of them.
    """
    standing = looked_at(archive)
    return _old(archive, standing, keep), standing


def prune(archive: Path, keep: int) -> tuple[list[Entry], Standing]:
    """Remove them; their numbers stay in the history and in the page's trends.

    Returns:
      What was removed, and what the archive holds now.

    Raises:
      OutputError: if the archive cannot be written. What was removed until then is told in its
        history.
    """
    with lock.changing(archive):
        standing = mended(archive)
        old = _old(archive, standing, keep)
        moved: list[Entry] = []
        try:
            _move(archive, old, moved)
        finally:
            _told(archive, standing, moved)
        with writing(archive / TRASH, "archive.dir"):
            if moved:
                shutil.rmtree(archive / TRASH)
    return old, standing


def _old(archive: Path, standing: Standing, keep: int) -> list[Entry]:
    nightly: dict[str, list[Entry]] = {}
    for entry in standing.live.values():
        if entry.kind == "nightly":
            nightly.setdefault(entry.model, []).append(entry)
    old = [entry for every in nightly.values() for entry in every[: max(0, len(every) - keep)]]
    for entry in old:
        check_inside(archive, archive / entry.path)
    return sorted(old, key=lambda entry: entry.sequence)


def _move(archive: Path, old: Sequence[Entry], moved: list[Entry]) -> None:
    """Into ``.trash``, from where a run that comes after this one was killed would remove them."""
    check_inside(archive, archive / TRASH)
    for entry in old:
        place = archive / TRASH / entry.path
        with writing(place, "archive.dir"):
            place.parent.mkdir(parents=True, exist_ok=True)
            (archive / entry.path).rename(place)
        moved.append(entry)
        with suppress(OSError):  # other configurations of that night may be beside it
            (archive / entry.path).parent.rmdir()


def _told(archive: Path, standing: Standing, moved: Sequence[Entry]) -> None:
    if not moved:
        return
    paths = tuple(entry.path for entry in moved)
    history.append(archive, [Removal(sequence=standing.next, removed=now(), paths=paths)])
    for path in paths:
        standing.removed.append(standing.live.pop(path))
    standing.removed.sort(key=lambda entry: entry.sequence)
    index.draw(archive, standing)
