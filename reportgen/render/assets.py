"""The files that a report links, kept in memory until the whole report is laid out."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path
from typing import Any

from reportgen.render import sketches
from reportgen.render.painter import Painter
from reportgen.render.sketches import Sketch
from reportgen.render.text import Names, slug

FOLDER = "assets"


class Assets:
    """Files by their path relative to the report's folder, such as ``assets/weights-1.webp``.

    Names are made of slugs and counters only: what a layer is called cannot reach a path.
    """

    def __init__(self, painter: Painter) -> None:
        self._painter = painter
        self._files: dict[str, bytes | Future[bytes]] = {}
        self._names = Names()
        self._pictures: dict[bytes, str] = {}

    def add(self, name: str, suffix: str, content: bytes | Future[bytes]) -> str:
        """Keeps a file and tells its path."""
        path = f"{FOLDER}/{self._names.take(slug(name))}{suffix}"
        self._files[path] = content
        return path

    def keep(self, path: str, content: bytes | Future[bytes]) -> None:
        """Keeps a file whose path is given."""
        self._files[path] = content

    def picture(self, name: str, sketch: Sketch, alt: str) -> dict[str, Any]:
        """Keeps a picture, and its values for the viewer; returns what the templates need.

        Equal pictures are one file, with the name of the first.
        """
        if sketch.values_path:
            self.keep(sketch.values_path, self._painter.values(sketch))
        return {
            "src": self._path(name, sketch),
            "dark": "",
            "width": sketch.width * sketch.zoom,
            "height": sketch.height * sketch.zoom,
            "pixelated": sketch.zoom > 1,
            "alt": alt,
            "label": "",
            "values": sketch.values_path,
            "native": f"{sketch.width} {sketch.height}",
            "grid": " ".join(map(str, sketch.grid)),
        }

    def _path(self, name: str, sketch: Sketch) -> str:
        if sketch.key not in self._pictures:
            self._pictures[sketch.key] = self.add(
                name, sketch.suffix, self._painter.picture(sketch)
            )
        return self._pictures[sketch.key]

    def drawing(
        self, name: str, light: bytes, dark: bytes, size: tuple[int, int], alt: str
    ) -> dict[str, Any]:
        """Keeps an SVG in both dresses; returns what the templates need to show it."""
        return {
            "src": self.add(name, ".svg", light),
            "dark": self.add(f"{name}-dark", ".svg", dark),
            "width": size[0],
            "height": size[1],
            "pixelated": False,
            "alt": alt,
            "label": "",
            "values": "",
            "native": "",
            "grid": "",
        }

    def colour_bar(self, colormap: str) -> str:
        """The path of the colormap's bar; one file for the whole report."""
        return self._path(f"colorbar-{colormap}", sketches.colour_bar(colormap))

    def write(self, folder: Path) -> None:
        """Writes all files below the report's folder as they are drawn; others there stay."""
        (folder / FOLDER).mkdir(parents=True, exist_ok=True)
        for path, content in self._files.items():
            found = content.result() if isinstance(content, Future) else content
            (folder / path).write_bytes(found)
