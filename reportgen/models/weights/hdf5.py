"""HDF5 files, as far as two of Keras's formats need them; nothing outside the file is followed."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from reportgen.core.errors import WeightsError
from reportgen.models.weights.checkpoint import Tensor, library, reading

KIND = "HDF5"
Source = Callable[[], Path | io.BytesIO]


@contextmanager
def opened(path: Path, source: Source) -> Iterator[Any]:
    """The open HDF5 file.

    Args:
      path: for messages.
      source: gives the file, or its bytes where it lies inside of another.

    Raises:
      WeightsError: without h5py, or if the file is damaged.
    """
    h5py = library("h5py", path, "Install it: pip install 'reportgen[keras]'.")
    with reading(path, KIND), h5py.File(source(), "r") as file:
        yield file


def child(group: Any, name: str) -> Any:
    """The member of a group by its path.

    Raises:
      WeightsError: if a link on the way, or the data itself, lies outside of the file.
      KeyError: if there is none.
    """
    node = group
    for part in name.split("/"):
        link = type(node.get(part, getlink=True)).__name__
        if link != "HardLink":
            raise WeightsError(f"{node.file.filename}: {name} is a {link}, which is not followed.")
        node = node[part]
    if getattr(node, "external", None) or getattr(node, "is_virtual", False):
        raise WeightsError(f"{node.file.filename}: the data of {name} lie in another file.")
    return node


def tensor(path: Path, source: Source, dataset: Any) -> Tensor:
    """One dataset, read when its values are asked for."""
    read = partial(_array, path, source, dataset.name.strip("/"))
    return Tensor(tuple(dataset.shape), _dtype(dataset), read)


def _dtype(dataset: Any) -> str:
    # HDF5 has no bfloat16; Keras stores its two bytes and says so in an attribute.
    return text(dataset.attrs["dtype"]) if "dtype" in dataset.attrs else dataset.dtype.name


def _array(path: Path, source: Source, name: str) -> np.ndarray:
    with opened(path, source) as file:
        dataset = child(file, name)
        values = np.asarray(dataset[()])
        if _dtype(dataset) == "bfloat16" and values.dtype != ml_dtypes.bfloat16:
            values = values.view(ml_dtypes.bfloat16)
    return values


def text(value: Any) -> str:
    """An attribute's text, which old files hold as bytes."""
    return value.decode() if isinstance(value, bytes) else str(value)
