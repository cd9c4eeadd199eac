"""Whether a report folder is what it was: checksums, schema, and the same bytes drawn again."""

from __future__ import annotations

import json
import tempfile
from importlib import resources
from pathlib import Path

import jsonschema

from reportgen.archive import folder as archive
from reportgen.archive.provenance import package_versions
from reportgen.core.errors import OutputError
from reportgen.core.report import Report
from reportgen.render.report import render_report


def verify(folder: Path) -> list[str]:
    """What is wrong with a report, in sentences; empty if nothing is.

    Raises:
      OutputError: if the folder is no report at all.
    """
    data = archive.read_json(folder)
    problems = _checksums(folder) + _schema(data)
    try:
        report = archive.read_report(folder)
    except OutputError as error:
        return [*problems, str(error)]
    try:
        return problems + _drawn_again(folder, report)
    except OutputError as error:
        return [*problems, str(error)]


def _checksums(folder: Path) -> list[str]:
    path = folder / archive.SUMS
    if not path.is_file():
        return [f"{archive.SUMS} is missing"]
    stated = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        digest, _, name = line.partition("  ")
        stated[name] = digest
    present = archive.files(folder)
    problems = [f"{name} is missing" for name in stated if name not in present]
    problems += [f"{name} was added" for name in present if name not in stated]
    problems += [
        f"{name} was changed"
        for name in present
        if name in stated and archive.sha256(folder / name) != stated[name]
    ]
    return problems


def _schema(data: object) -> list[str]:
    text = resources.files("reportgen.core").joinpath("results.schema.json").read_text("utf-8")
    validator = jsonschema.Draft202012Validator(json.loads(text))
    return [
        f"results.json does not follow its schema at {error.json_path}: {error.message[:200]}"
        for error in list(validator.iter_errors(data))[:5]
    ]


def _drawn_again(folder: Path, report: Report) -> list[str]:
    with tempfile.TemporaryDirectory() as scratch:
        drawn = Path(scratch)
        render_report(report, drawn, source=folder)
        names = archive.files(drawn)
        different = [
            name
            for name in names
            if not (folder / name).is_file()
            or (folder / name).read_bytes() != (drawn / name).read_bytes()
        ]
    if not different:
        return []
    shown = ", ".join(different[:5]) + (", …" if len(different) > 5 else "")
    then, now = report.provenance.packages, package_versions()
    changed = [f"{name} {then[name]} → {now[name]}" for name in then if now[name] != then[name]]
    why = f"; these packages changed: {', '.join(changed)}" if changed else ""
    return [f"drawn again, {len(different)} of {len(names)} files differ ({shown}){why}"]
