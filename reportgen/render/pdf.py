"""report.pdf by Typst: tagged (PDF/UA-1), and archivable (PDF/A-2a) where its date is known."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import typst

from reportgen.core.errors import OutputError
from reportgen.render.block_views import View
from reportgen.render.templating import templates_dir
from reportgen.render.text import drawable, fonts_folder

_PAGE_ONLY = frozenset({"cards"})  # there may be thousands; ``printed`` are some of them


def render_pdf(view: View, folder: Path) -> bytes:
    """The PDF of a report's view.

    All names reach Typst as data (JSON), never as source, so that none can be read as markup.
    PDF/A demands a date; without one in the provenance the file is PDF/UA-1 alone, as a clock's
    date would make two equal reports differ.

    Args:
      folder: of the report, where the view's pictures have been written.

    Raises:
      OutputError: if Typst cannot typeset it.
    """
    data = _drawable({**view, "date": _date(view["created"])})
    sources: dict[str, bytes] = {
        **_sources(),
        "main.typ": _sources()["report.typ"],
        "view.json": json.dumps(data).encode(),
    }
    standards = ["ua-1", "a-2a"] if data["date"] else ["ua-1"]
    try:
        # The wheel's stub does not know that sources may be given as a dictionary.
        document: bytes = typst.compile(  # type: ignore[call-overload]
            sources,
            root=str(folder),
            font_paths=[str(fonts_folder())],
            ignore_system_fonts=True,
            pdf_standards=standards,
        )
    except typst.TypstError as error:
        raise OutputError(f"report.pdf could not be typeset: {error}") from error
    return document


@cache
def _sources() -> dict[str, bytes]:
    folder = templates_dir()
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*.typ"))
    }


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
        return {key: _drawable(part) for key, part in value.items() if key not in _PAGE_ONLY}
    if isinstance(value, list):
        return [_drawable(part) for part in value]
    return value
