"""Reports by what people call them: a folder, or a name in the archive."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from reportgen.archive.folder import RESULTS
from reportgen.archive.release import LATEST
from reportgen.archive.standing import looked_at
from reportgen.core.archived import Entry
from reportgen.core.errors import OutputError, did_you_mean

_SHOWN = 5


def resolve(name: str, archive_dir: str | Path) -> Path:
    """The folder of a report.

    Args:
      name: a folder's path; or in the archive ``v1.4``, ``lenet/v1.4``, ``lenet/v1.4/0123ab`` (the
        beginning of the configuration's hash), ``latest`` or ``lenet/latest``, which is the last
        that was archived.

    Raises:
      OutputError: if there is no such report, or several, with the names that tell them apart.
    """
    archive = Path(archive_dir)
    folder = Path(name)
    here = bool(name) and _there(folder / RESULTS)
    found: list[Entry] = []
    known: list[Entry] = []
    if archive.is_dir():
        known = list(looked_at(archive).live.values())
        found = _matching(name, known)
    if here and any((archive / entry.path).resolve() != folder.resolve() for entry in found):
        raise OutputError(
            f"{name!r} is ambiguous: there is a report in the folder {name}, and one of that name "
            f"in the archive {archive}.",
            f"Write ./{name} for the folder, or {found[0].path} for the other.",
        )
    if here:
        return folder
    if len(found) == 1:
        return archive / found[0].path
    if found:
        raise OutputError(
            f"{name!r} is ambiguous: in the archive {archive} it may be {_shown(found)}.",
            "Give as much of that as tells it apart.",
        )
    if name and _there(folder, Path.is_dir):
        return folder  # who reads it tells what is missing
    raise _unknown(name, archive, known)


def _there(path: Path, kind: Callable[[Path], bool] = Path.exists) -> bool:
    try:
        return kind(path)
    except OSError:  # a name that is too long
        return False


def _matching(name: str, known: Sequence[Entry]) -> list[Entry]:
    parts = name.split("/")
    if parts[-1] == LATEST and len(parts) <= 2:
        models = dict.fromkeys(entry.model for entry in known)
        wanted = parts[:-1] or list(models)
        last = {entry.model: entry for entry in known if entry.model in wanted}
        return list(last.values())
    if len(parts) == 1:
        return [entry for entry in known if entry.release == name]
    if len(parts) == 2:
        return [entry for entry in known if [entry.model, entry.release] == parts]
    return [
        entry for entry in known if len(parts) == 3 and parts[2] and entry.path.startswith(name)
    ]


def _shown(found: Sequence[Entry]) -> str:
    names = [entry.path for entry in found]
    if len(names) <= _SHOWN:
        return f"{', '.join(names[:-1])} or {names[-1]}"
    return f"{', '.join(names[:_SHOWN])} or one of {len(names) - _SHOWN} more"


def _unknown(name: str, archive: Path, known: Sequence[Entry]) -> OutputError:
    if not archive.is_dir():
        return OutputError(
            f"There is no report {name!r}: no such folder, and no archive {archive}.",
            "Give a report's folder, or name the archive: archive.dir=…",
        )
    depth = name.count("/")
    names = [
        name
        for entry in known
        for name in {
            0: (entry.release, entry.model),
            1: (f"{entry.model}/{entry.release}",),
        }.get(depth, (entry.path,))
    ]
    if any(entry.model == name for entry in known):
        return OutputError(
            f"{name!r} is a model of the archive {archive}, not a report.",
            f"Its last one is {name}/{LATEST}.",
        )
    return OutputError(
        f"There is no report {name!r}: no such folder, and none in the archive {archive}.",
        did_you_mean(name, reversed(names)),
    )
