"""The files that a report links, kept in memory until the whole report is drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from reportgen.render import pictures
from reportgen.render.text import Names, slug

FOLDER = "assets"


class Assets:
    """Files by their path relative to the report's folder, such as ``assets/weights-1.webp``.

    Names are made of slugs and counters only: what a layer is called cannot reach a path.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self._names = Names()
        self._bars: dict[str, str] = {}

    def add(self, name: str, suffix: str, content: bytes) -> str:
        """Keeps a file and tells its path."""
        path = f"{FOLDER}/{self._names.take(slug(name))}{suffix}"
        self.files[path] = content
        return path

    def picture(self, name: str, picture: np.ndarray, zoom: int, alt: str) -> dict[str, Any]:
        """Keeps a picture; returns what the templates need to show it ``zoom`` times as large."""
        suffix, content = pictures.encoded(picture)
        height, width = picture.shape[:2]
        return {
            "src": self.add(name, suffix, content),
            "dark": "",
            "width": width * zoom,
            "height": height * zoom,
            "pixelated": zoom > 1,
            "alt": alt,
            "label": "",
        }

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
        }

    def colour_bar(self, colormap: str) -> str:
        """The path of the colormap's bar; one file for the whole report."""
        if colormap not in self._bars:
            suffix, content = pictures.encoded(pictures.colour_bar(colormap))
            self._bars[colormap] = self.add(f"colorbar-{colormap}", suffix, content)
        return self._bars[colormap]

    def write(self, folder: Path) -> None:
        """Writes all files below the report's folder; others there stay."""
        (folder / FOLDER).mkdir(parents=True, exist_ok=True)
        for path, content in self.files.items():
            (folder / path).write_bytes(content)
