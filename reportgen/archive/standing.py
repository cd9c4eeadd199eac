"""What an archive holds: its history held against its folders, and mended where they differ.

Every step of archiving and pruning leaves a trace from which the next one goes on, so that a
process may be killed between any two:

- a report is stamped with its number (in log.txt, which is not hashed) and put in place, then told
  in the history: a report without a line gets one;
- a report is pruned by moving it to ``.trash``, then told in the history, then deleted: what is in
  ``.trash`` was to be removed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from math import inf
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from reportgen.archive import history, lock
from reportgen.archive.folder import (
    FORMER,
    HISTORY,
    LOG,
    RESULTS,
    SUMS,
    read_report,
    sha256,
    writing,
)
from reportgen.archive.history import History
from reportgen.archive.names import check_inside, fault
from reportgen.core.archived import Entry, Removal
from reportgen.core.errors import OutputError, UserError
from reportgen.core.summary import Summary
from reportgen.render.summary import summarised

NIGHTLY = "nightly"
SUMMARY = "summary.json"
TRASH = ".trash"
_SHOWN = 3

_HASH = re.compile(r"[0-9a-f]{12}")
_STAGING = re.compile(r"\.([0-9a-f]{12})\.[^.]+(\.former)?")
_STAMP = re.compile(r"^archived as number (\d{1,15}) at (\S+)$", re.MULTILINE)


@dataclass
class Standing:
    """What an archive holds.

    Attributes:
      history: as it was read.
      live: reports in place, by path, in the order of their numbers.
      removed: those that were pruned, in the same order.
      unlisted: paths of reports in place that have no line in the history.
      missing: paths of lines whose report is not in place, though nobody pruned it.
      leftovers: folders of runs that did not end well, or are still going.
      notes: what was found to be wrong, and what was mended.
    """

    history: History
    live: dict[str, Entry]
    removed: list[Entry]
    unlisted: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    leftovers: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def next(self) -> int:
        """The number of the next line."""
        known = (*self.live.values(), *self.removed)
        return max((self.history.next, *(entry.sequence + 1 for entry in known)))


def is_archive(folder: Path) -> bool:
    """Whether a folder is an archive's, or what is left of one.

    Raises:
      OutputError: if it cannot be read.
    """
    if not folder.is_dir() or (folder / RESULTS).is_file():
        return False
    known = (folder / HISTORY).is_file() or (folder / lock.LOCKS).is_dir()
    return known or bool(scanned(folder)[0])


def looked_at(archive: Path) -> Standing:
    """What an archive holds, with nothing changed; no file of a report is opened if all is told.

    Raises:
      OutputError: if there is no such folder, or it cannot be read.
    """
    if not archive.is_dir():
        raise OutputError(f"There is no folder {archive}.", "Give the folder of an archive.")
    told = history.read(archive)
    found, leftovers = scanned(archive)
    live = {path: entry for path, entry in told.live.items() if path in found}
    standing = Standing(
        history=told,
        live=live,
        removed=_ordered(told.removed),
        unlisted=sorted(found - set(live)),
        missing=[path for path in told.live if path not in found],
        leftovers=leftovers,
    )
    if told.torn:
        standing.notes.append("the last line of history.jsonl is torn")
    standing.notes += [
        f"line {number} of history.jsonl cannot be read; it is left as it is"
        for number in told.damaged
    ]
    standing.notes += [
        f"{path} is in history.jsonl, but not in its place; the index leaves it out"
        for path in standing.missing
    ]
    _tell(standing, archive)
    return standing


def mended(archive: Path) -> Standing:
    """What an archive holds once its history tells all of it. The archive must be locked.

    Raises:
      OutputError: if the archive cannot be read or written.
    """
    told = history.read(archive)
    if told.torn:
        history.cut(archive, told)
    notes = _emptied(archive, told)
    standing = looked_at(archive)
    if told.torn:
        notes.append("the last line of history.jsonl was torn, and is cut off")
    notes += _cleared(standing.leftovers, archive)
    unlisted = set(standing.unlisted)
    new = [entry for entry in standing.live.values() if entry.path in unlisted]
    history.append(archive, new)
    if new:
        had = "had no line in history.jsonl, and has one now"
        notes.append(f"{some([entry.path for entry in new])} {had}")
    standing.notes = [*notes, *standing.notes]
    return standing


def entry_of(folder: Path, path: str, sequence: int, archived: str) -> Entry:
    """The line of a report, from its small files alone.

    Args:
      folder: where it is now. ``path``: where it belongs, relative to the archive.

    Raises:
      UserError: if it is damaged.
    """
    model, release, _ = path.split("/")
    try:
        sums = sha256(folder / SUMS)
        size = sum(file.stat().st_size for file in _files(folder))
    except OSError as error:
        raise OutputError(f"{folder} cannot be read: {error.strerror}.") from error
    return Entry(
        sequence=sequence,
        path=path,
        model=model,
        release=release,
        kind="nightly" if is_nightly(release) else "release",
        archived=archived,
        bytes=size,
        sums_sha256=sums,
        summary=_summary(folder),
    )


def stamp(folder: Path, sequence: int, archived: str) -> None:
    """Write down in a report's log.txt what its line will say and its other files do not."""
    with (folder / LOG).open("a", encoding="utf-8") as log:
        log.write(f"archived as number {sequence} at {archived}\n")


def now() -> str:
    """The local time, to be shown."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


def some(paths: Sequence[str]) -> str:
    """A few of many."""
    shown, more = ", ".join(paths[:_SHOWN]), len(paths) - _SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def is_nightly(release: str) -> bool:
    """Whether a release's name is one that scheduled runs are given."""
    return release.casefold().startswith(f"{NIGHTLY}-")


