"""The templates: where they are, in a checkout and in an installed wheel, and how they are read."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath
from types import MappingProxyType

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

import reportgen
from reportgen.core.errors import OutputError

# In their order: later rules win, and scripts use what the first one holds.
_SHEETS = ("base", "page", "contents", "blocks", "units", "viewer", "sweep", "archive", "paper")
_SCRIPTS = (
    *("base", "single", "theme", "links", "contents", "search", "values", "montages", "units"),
    *("panels", "viewer", "sweep"),
)

# Where a house's templates are in a report, and what messages call them.
FOLDER = "templates"
SUFFIXES = (".html.j2", ".svg.j2", ".typ", ".css", ".js")

_ACCENT = """
:root {{ --accent: {0}; }}
.page-head {{ border-top: 4px solid var(--accent); }}
"""
_ACCENT_DARK = """
@media screen and (prefers-color-scheme: dark) {{
  :root:not([data-theme="light"]) {{ --accent: {0}; }}
}}
@media screen {{ :root[data-theme="dark"] {{ --accent: {0}; }} }}
"""


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


class Templates:
    """The shipped templates with a house's laid over them.

    Args:
      own: the house's, by names relative to their folder; they win over shipped ones.
      accent, accent_dark: the house's colour in both themes (``#rrggbb``); empty for the shipped.
    """

    def __init__(
        self,
        own: Mapping[str, str] = MappingProxyType({}),
        accent: str = "",
        accent_dark: str = "",
    ) -> None:
        self.own = own
        self.accent = accent
        self.accent_dark = accent_dark

    @cached_property
    def environment(self) -> jinja2.Environment:
        """Jinja2 over all: everything is escaped, and a name that is missing is an error.

        Templates that came with a report are no more trusted than the report: they run in a
        sandbox, which reaches no Python beyond what they are given.
        """
        loaders = [jinja2.FunctionLoader(self._load), jinja2.FileSystemLoader(templates_dir())]
        kind = ImmutableSandboxedEnvironment if self.own else jinja2.Environment
        return kind(
            loader=jinja2.ChoiceLoader(loaders),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            auto_reload=False,
        )

    def _load(self, name: str) -> tuple[str, str, Callable[[], bool]] | None:
        if name not in self.own:
            return None
        return self.own[name], f"{FOLDER}/{name}", lambda: True

    @cached_property
    def sections(self) -> list[str]:
        """Names of the sections that the house adds, in their order."""
        paths = [PurePosixPath(name) for name in self.own]
        names = {
            path.name.partition(".")[0]
            for path in paths
            if path.parent.name == "sections" and not path.name.startswith("_")
        }
        return sorted(names)

    def stylesheet(self) -> bytes:
        """assets/style.css: the sheets of ``style/``, one after another."""
        sheets = self._joined("style", _SHEETS, ".css").decode()
        if self.accent:
            sheets += _ACCENT.format(self.accent)
        if self.accent_dark:
            sheets += _ACCENT_DARK.format(self.accent_dark)
        return sheets.encode()

    def script(self) -> bytes:
        """assets/report.js: the scripts of ``script/``, one after another."""
        return self._joined("script", _SCRIPTS, ".js")

    def _joined(self, folder: str, names: tuple[str, ...], suffix: str) -> bytes:
        shipped = [f"{folder}/{name}{suffix}" for name in names]
        added = [
            name
            for name in sorted(self.own)
            if name.startswith(f"{folder}/") and name not in shipped
        ]
        return b"\n".join(self.read(name) for name in (*shipped, *added))

    def read(self, name: str) -> bytes:
        """One template's text."""
        if name in self.own:
            return self.own[name].encode()
        return (templates_dir() / name).read_bytes()

    @cached_property
    def typst(self) -> dict[str, bytes]:
        """All that the PDF is typeset by, by name."""
        own = {name for name in self.own if name.endswith(".typ")}
        return {name: self.read(name) for name in sorted(own | set(names(".typ")))}

    def fault(self, error: Exception) -> OutputError | None:
        """The error as a person is told it, if a template of the house's is to blame."""
        place = _place(error)
        if place is None:
            return None
        said = str(error) or type(error).__name__
        if isinstance(error, jinja2.TemplateNotFound):
            said = f"there is no template {error.name!r}"
        return self.blame(place[0].removeprefix(f"{FOLDER}/"), place[1], said)

    def blame(self, name: str, line: int, said: str) -> OutputError | None:
        """What went wrong in a line of a template; None if it is not the house's."""
        if name not in self.own:
            return None
        return OutputError(
            f"{FOLDER}/{name}, line {line}: {said.rstrip('.')}.",
            "Mend it in the folder that report.templates names.",
        )


SHIPPED = Templates()


def names(*suffixes: str) -> list[str]:
    """The shipped templates' names relative to their folder, of these kinds or of all."""
    folder = templates_dir()
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    return sorted(name for name in found if name.endswith(suffixes or SUFFIXES))


def environment() -> jinja2.Environment:
    """Jinja2 over the shipped templates."""
    return SHIPPED.environment


def stylesheet() -> bytes:
    """assets/style.css of pages that no house has a say in."""
    return SHIPPED.stylesheet()


def script() -> bytes:
    """assets/report.js of pages that no house has a say in."""
    return SHIPPED.script()


def _place(error: Exception) -> tuple[str, int] | None:
    """File and line of the template in which an error was raised, the innermost one."""
    if isinstance(error, jinja2.TemplateSyntaxError):
        return error.filename or "", error.lineno
    frames = traceback.extract_tb(error.__traceback__)
    inside = [frame for frame in frames if frame.filename.startswith(f"{FOLDER}/")]
    return (inside[-1].filename, inside[-1].lineno or 0) if inside else None
