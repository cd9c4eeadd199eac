"""The files that a report links, kept in memory until the whole report is laid out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from reportgen.render import sketches
from reportgen.render.painter import Painter
from reportgen.render.sketches import Sketch
from reportgen.render.templating import SHIPPED, Templates
from reportgen.render.text import Names, slug

FOLDER = "assets"


class Assets:
    """Files by their path relative to the report's folder, such as ``assets/weights-1.webp``.

    Names are made of slugs and counters only: what a layer is called cannot reach a path.

    Attributes:
      templates: that drawings are made by.
    """

    def __init__(self, painter: Painter, templates: Templates = SHIPPED) -> None:
        self.templates = templates
        self._painter = painter
        self._files: dict[str, bytes | Future[bytes]] = {}
        self._names = Names()
        self._pictures: dict[bytes, str] = {}
        self._sketches: dict[str, Sketch] = {}
        self._twins: dict[str, str] = {}
        self._section = ""
        self._owners: dict[str, str] = {}

    def begin(self, section: str) -> None:
        """Files that are kept from now on are this section's; the page's own if it is empty."""
        self._section = section

    def add(self, name: str, suffix: str, content: bytes | Future[bytes]) -> str:
        """Keeps a file and tells its path."""
        path = f"{FOLDER}/{self._names.take(slug(name))}{suffix}"
        self.keep(path, content)
        return path

    def keep(self, path: str, content: bytes | Future[bytes]) -> None:
        """Keeps a file whose path is given."""
        self._files[path] = content
        self._owners.setdefault(path, self._section)

    def owner(self, path: str) -> str:
        """The section that a file was first kept in; empty for the page itself."""
        return self._owners.get(path, "")

    def picture(self, name: str, sketch: Sketch, alt: str) -> dict[str, Any]:
        """Keeps a picture; returns what the templates need to show it.

        Equal pictures are one file, with the name of the first.
        """
        return {
            "src": self._path(name, sketch),
            "dark": "",
            "width": sketch.width * sketch.zoom,
            "height": sketch.height * sketch.zoom,
            "pixelated": sketch.zoom > 1,
            "alt": alt,
            "label": "",
        }

    def _path(self, name: str, sketch: Sketch) -> str:
        if sketch.key not in self._pictures:
            path = self.add(name, sketch.suffix, self._painter.picture(sketch))
            self._pictures[sketch.key] = path
            self._sketches[path] = sketch
        return self._pictures[sketch.key]

    def drawing(
        self, name: str, light: bytes, dark: bytes, size: tuple[int, int], alt: str
    ) -> dict[str, Any]:
        """Keeps an SVG in both dresses; returns what the templates need to show it."""
        src = self.add(name, ".svg", light)
        twin = self.add(f"{name}-dark", ".svg", dark)
        self._twins[twin] = src
        return {
            "src": src,
            "dark": twin,
            "width": size[0],
            "height": size[1],
            "pixelated": False,
            "alt": alt,
            "label": "",
        }

    def colour_bar(self, colormap: str) -> str:
        """The path of the colormap's bar; one file for the whole report."""
        return self._path(f"colorbar-{colormap}", sketches.colour_bar(colormap))

    def files(self) -> dict[str, bytes]:
        """All contents by path, once they are drawn."""
        return {
            path: content.result() if isinstance(content, Future) else content
            for path, content in self._files.items()
        }

    def pictures(self) -> list[str]:
        """Paths of all pictures; a drawing in two dresses is one."""
        return [path for path in self._files if _is_picture(path) and path not in self._twins]

    def twins(self) -> list[str]:
        """Paths of the drawings for dark pages, each of which has one for light pages."""
        return [path for path in self._twins if path in self._files]

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Height and width in pixels of the pictures that can be drawn smaller, by path."""
        return {path: (sketch.height, sketch.width) for path, sketch in self._sketches.items()}

    def shrink(self, factors: Mapping[str, int]) -> None:
        """Draws pictures again, so many times smaller in height and width."""
        for path, factor in factors.items():
            self._files[path] = self._painter.smaller(self._sketches[path], factor)

    def drop(self, paths: Iterable[str]) -> None:
        """Leaves files out."""
        for path in paths:
            del self._files[path]

    def write(self, folder: Path, only: str = "") -> None:
        """Writes all files, or one, below the report's folder; others there stay."""
        for path, content in self.files().items():
            if only in ("", path):
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(content)


def _is_picture(path: str) -> bool:
    return not path.endswith((".css", ".js"))