def run_key(path: str) -> str:
    """What runs of a report lock: nightly ones of a configuration are one after another."""
    model, release, config = path.split("/")
    return f"{model}/{NIGHTLY if is_nightly(release) else release}/{config}"


def _summary(folder: Path) -> Summary:
    path = folder / SUMMARY
    if not path.is_file():  # of a version before summary.json
        return summarised(read_report(folder))
    try:
        found: Summary = _adapter().validate_python(json.loads(path.read_bytes()))
    except (OSError, ValueError, ValidationError, RecursionError) as error:
        raise OutputError(f"{path} is damaged: {str(error).splitlines()[0]}.") from error
    return found


@cache
def _adapter() -> TypeAdapter[Any]:
    return TypeAdapter(Summary)


def _files(folder: Path) -> Iterator[Path]:
    """All files that count."""
    return (path for path in folder.rglob("*") if path.name != LOG and path.is_file())


def _ordered(entries: Iterable[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda entry: entry.sequence)


def _folders(folder: str | Path) -> Iterator[os.DirEntry[str]]:
    """Real folders: a link is no place of a report."""
    with suppress(FileNotFoundError), os.scandir(folder) as found:  # one may just be pruned
        yield from (entry for entry in found if entry.is_dir(follow_symlinks=False))


def _named(folder: str | Path) -> Iterator[os.DirEntry[str]]:
    return (entry for entry in _folders(folder) if not fault(entry.name))


def scanned(archive: Path) -> tuple[set[str], list[Path]]:
    """Paths of reports in place, and folders beside them that are being made, or were.

    No file is opened.
    """
    found, leftovers = set(), []
    try:
        for model in _named(archive):
            for release in _named(model.path):
                for report in _folders(release.path):
                    if _STAGING.fullmatch(report.name):
                        leftovers.append(Path(report))
                    elif _HASH.fullmatch(report.name) and Path(report, SUMS).is_file():
                        found.add(f"{model.name}/{release.name}/{report.name}")
    except OSError as error:
        raise OutputError(f"{archive} cannot be read: {error.strerror}.") from error
    return found, sorted(leftovers)


def _tell(standing: Standing, archive: Path) -> None:
    """Read what the reports without a line are, in the order in which they were archived."""
    stamped = sorted((*_stamped(archive / path), path) for path in standing.unlisted)
    known = (*standing.live.values(), *standing.removed)
    taken = {entry.sequence for entry in known if entry.path not in standing.unlisted}
    following = standing.history.next
    for number, _, archived, path in stamped:
        free = max((following, *(other + 1 for other in taken)))
        sequence = int(number) if number not in taken and number != inf else free
        try:
            standing.live[path] = entry_of(archive / path, path, sequence, archived)
        except UserError as error:
            standing.notes.append(f"{path} is damaged and cannot be indexed: {error.message}")
            continue
        taken.add(sequence)
    standing.live = {entry.path: entry for entry in _ordered(standing.live.values())}
    standing.removed = [entry for entry in standing.removed if entry.path not in standing.live]


def _stamped(folder: Path) -> tuple[float, int, str]:
    """Number, time of its checksums and time in words; without a stamp the number is infinite."""
    written, stamps = 0, []
    with suppress(OSError):
        written = (folder / SUMS).stat().st_mtime_ns
        stamps = _STAMP.findall((folder / LOG).read_text(encoding="utf-8", errors="replace"))
    if stamps:
        return int(stamps[-1][0]), written, stamps[-1][1]
    local = datetime.fromtimestamp(written / 1e9).astimezone()
    return inf, written, local.isoformat(timespec="seconds")


def _emptied(archive: Path, told: History) -> list[str]:
    """Go on where removing was broken off: tell of what is in ``.trash``, then delete it."""
    trash = archive / TRASH
    if not trash.is_dir():
        return []
    check_inside(archive, trash)
    found, _ = scanned(trash)
    untold = sorted(found & set(told.live))
    if untold:
        line = Removal(sequence=told.next, removed=now(), paths=tuple(untold))
        history.append(archive, [line])
    with writing(trash, "archive.dir"):
        shutil.rmtree(trash)
    return [f"{path} was being removed, and now is" for path in sorted(found)]


def cleared(archive: Path, key: str) -> list[str]:
    """Take away what killed runs of a report left; the caller holds its run's lock.

    Returns:
      What was found and done, in sentences.

    Raises:
      OutputError: if the archive cannot be read or written.
    """
    _, leftovers = scanned(archive) if archive.is_dir() else (set(), [])
    return [
        _clear(folder, archive)
        for folder in leftovers
        if run_key(_target(folder).relative_to(archive).as_posix()) == key
    ]


def _cleared(leftovers: Iterable[Path], archive: Path) -> list[str]:
    """Take away what killed runs left, of all reports that no run is making."""
    notes = []
    for folder in leftovers:
        key = run_key(_target(folder).relative_to(archive).as_posix())
        with writing(folder, "archive.dir"), lock.free(archive, key) as free:
            if free:
                notes.append(_clear(folder, archive))
    return notes


def _clear(folder: Path, archive: Path) -> str:
    """Delete it, or put back a report that was being replaced."""
    target = _target(folder)
    path = target.relative_to(archive).as_posix()
    with writing(folder, "archive.dir"):
        if folder.name.endswith(FORMER) and not target.exists():
            folder.rename(target)
            return f"{path} was being replaced, and is as it was before"
        shutil.rmtree(folder)
    return f"{path}: what a run left that did not end well was removed"


def _target(folder: Path) -> Path:
    """Where a run wanted its temporary folder to be."""
    found = _STAGING.fullmatch(folder.name)
    assert found is not None
    return folder.with_name(found[1])
