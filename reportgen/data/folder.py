"""Images in a folder; its sub-folders, if all images lie in some, are classes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from reportgen.config import DataConfig
from reportgen.core.errors import ConfigError, DataError, did_you_mean
from reportgen.data import decode
from reportgen.data.listing import Entry, Listing

SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".avif"}
)


def open_source(config: DataConfig, path: str) -> Listing:
    """The images under a folder, by name.

    Raises:
      DataError: if there is no such folder, or it holds no image.
    """
    if config.images != "auto" or config.labels not in ("auto", None):
        raise ConfigError(
            "data.images and data.labels name arrays and columns, and a folder has none.",
            "data.labels=null leaves the sub-folders' names out of it.",
        )
    root = Path(path)
    files = find(root)
    labelled = config.labels is not None and all(len(parts) > 1 for parts in files)
    entries = tuple(
        Entry(
            # A name that is no UTF-8 could not be written into a report.
            name=os.fsencode("/".join(parts)).decode(errors="replace"),
            read=partial(decode.read, root.joinpath(*parts), config.max_pixels),
            label=parts[0] if labelled else None,
            origin="The sub-folder",
        )
        for parts in files
    )
    return Listing(entries=entries, source=path)


def find(root: Path) -> list[tuple[str, ...]]:
    """The image files under a folder as the parts of their paths, in a stable order.

    What is hidden (``.name``, ``__MACOSX``) is passed over.

    Raises:
      DataError: if there is no such folder, or it holds no image.
    """
    if not root.is_dir():
        near = [str(path) for path in root.parent.glob("*") if path.is_dir()]
        raise DataError(f"There is no folder {root}.", did_you_mean(str(root), near))
    try:
        files = sorted(_walk(root, (), frozenset()))
    except OSError as error:
        raise DataError(f"{error.filename} cannot be listed: {error.strerror}.") from error
    if not files:
        raise DataError(
            f"The folder {root} holds no images.",
            f"Images end in one of: {' '.join(sorted(SUFFIXES))}",
        )
    return files


def _walk(folder: Path, parts: tuple[str, ...], above: frozenset[str]) -> Iterator[tuple[str, ...]]:
    real = os.path.realpath(folder)
    if real in above:  # a link to a folder that it lies in
        return
    for item in folder.iterdir():
        if item.name.startswith(".") or item.name == "__MACOSX":
            continue
        if item.is_dir():
            yield from _walk(item, (*parts, item.name), above | {real})
        elif item.suffix.lower() in SUFFIXES:
            yield *parts, item.name
