"""NumPy archives (.npz); arrays of objects, which would be pickled, are refused."""

from __future__ import annotations

import zipfile
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np

from reportgen.core.errors import WeightsError
from reportgen.models.weights.checkpoint import Checkpoint, Tensor, reading

KIND = "NumPy .npz"


def read(path: Path) -> Checkpoint:
    """The arrays of an archive by name.

    Raises:
      WeightsError: if it is damaged, or holds pickled objects.
    """
    tensors = {}
    with reading(path, KIND), zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            if not member.endswith(".npy"):
                raise WeightsError(f"{path} holds {member!r}, which is no NumPy array.")
            with archive.open(member) as file:
                shape, dtype = _header(file)
            if dtype.hasobject:
                raise WeightsError(
                    f"{path} holds {member!r} as pickled Python objects, which are never loaded.",
                    "Save plain arrays: np.savez(path, **{name: np.asarray(value), …}).",
                )
            name = member.removesuffix(".npy").replace("/", ".")
            tensors[name] = Tensor(shape, dtype.name, partial(_array, path, member))
    return Checkpoint(KIND, tensors)


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    else:
        shape, _, dtype = np.lib.format.read_array_header_2_0(file)
    return tuple(shape), dtype


def _array(path: Path, member: str) -> np.ndarray:
    with reading(path, KIND), zipfile.ZipFile(path) as archive, archive.open(member) as file:
        return np.asarray(np.lib.format.read_array(file, allow_pickle=False))
