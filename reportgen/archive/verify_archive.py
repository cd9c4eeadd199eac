"""Whether an archive's reports are those that were archived."""

from __future__ import annotations

from pathlib import Path

from reportgen.archive import history
from reportgen.archive.folder import HISTORY, SUMS, archive_of, sha256
from reportgen.archive.standing import looked_at, some
from reportgen.archive.verify import unlike
from reportgen.core.archived import Entry


def verify_archive(archive: Path) -> tuple[int, list[str]]:
    """How many reports there are, and what is wrong with them, in sentences.

    A report whose bytes are those that were archived needs not be drawn again. The history's digest
    of its checksums finds one that was replaced as a whole.

    Raises:
      OutputError: if the archive cannot be read.
    """
    standing = looked_at(archive)
    problems = list(standing.notes)
    if standing.unlisted:
        problems.append(
            f"{HISTORY} does not tell of {some(standing.unlisted)}: nothing says what was archived "
            "there (reportgen index writes down what is there now)"
        )
    unlisted = set(standing.unlisted)
    for path in sorted({*standing.live, *unlisted}):
        told = None if path in unlisted else standing.live[path]
        problems += [f"{path}: {problem}" for problem in _wrong(archive / path, told)]
    return len({*standing.live, *unlisted}), problems


def against_history(folder: Path) -> list[str]:
    """Whether a report is the one that was archived in its place, if it is in an archive."""
    archive = archive_of(folder)
    if archive is None:
        return []
    told = history.read(archive).live.get(folder.resolve().relative_to(archive).as_posix())
    if told is None:
        return [f"{HISTORY} of the archive {archive} does not tell of it"]
    return _wrong(folder, told)


def _wrong(folder: Path, told: Entry | None) -> list[str]:
    problems = unlike(folder)
    if told is not None and not problems and sha256(folder / SUMS) != told.sums_sha256:
        return ["is not what was archived: it was replaced as a whole"]
    return problems
