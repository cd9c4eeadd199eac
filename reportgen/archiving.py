"""The commands on archives: verify, index, prune."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from reportgen import terminal
from reportgen.archive import index as archive_index
from reportgen.archive.folder import read_json
from reportgen.archive.prune import KEEP, prune, removable
from reportgen.archive.standing import is_archive
from reportgen.archive.verify import is_current
from reportgen.archive.verify import verify as verify_report
from reportgen.archive.verify_archive import against_history, verify_archive
from reportgen.core.errors import ConfigError, OutputError, did_you_mean
from reportgen.render import numbers


def verify(folder: Path) -> int:
    """Say what is wrong with a report, or with any of an archive.

    Raises:
      OutputError: if anything is.
    """
    if is_archive(folder):
        count, problems = verify_archive(folder)
        right = f"{numbers.counted(count, 'report')}, each byte as it was archived"
    else:
        problems = verify_report(folder)
        problems += [found for found in against_history(folder) if found not in problems]
        right = "checksums, provenance, schema and drawing again are as they should be"
        if not problems and not is_current(read_json(folder)):
            right = (
                "checksums and schema are as they should be; it is of an earlier schema version, "
                "whose pages are not drawn again"
            )
    for problem in problems:
        terminal.say(f"wrong: {problem}")
    if problems:
        counted = numbers.counted(len(problems), "difference")
        raise OutputError(f"{folder} is not what it was: {counted}.")
    terminal.say(f"{folder}: {right}")
    return 0


def index(archive: Path) -> int:
    """Mend an archive's history and draw its page."""
    standing = archive_index.rebuild(archive)
    _notes(standing.notes)
    counted = numbers.counted(len(standing.live), "report")
    terminal.say(f"{archive / archive_index.PAGE}  ({counted})")
    return 0


def archive(arguments: Sequence[str], usage: str) -> int:
    """``archive prune``: say what of old nightly reports would be removed, or remove it.

    Raises:
      ConfigError: if the arguments are wrong.
    """
    folder, keep, yes = _parsed(arguments, usage)
    old, standing = prune(folder, keep) if yes else removable(folder, keep)
    _notes(standing.notes)
    did = "removed" if yes else "would remove"
    for entry in old:
        terminal.say(f"{did} {entry.path}  ({numbers.size(entry.bytes)})")
    total = numbers.size(sum(entry.bytes for entry in old))
    left = numbers.counted(len(standing.live) - (0 if yes else len(old)), "report")
    terminal.say(f"{did} {numbers.counted(len(old), 'report')}, {total}; left: {left}")
    if old and not yes:
        terminal.say(f"To do so: reportgen archive prune {folder} keep={keep} --yes")
    return 0


def _parsed(arguments: Sequence[str], usage: str) -> tuple[Path, int, bool]:
    action, *rest = arguments or ("",)
    if action != "prune":
        said = f"there is no 'archive {action}'" if action else "nothing is said"
        raise ConfigError(f"Expected what to do with an archive, and {said}.", usage)
    kept = [word.removeprefix("keep=") for word in rest if word.startswith("keep=")]
    places = [word for word in rest if not word.startswith(("keep=", "--"))]
    flags = [word for word in rest if word.startswith("--")]
    if wrong := [word for word in flags if word != "--yes"]:
        raise ConfigError(
            f"There is no {wrong[0]}.", f"{did_you_mean(wrong[0], ['--yes'])}\n{usage}"
        )
    if len(places) != 1 or len(kept) > 1:
        raise ConfigError(f"One archive is expected, found {len(places)}.", usage)
    count = kept[0] if kept else str(KEEP)
    if not count.isdecimal() or int(count) < 1:
        raise ConfigError(
            f"keep is {count!r}; expected how many nightly reports of each model stay, 1 or more.",
            usage,
        )
    return Path(places[0]), int(count), bool(flags)


def _notes(notes: Sequence[str]) -> None:
    for note in notes:
        terminal.say(f"  note  {note}")
