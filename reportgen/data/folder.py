"""Images in a folder; its sub-folders, if all images lie in some, are classes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from reportgen.config import DataConfig
from reportgen.core.errors import ConfigError, DataError
from reportgen.core.images import Skipped
from reportgen.core.paths import beside
from reportgen.data import decode
from reportgen.data.listing import Entry, Listing

SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".avif"}
)
# What lies beside images and is not meant to be one: lists, notes and annotations.
_BESIDE = frozenset({".txt", ".csv", ".json", ".md", ".xml", ".yaml", ".yml", ".ini", ".db"})


def open_source(config: DataConfig, path: str) -> Listing:
    """The images under a folder, by name: told by their ending, or by their content.

    Raises:
      DataError: if there is no such folder, or it holds no image.
    """
    if config.images != "auto" or config.labels not in ("auto", None):
        raise ConfigError(
            "data.images and data.labels name arrays and columns, and a folder has none.",
            "data.labels=null leaves the sub-folders' names out of it.",
        )
    root = Path(path)
    files, others = find(root)
    labelled = config.labels is not None and all(len(parts) > 1 for parts in files)
    entries = tuple(
        Entry(
            name=_name(parts),
            read=partial(decode.read, root.joinpath(*parts), config.max_pixels),
            label=parts[0] if labelled else None,
            origin="The sub-folder",
        )
        for parts in files
    )
    skipped = tuple(Skipped(_name(parts), "not an image by its content") for parts in others)
    return Listing(entries=entries, source=path, skipped=skipped)


def _name(parts: tuple[str, ...]) -> str:
    # A name that is no UTF-8 could not be written into a report.
    return os.fsencode("/".join(parts)).decode(errors="replace")


def find(root: Path) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    """The image files under a folder, and its other files, as the parts of their paths, in order.

    What is hidden (``.name``, ``__MACOSX``) is passed over, and so is what usually lies beside
    images.

    Raises:
      DataError: if there is no such folder, or it holds no image.
    """
    if not root.is_dir():
        raise _no_folder(root)
    try:
        found = sorted(_walk(root, (), frozenset()))
    except OSError as error:
        raise DataError(f"{error.filename} cannot be listed: {error.strerror}.") from error
    files: list[tuple[str, ...]] = []
    others: list[tuple[str, ...]] = []
    for parts in found:
        known = Path(parts[-1]).suffix.lower() in SUFFIXES
        is_image = known or decode.is_image(root.joinpath(*parts))
        (files if is_image else others).append(parts)
    if not files:
        raise DataError(
            f"The folder {root} holds no images.",
            f"Images end in one of: {' '.join(sorted(SUFFIXES))}, or are told by their content.",
        )
    return files, others


def _no_folder(root: Path) -> DataError:
    if not root.exists():
        return DataError(f"There is no folder {root}.", beside(root, Path.is_dir))
    source = {".csv": "csv", ".npz": "npz"}.get(root.suffix.lower())
    return DataError(
        f"{root} is a file, and data=folder takes a folder.",
        f"Choose data={source}."
        if source
        else f"Give the folder that it is in: data.path={root.parent} data.files=[{root.name}]",
    )


def _walk(folder: Path, parts: tuple[str, ...], above: frozenset[str]) -> Iterator[tuple[str, ...]]:
    real = os.path.realpath(folder)
    if real in above:  # a link to a folder that it lies in
        return
    for item in folder.iterdir():
        if item.name.startswith(".") or item.name == "__MACOSX":
            continue
        if item.is_dir():
            yield from _walk(item, (*parts, item.name), above | {real})
        elif item.suffix.lower() not in _BESIDE:
            yield *parts, item.name
