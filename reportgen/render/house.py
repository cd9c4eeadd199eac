"""A house's own look: templates laid over the shipped ones, a logo, colours.

What is used is kept in ``templates/`` of the report, so that it is drawn the same later.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import jinja2
from PIL import Image

from reportgen.core.errors import ConfigError, OutputError, did_you_mean
from reportgen.core.report import Rendering
from reportgen.render import pdf
from reportgen.render.accent import accents
from reportgen.render.assets import Assets
from reportgen.render.templating import FOLDER, Templates, names

if TYPE_CHECKING:
    from reportgen.config import ReportConfig

_NAME = re.compile(r"([A-Za-z0-9_][A-Za-z0-9_-]*/)?[A-Za-z0-9_][A-Za-z0-9_.-]*")
_ADDED = {"sections": (".html.j2", ".typ"), "style": (".css",), "script": (".js",)}
_LOGO_BYTES = 1 << 20
_LOGOS = {"PNG": ".png", "WEBP": ".webp", "JPEG": ".jpg"}
_LENGTH = re.compile(r"\s*([0-9.]+)\s*(px|pt|mm|cm|in)?\s*")


@dataclass(frozen=True)
class House:
    """How a report is drawn, with the house's files.

    Attributes:
      files: contents by path relative to ``templates/`` of the report.
    """

    rendering: Rendering
    files: Mapping[str, bytes]

    def write(self, folder: Path) -> None:
        """Keeps the files in a report's folder."""
        for name, content in self.files.items():
            path = folder / FOLDER / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def templates(self) -> Templates:
        """The shipped templates under the house's."""
        own = {name: self.files[name].decode() for name in self.rendering.templates}
        return Templates(own, self.rendering.accent, self.rendering.accent_dark)

    def logo(self, assets: Assets) -> dict[str, Any] | None:
        """The logo as a picture of the view; None if there is none."""
        name = self.rendering.logo
        if not name:
            return None
        width, height = _logo_size(name, self.files[name])
        path = f"assets/{name}"
        assets.keep(path, self.files[name])
        return {"src": path, "width": width, "height": height, "alt": "Logo"}


def gathered(settings: ReportConfig) -> House:
    """The house's files as the configuration names them, checked before anything is computed.

    Raises:
      ConfigError: if a file cannot be read, is not what it should be, or a colour cannot be.
    """
    files = _own_templates(Path(settings.templates)) if settings.templates else {}
    templates = tuple(files)
    logo = ""
    if settings.logo:
        logo, files[logo] = _own_logo(Path(settings.logo))
    light, dark = accents(settings.accent, settings.accent_dark)
    rendering = Rendering(
        bundle=settings.bundle,
        max_mb=settings.max_mb,
        pdf=settings.pdf,
        templates=templates,
        logo=logo,
        accent=light,
        accent_dark=dark,
    )
    return House(rendering, files)


def kept(rendering: Rendering, folder: Path) -> House:
    """The house's files as a report keeps them.

    Raises:
      OutputError: if one is missing or damaged.
    """
    files = {}
    for name in (*rendering.templates, *filter(None, [rendering.logo])):
        path = folder / FOLDER / name
        try:
            files[name] = path.read_bytes()
            if name == rendering.logo:
                _logo_size(name, files[name])
            else:
                files[name].decode()
        except (OSError, ValueError) as error:
            raise OutputError(f"{path} is missing or damaged: {error}.") from error
    return House(rendering, files)


