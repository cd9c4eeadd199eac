"""Whether a report folder is what it was: checksums, schema, and the same bytes drawn again."""

from __future__ import annotations

import json
import os
import re
import tempfile
from importlib import resources
from pathlib import Path, PurePosixPath

import jsonschema

import reportgen
from reportgen.archive import folder as archive
from reportgen.archive.provenance import package_versions
from reportgen.archive.statement import STATEMENT, statement, subjects
from reportgen.core.errors import OutputError
from reportgen.core.report import SCHEMA_VERSION, Report
from reportgen.core.upgrade import schema_version
from reportgen.render.report import render_report
from reportgen.render.text import printable

_LINE = re.compile(r"([0-9a-f]{64})  (.+)")


def verify(folder: Path) -> list[str]:
    """What is wrong with a report, in sentences; empty if nothing is.

    Reports of earlier schema versions are not drawn again: pages have changed since.

    Raises:
      OutputError: if the folder is no report at all.
    """
    data = archive.read_json(folder)
    problems = unlike(folder) + _schema(data)
    try:
        report = archive.read_report(folder)
    except OutputError as error:
        return list(dict.fromkeys([*problems, error.message]))
    if not is_current(data):
        return problems
    try:
        return problems + _drawn_again(folder, report)
    except OutputError as error:
        return [*problems, error.message]


def is_current(data: object) -> bool:
    """Whether results are of this schema version, so that they draw the page that was drawn."""
    return schema_version(data) == SCHEMA_VERSION


def unlike(folder: Path) -> list[str]:
    """How a report's files are not those that were written, by its checksums and statement."""
    present, problems = _walked(folder)
    sums = folder / archive.SUMS
    if not sums.is_file():
        return [f"{archive.SUMS} is missing", *problems]
    content = sums.read_bytes()
    stated, malformed = _stated(content)
    problems += malformed
    digests = {name: archive.sha256(folder / name) for name in present}
    problems += [
        f"{name} is missing"
        for name in stated
        if name not in present and not (folder / name).is_symlink()  # which is said
    ]
    problems += [f"{name} was added" for name in present if name not in stated]
    changed = [name for name in present if name in stated and digests[name] != stated[name]]
    problems += [f"{name} was changed" for name in changed]
    if not problems and content.decode("utf-8", "replace") != archive.listed(digests):
        problems.append(f"{archive.SUMS} was changed, though it states the same")
    if not problems:
        problems = _subjects(folder, digests)
    return [printable(problem) for problem in problems]


def _walked(folder: Path) -> tuple[list[str], list[str]]:
    """Files that count, and what has no place in a report: links, empty folders, devices."""
    present, problems = [], []
    for place, inner, names in os.walk(folder):
        where = PurePosixPath(Path(place).relative_to(folder).as_posix())
        if not inner and not names and Path(place) != folder:
            problems.append(f"{where}/ is an empty folder that was added")
        for name in [*inner, *names]:
            path = Path(place, name)
            own = (where / name).as_posix()
            if path.is_symlink():
                problems.append(f"{own} is a link, where a file belongs")
            elif path.is_file():
                present.append(own)
            elif not path.is_dir():
                problems.append(f"{own} is no file")
    return sorted(set(present) - {archive.SUMS, archive.LOG}), sorted(problems)


def _stated(content: bytes) -> tuple[dict[str, str], list[str]]:
    """Digests by file as SHA256SUMS has them, and what is wrong with its lines."""
    stated: dict[str, str] = {}
    problems = []
    for number, line in enumerate(content.split(b"\n"), 1):
        found = _LINE.fullmatch(line.decode("utf-8", "replace"))
        if found is not None and found[2] not in stated:
            stated[found[2]] = found[1]
        elif line:
            problems.append(f"line {number} of {archive.SUMS} is damaged")
    return stated, problems


def _subjects(folder: Path, digests: dict[str, str]) -> list[str]:
    """What provenance.json states of files that the checksums have otherwise."""
    if STATEMENT not in digests:
        return [] if _precedes_statements(folder) else [f"{STATEMENT} is missing"]
    try:
        stated = subjects(folder)
    except OutputError as error:
        return [error.message]
    own = {printable(name): digest for name, digest in digests.items() if name != STATEMENT}
    different = sorted(n for n in {*stated, *own} if stated.get(n) != own.get(n))
    return [f"{STATEMENT} does not state {name} as it is" for name in different]


def _precedes_statements(folder: Path) -> bool:
    try:
        return not is_current(archive.read_json(folder))
    except OutputError:
        return True  # which is said elsewhere


def _schema(data: object) -> list[str]:
    try:
        version = schema_version(data)
    except OutputError as error:
        return [str(error)]
    name = "results.schema.json" if version == SCHEMA_VERSION else f"results.schema.{version}.json"
    text = resources.files("reportgen.core").joinpath(name).read_text("utf-8")
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
    path = folder / STATEMENT
    if not different and path.is_file() and path.read_bytes() != statement(report, folder):
        different, names = [STATEMENT], [*names, STATEMENT]
    if not different:
        return []
    shown = ", ".join(different[:5]) + (", …" if len(different) > 5 else "")
    made = report.provenance
    then, now = {"reportgen": made.reportgen, **made.packages}, _versions()
    changed = [f"{name} {then[name]} → {now[name]}" for name in then if now[name] != then[name]]
    why = f"; these packages changed: {', '.join(changed)}" if changed else ""
    return [f"drawn again, {len(different)} of {len(names)} files differ ({shown}){why}"]


def _versions() -> dict[str, str]:
    return {"reportgen": reportgen.__version__, **package_versions()}
