"""What every reader returns: the tensors of a file by dotted name, read one at a time."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reportgen.core.errors import UserError, WeightsError


@dataclass(frozen=True)
class Tensor:
    """One tensor of a file.

    Attributes:
      shape: as the file has it.
      dtype: its name, as NumPy or the file calls it.
      read: reads the values; may raise WeightsError if the file is damaged there.
    """

    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], np.ndarray]


@dataclass(frozen=True)
class Checkpoint:
    """A weights file, opened.

    Attributes:
      format: in words, for the report; says also what of the file was left aside.
      tensors: by dotted name as the file has it, in the order of the file.
      numbered: the last part of each name is the place of the variable in its layer's list
        (``conv1.0``), as in Keras 3's files, which hold no names of variables.
      advice: what to do if the file does not fit for a reason that lies in it.
    """

    format: str
    tensors: Mapping[str, Tensor]
    numbered: bool = False
    advice: str = ""


def held(array: np.ndarray) -> Tensor:
    """A tensor that is in memory already."""
    return Tensor(tuple(array.shape), str(array.dtype), lambda: array)


@contextmanager
def reading(path: Path, kind: str) -> Iterator[None]:
    """Turn whatever a format's library raises on a damaged file into one message.

    Args:
      kind: the format in words (``safetensors``).

    Raises:
      WeightsError: for every other exception raised inside.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        first = (str(error).splitlines() or [""])[0].rstrip(".")
        why = f"{type(error).__name__}: {first}" if first else type(error).__name__
        raise not_whole(path, kind, why) from error


def not_whole(path: Path, kind: str, why: str) -> WeightsError:
    """The error for a file of a known format that cannot be read to its end."""
    folder = path.is_dir()
    size = "" if folder else f" ({path.stat().st_size:,} bytes)"
    return WeightsError(
        f"{path}{size} is not a whole {kind} {'folder' if folder else 'file'}: {why}.",
        "Copy or download it again, and compare its checksum with the original's.",
    )


def library(name: str, path: Path, hint: str) -> Any:
    """Import a library that only some formats need.

    Raises:
      WeightsError: if it is not installed; ``hint`` says how to do without, or to get it.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise WeightsError(f"{path} cannot be read without {name}: {error}.", hint) from error


def flatten(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of nested mappings and lists by dotted name; ``None`` and empty nodes have none."""
    children: Iterator[tuple[Any, Any]]
    if isinstance(tree, Mapping):
        children = iter(tree.items())
    elif isinstance(tree, list | tuple):
        children = iter(enumerate(tree))
    else:
        if tree is not None:
            yield prefix, tree
        return
    for key, value in children:
        yield from flatten(value, f"{prefix}.{key}" if prefix else str(key))
