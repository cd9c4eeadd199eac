"""Where the templates are, in a checkout and in an installed wheel, and how they are read."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import jinja2

import reportgen
from reportgen.core.errors import OutputError

# In their order: later rules win, and scripts use what the first one holds.
_SHEETS = ("base", "page", "blocks", "units", "viewer", "sweep", "paper")
_SCRIPTS = ("base", "theme", "contents", "montages", "units", "viewer", "sweep")


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
    """assets/style.css: the sheets of ``style/``, one after another."""
    return _joined("style", _SHEETS, ".css")


def script() -> bytes:
    """assets/report.js: the scripts of ``script/``, one after another."""
    return _joined("script", _SCRIPTS, ".js")


def _joined(folder: str, names: tuple[str, ...], suffix: str) -> bytes:
    paths = [templates_dir() / folder / f"{name}{suffix}" for name in names]
    return b"\n".join(path.read_bytes() for path in paths)
