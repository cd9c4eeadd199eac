"""Where the templates are, in a checkout and in an installed wheel, and how they are read."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import jinja2

import reportgen
from reportgen.core.errors import OutputError


def templates_dir() -> Path:
    """The folder of templates: inside the package once installed, else the checkout's.

    Raises:
      OutputError: if neither is there.
    """
    package = Path(reportgen.__file__).parent
    for folder in (package / "templates", package.parent / "templates"):
        if (folder / "report.html.j2").is_file():
            return folder
    raise OutputError(
        f"The templates of reports are in neither {package / 'templates'} nor "
        f"{package.parent / 'templates'}.",
        "This installation is incomplete; install reportgen again.",
    )


@cache
def environment() -> jinja2.Environment:
    """Jinja2 over the templates: everything is escaped, and a name that is missing is an error."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates_dir()),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )


def stylesheet() -> bytes:
    """style.css."""
    return (templates_dir() / "style.css").read_bytes()


def script() -> bytes:
    """report.js."""
    return (templates_dir() / "report.js").read_bytes()