def _own_templates(folder: Path) -> dict[str, bytes]:
    if not folder.is_dir():
        raise ConfigError(
            f"report.templates is {str(folder)!r}, and there is no such folder.",
            "Give one that holds templates by the names of the shipped ones.",
        )
    known, found = names(), {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() or any(part.startswith(".") for part in name.split("/")):
            continue
        _check_name(name, folder, known)
        found[name] = _read(path, "report.templates")
    if not found:
        raise ConfigError(f"report.templates is {str(folder)!r}, which holds no template.")
    _check_texts(found)
    return found


def _check_name(name: str, folder: Path, known: list[str]) -> None:
    added = name.endswith(_ADDED.get(PurePosixPath(name).parent.as_posix(), ()))
    if not _NAME.fullmatch(name) or not (name in known or added):
        raise ConfigError(
            f"report.templates is {str(folder)!r}, which holds {name}: no template has this name.",
            f"{did_you_mean(name, known)} What is new is sections/NAME.html.j2 or "
            "sections/NAME.typ, style/NAME.css or script/NAME.js, of letters, digits, _ and -.",
        )


def _check_texts(files: Mapping[str, bytes]) -> None:
    """A slip in a template is told before hours of computing, as far as it shows without a report.

    Raises:
      OutputError: naming file and line.
    """
    texts = {}
    for name, content in files.items():
        try:
            texts[name] = content.decode()
        except UnicodeDecodeError as error:
            raise ConfigError(f"{FOLDER}/{name} is no UTF-8 text: {error}.") from error
    templates = Templates(texts)
    for name in texts:
        if name.endswith(".j2"):
            try:
                templates.environment.get_template(name)
            except jinja2.TemplateError as error:
                raise templates.fault(error) or error from error
    pdf.check_sources(templates)


def _read(path: Path, key: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{key}: {path} cannot be read: {error.strerror}.") from error


def _own_logo(path: Path) -> tuple[str, bytes]:
    """The name that a logo has in the report, told by its content, and its bytes."""
    content = _read(path, "report.logo")
    hint = "Give a PNG, WebP, JPEG or SVG file without scripts or links."
    if len(content) > _LOGO_BYTES:
        raise ConfigError(
            f"report.logo is {str(path)!r} of {len(content):,} bytes; expected "
            f"{_LOGO_BYTES:,} at the most.",
            hint,
        )
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.verify()
            suffix = _LOGOS.get(image.format or "", "")
    except (OSError, SyntaxError, ValueError):
        suffix = ".svg"
    try:
        _logo_size(f"logo{suffix}", content)
    except ValueError as error:
        raise ConfigError(f"report.logo is {str(path)!r}: {error}.", hint) from error
    return f"logo{suffix}", content


def _logo_size(name: str, content: bytes) -> tuple[int, int]:
    """Width and height of a logo; of a drawing in its own units.

    Raises:
      ValueError: if it is no picture, or a drawing that runs or loads something.
    """
    suffix = PurePosixPath(name).suffix
    if suffix == ".svg":
        return _svg_size(content)
    if not suffix:
        raise ValueError("it is a picture of another kind")
    try:
        with Image.open(io.BytesIO(content)) as image:
            return image.size
    except OSError as error:
        raise ValueError("it is no picture that can be read") from error


def _svg_size(content: bytes) -> tuple[int, int]:
    if b"<!entity" in content.lower():
        raise ValueError("it declares entities")
    try:
        root = ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        raise ValueError("it is no picture that can be read") from error
    for element in root.iter():
        _check_element(element)
    box = root.get("viewBox", "").replace(",", " ").split()[2:]
    lengths = [
        _LENGTH.fullmatch(text) for text in box or (root.get("width", ""), root.get("height", ""))
    ]
    width, height = (float(found[1]) if found else 0.0 for found in lengths)
    if not root.tag.endswith("svg") or not width or not height:
        raise ValueError("it is no SVG with a viewBox, or with a width and height")
    return max(1, round(width)), max(1, round(height))


def _check_element(element: ElementTree.Element) -> None:
    tag = element.tag.rpartition("}")[2].casefold()
    if tag in ("script", "foreignobject", "iframe"):
        raise ValueError(f"it holds a <{tag}>")
    for key, value in element.items():
        name = key.rpartition("}")[2].casefold()
        if name.startswith("on"):
            raise ValueError(f"it runs a script on {name[2:]}")
        if name in ("href", "src") and not value.startswith(("#", "data:image/")):
            raise ValueError(f"it links {value[:80]!r}")
