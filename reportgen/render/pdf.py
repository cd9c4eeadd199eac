"""report.pdf by Typst: tagged (PDF/UA-1), and archivable (PDF/A-2a, PDF/A-3a) where it is dated."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typst

from reportgen.core.errors import OutputError
from reportgen.render.block_views import View
from reportgen.render.templating import SHIPPED, Templates
from reportgen.render.text import drawable, fonts_folder

# Where an error is, in Typst's words, and what called it.
_PLACE = re.compile(r"┌─ ([^\n:]+):(\d+):\d+")


def render_pdf(
    view: View, folder: Path, templates: Templates = SHIPPED, attached: bytes | None = None
) -> bytes:
    """The PDF of a report's view.

    All names reach Typst as data (JSON), never as source, so that none can be read as markup.
    PDF/A demands a date; without one in the provenance the file is PDF/UA-1 alone, as a clock's
    date would make two equal reports differ.

    Args:
      folder: where the view's pictures have been written.
      attached: results.json, which makes it PDF/A-3a.

    Raises:
      OutputError: if Typst cannot typeset it, or it is to be PDF/A-3 and has no date.
    """
    wanted = standards("a-2" if attached is None else "a-3", view["created"])
    data = {
        "ledger": None,
        **view,
        "date": _date(view["created"]),
        "attached": attached is not None,
    }
    sources = {
        **templates.typst,
        "main.typ": templates.typst["report.typ"],
        "view.json": json.dumps(_drawable(data)).encode(),
        "results.json": attached or b"",
    }
    return _typeset(sources, folder, templates, wanted)


def standards(kind: str, created: str) -> list[str]:
    """What a PDF of a kind (``Rendering.pdf``) and of a date conforms to.

    Raises:
      OutputError: if it is to be PDF/A-3 and no date is known.
    """
    dated = _date(created) is not None
    if kind == "a-3" and not dated:
        raise OutputError(
            "report.pdf=a-3 needs the report's date, which is not known: a clock's would make two "
            "equal reports differ.",
            "Set it when the report is made: SOURCE_DATE_EPOCH=$(date +%s) reportgen …",
        )
    archived = "a-3a" if kind == "a-3" else "a-2a"
    return ["ua-1", archived] if dated else ["ua-1"]


def check_sources(templates: Templates) -> None:
    """Reads a house's Typst files, as far as it can be done without a report.

    Raises:
      OutputError: naming file and line of a slip.
    """
    own = [name for name in templates.own if name.endswith(".typ") and name != "report.typ"]
    if own:
        main = "".join(f'#import "{name}" as part{number}\n' for number, name in enumerate(own))
        _typeset({**templates.typst, "main.typ": main.encode()}, None, templates, [])


def _typeset(
    sources: dict[str, bytes], folder: Path | None, templates: Templates, wanted: list[str]
) -> bytes:
    try:
        # The wheel's stub does not know that sources may be given as a dictionary.
        document: bytes = typst.compile(  # type: ignore[call-overload]
            sources,
            root=None if folder is None else str(folder),
            font_paths=[str(fonts_folder())],
            ignore_system_fonts=True,
            sys_inputs={"accent": templates.accent} if templates.accent else {},
            pdf_standards=wanted,
        )
    except typst.TypstError as error:
        raise _fault(error, folder or Path(), templates) from error
    return document


def _fault(error: typst.TypstError, folder: Path, templates: Templates) -> OutputError:
    """The error as a person is told it: where in a template of the house's, if in any."""
    for file, line in _PLACE.findall(error.diagnostic):
        # Typst names files from where the command is run.
        path, root = Path(file).resolve(), folder.resolve()
        name = path.relative_to(root).as_posix() if path.is_relative_to(root) else file
        name = "report.typ" if name == "main.typ" else name
        if found := templates.blame(name, int(line), error.message):
            return found
    return OutputError(f"report.pdf could not be typeset: {error}")


def _date(created: str) -> dict[str, int] | None:
    try:
        moment = datetime.fromisoformat(created)
    except ValueError:
        return None
    moment = moment.astimezone(UTC) if moment.tzinfo else moment
    parts = ("year", "month", "day", "hour", "minute", "second")
    return {part: getattr(moment, part) for part in parts}


def _drawable(value: Any) -> Any:
    if isinstance(value, str):
        return drawable(value)
    if isinstance(value, dict):
        return {key: _drawable(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_drawable(part) for part in value]
    return value
