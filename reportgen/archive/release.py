"""A report's place in an archive: ``DIR/MODEL/RELEASE/CONFIG``, which is taken once."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from reportgen.archive import history, index, lock
from reportgen.archive.folder import HISTORY, staged, writing
from reportgen.archive.names import check_inside, fault, twin
from reportgen.archive.standing import (
    NIGHTLY,
    cleared,
    entry_of,
    is_archive,
    is_nightly,
    mended,
    now,
    run_key,
    stamp,
)
from reportgen.config import ArchiveConfig
from reportgen.core.errors import ConfigError, OutputError

LATEST = "latest"
_DIGITS = 12  # of the configuration's hash
_OWN = {index.ASSETS, HISTORY, index.PAGE}


@dataclass(frozen=True)
class Place:
    """Where a report is written.

    Attributes:
      folder: where it is made. ``target``: where it will be.
      notes: what is to be told once it is there.
    """

    folder: Path
    target: Path
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Release:
    """A report that is to be archived; its names have been checked.

    Attributes:
      release: a tag, or ``nightly``: a name by today's date and a number.
      config: first digits of the configuration's hash.
    """

    archive: Path
    model: str
    release: str
    config: str
    force: bool

    @contextmanager
    def placed(self) -> Iterator[Place]:
        """The place to write to; the report is archived once the block ends well.

        Raises:
          OutputError: before the block, if the report is there already or another run is making
            it; after it, if it cannot be put there.
        """
        key = run_key(f"{self.model}/{self.release}/{self.config}")
        with lock.running(self.archive, key):
            notes = cleared(self.archive, key)
            path = self._path()
            self._check(path)

            @contextmanager
            def placing(folder: Path) -> Iterator[None]:
                with lock.changing(self.archive):
                    self._check(path)
                    standing = mended(self.archive)
                    notes.extend(standing.notes)
                    entry = entry_of(folder, path, standing.next, now())
                    stamp(folder, entry.sequence, entry.archived)
                    _settle(folder)
                    yield
                    _settle(self.archive / path, only=True)
                    standing.live.pop(path, None)
                    standing.live[path] = entry
                    try:
                        history.append(self.archive, [entry])
                        index.draw(self.archive, standing)
                    except OutputError as error:
                        raise OutputError(
                            f"The report is in {self.archive / path}, but the archive's history "
                            f"and index do not tell of it yet: {error.message}",
                            f"Mend that, then: reportgen index {self.archive}",
                        ) from error

            with staged(self.archive / path, placing) as folder:
                yield Place(folder, self.archive / path, notes)

    def check(self) -> None:
        """Refuse at once what would be refused after hours of computing.

        Raises:
          OutputError: if the report is there already, or its place is none.
        """
        with writing(self.archive, "archive.dir"):
            theirs = [name for name in (index.PAGE, index.ASSETS) if (self.archive / name).exists()]
            if theirs and not is_archive(self.archive):
                raise OutputError(
                    f"{self.archive} is no archive, and holds {theirs[0]}, which an archive's own "
                    "would replace.",
                    "Choose another folder: archive.dir=…",
                )
            self._check(self._path())

    def _path(self) -> str:
        if self.release != NIGHTLY:
            return f"{self.model}/{self.release}/{self.config}"
        # The clock may have been set back, and a report that was pruned keeps its name.
        taken = history.read(self.archive).paths
        name, count = f"{NIGHTLY}-{date.today().isoformat()}", 1
        path = f"{self.model}/{name}/{self.config}"
        while path in taken or (self.archive / path).exists():
            count += 1
            path = f"{self.model}/{name}.{count}/{self.config}"
        return path

    def _check(self, path: str) -> None:
        target = self.archive / path
        check_inside(self.archive, target)
        for folder, name, key in (
            (self.archive, self.model, "model.name"),
            (self.archive / self.model, target.parent.name, "archive.release"),
        ):
            if other := twin(folder, name):
                raise OutputError(
                    f"{folder / name} cannot be beside {folder / other}: on some file systems "
                    "these are one folder.",
                    f"Write it as it is there: {key}={other}, or choose another.",
                )
        if target.exists() and not self.force:
            raise OutputError(
                f"{target} is archived already, and a report in an archive stays as it was.",
                "Choose another archive.release=…, or replace it: archive.force=true",
            )


def planned(
    settings: ArchiveConfig, *, model: str, config_sha256: str, report_dir: str | None
) -> Release | None:
    """Where the configuration archives its report; None if it does not.

    Raises:
      ConfigError: if the release or the model has a name that cannot be a folder's everywhere.
      OutputError: as ``Release.check``.
    """
    if settings.release is None:
        return None
    if report_dir is not None:
        raise ConfigError(
            f"report.dir is {report_dir!r} and archive.release is {settings.release!r}; a report "
            "goes to one place.",
            "Leave out report.dir to archive it, or archive.release to have it in that folder.",
        )
    _check_release(settings.release)
    wrong = fault(model)
    if not wrong and model.casefold() in _OWN:
        wrong = "is a name that the archive itself needs"
    if wrong:
        raise ConfigError(
            f"The model's name {model[:80]!r} {wrong}; in an archive it is a folder's.",
            "Give the model another: model.name=…",
        )
    release = Release(
        archive=Path(settings.dir),
        model=model,
        release=settings.release,
        config=config_sha256[:_DIGITS],
        force=settings.force,
    )
    release.check()
    return release


def _check_release(release: str) -> None:
    if wrong := fault(release):
        raise ConfigError(
            f"archive.release is {release[:80]!r}, which {wrong}; expected a folder's name.",
            "Give a tag such as v1.4, or nightly.",
        )
    if release.casefold() == LATEST or is_nightly(release):
        raise ConfigError(
            f"archive.release is {release!r}, a name that reportgen gives by itself.",
            "Give a tag such as v1.4, or nightly: a name by the date is then found for it.",
        )


def _settle(folder: Path, only: bool = False) -> None:
    """Have a report on the disk before its line is; ``only`` the names beside the folder."""
    with writing(folder, "archive.dir"):
        for path in [folder.parent] if only else [*folder.rglob("*"), folder]:
            whole = path.is_dir()
            if whole and sys.platform == "win32":  # where folders are not opened
                continue
            file = os.open(path, os.O_RDONLY if whole else os.O_RDWR)
            try:
                os.fsync(file)
            finally:
                os.close(file)
