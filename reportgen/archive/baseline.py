"""The report that a run, or another report, is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from yaml import YAMLError

from reportgen.archive.folder import CONFIG, read_report
from reportgen.archive.resolve import resolve
from reportgen.core.errors import ConfigError, OutputError
from reportgen.core.report import Report


def read_config(folder: Path) -> dict[str, Any] | None:
    """What a report was made by, the content of its config.yaml; None if it has none.

    Raises:
      OutputError: if the file is damaged.
    """
    path = folder / CONFIG
    if not path.is_file():
        return None
    try:
        found = OmegaConf.to_container(OmegaConf.load(path))
    except (OSError, ValueError, YAMLError) as error:
        raise OutputError(f"{path} is damaged: {error}.") from error
    if not isinstance(found, dict):
        raise OutputError(f"{path} is damaged: it holds no keys.")
    return {str(key): value for key, value in found.items()}


@dataclass(frozen=True)
class Baseline:
    """A report, and the content of its config.yaml; None if it has none."""

    report: Report
    config: dict[str, Any] | None


def read_baseline(name: str | None, archive_dir: str) -> Baseline | None:
    """The report of a folder, or of a name in the archive (see ``resolve``); None for none.

    Raises:
      ConfigError: if there is no such report, or it is damaged or of a later schema.
    """
    if name is None:
        return None
    try:
        folder = resolve(name, archive_dir)
        return Baseline(read_report(folder), read_config(folder))
    except OutputError as error:
        raise ConfigError(
            f"baseline={name} cannot be compared with: {error.message}",
            error.hint or "Give the folder of a whole report, or a name of the archive.",
        ) from error
