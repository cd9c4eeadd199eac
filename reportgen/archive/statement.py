"""provenance.json: an in-toto statement on a report's files, with SLSA's provenance in it.

https://in-toto.io/Statement/v1 and https://slsa.dev/provenance/v1. It is made of results.json,
config.yaml and the files themselves, so that drawing a report again writes it again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from reportgen.archive.folder import CONFIG, files, sha256
from reportgen.core.errors import OutputError
from reportgen.core.report import Report
from reportgen.core.results import strict
from reportgen.render.text import printable

STATEMENT = "provenance.json"
TYPE = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
_BUILD = "urn:reportgen:report:v1"

Json = dict[str, Any]


def write_statement(report: Report, folder: Path) -> None:
    """Write provenance.json; all other files of the report must be there.

    Raises:
      OutputError: if config.yaml is damaged.
    """
    (folder / STATEMENT).write_bytes(statement(report, folder))


def statement(report: Report, folder: Path) -> bytes:
    """The content of provenance.json of a report in a folder.

    Raises:
      OutputError: if config.yaml is damaged.
    """
    subjects = [name for name in files(folder) if name != STATEMENT]
    data = {
        "_type": TYPE,
        "subject": [
            {"name": printable(name), "digest": {"sha256": sha256(folder / name)}}
            for name in subjects
        ],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": _BUILD,
                "externalParameters": {
                    "command": printable(report.command),
                    "config": _config(folder),
                },
                "internalParameters": {
                    "device": printable(report.provenance.device),
                    "seed": report.provenance.seed,
                    **_known_answers(report),
                },
                "resolvedDependencies": _dependencies(report),
            },
            "runDetails": _run(report),
        },
    }
    text = json.dumps(strict(data), indent=1, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def subjects(folder: Path) -> dict[str, str]:
    """SHA-256 by file as a report's provenance.json states them.

    Raises:
      OutputError: if the file is damaged, or no such statement.
    """
    path = folder / STATEMENT
    try:
        data = json.loads(path.read_bytes())
        if (data["_type"], data["predicateType"]) != (TYPE, PREDICATE):
            raise ValueError("it is no in-toto statement of SLSA provenance")
        return {str(part["name"]): str(part["digest"]["sha256"]) for part in data["subject"]}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise OutputError(f"{path} is missing or damaged: {error!s}.") from error


def _config(folder: Path) -> Any:
    path = folder / CONFIG
    if not path.is_file():
        return {}
    try:
        return _plain(OmegaConf.to_container(OmegaConf.load(path)))
    except (OSError, ValueError, YAMLError, OmegaConfBaseException) as error:
        raise OutputError(f"{path} is damaged: {str(error).splitlines()[0]}.") from error


def _plain(value: Any) -> Any:
    """YAML as JSON, whose keys are texts."""
    if isinstance(value, Mapping):
        return {printable(str(key)): _plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return printable(value) if isinstance(value, str) else value


def _known_answers(report: Report) -> Json:
    found = report.provenance.known_answers
    return {} if found is None else {"knownAnswers": printable(found.words)}


def _dependencies(report: Report) -> list[Json]:
    """Weights, images, code and packages; random weights follow from the seed, and have none."""
    made = report.provenance
    found: list[Json] = []
    for name, digest, source in (
        ("weights", report.model.weights_sha256, report.model.weights),
        ("inputs", report.data.sha256, report.data.source),
    ):
        if digest:
            part = {"name": name, "digest": {"sha256": digest}}
            found.append({**part, "annotations": {"source": printable(source)}})
    if made.git_commit:
        code = {"name": "code", "digest": {"gitCommit": made.git_commit}}
        found.append({**code, "annotations": {"dirty": bool(made.git_dirty)}})
    found += [
        {"name": printable(name), "uri": _package(name, version)}
        for name, version in made.packages.items()
        if version != "missing"
    ]
    return found


def _run(report: Report) -> Json:
    made = report.provenance
    builder = {
        "id": _package("reportgen", made.reportgen),
        "version": {"reportgen": printable(made.reportgen), "python": printable(made.python)},
    }
    # A clock would make two equal runs differ.
    metadata = {"metadata": {"finishedOn": made.created}} if made.created else {}
    return {"builder": builder, **metadata}


def _package(name: str, version: str) -> str:
    """A package's URL: https://github.com/package-url/purl-spec."""
    return f"pkg:pypi/{quote(printable(name), safe='')}@{quote(printable(version), safe='')}"
