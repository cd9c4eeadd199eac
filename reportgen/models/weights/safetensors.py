"""The safetensors format."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import ml_dtypes  # noqa: F401 (tells NumPy of bfloat16, which safetensors then finds)
import numpy as np
from safetensors import SafetensorError, safe_open

from reportgen.core.errors import WeightsError
from reportgen.models.weights.checkpoint import Checkpoint, Tensor, not_whole

KIND = "safetensors"
_READABLE = {"F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8"}
_READABLE |= {"BOOL"}


def read(path: Path) -> Checkpoint:
    """The tensors of a file by name, memory-mapped until each is copied out.

    Raises:
      WeightsError: if the file is not safetensors, or is cut short.
    """
    tensors = {}
    try:
        with safe_open(path, framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118 (it is no mapping)
                part = file.get_slice(name)
                shape = tuple(part.get_shape())
                tensors[name] = Tensor(shape, part.get_dtype(), partial(_array, path, name))
    except SafetensorError as error:
        raise not_whole(path, KIND, str(error)) from error
    return Checkpoint(KIND, tensors)


def _array(path: Path, name: str) -> np.ndarray:
    try:
        with safe_open(path, framework="numpy") as file:
            kind = file.get_slice(name).get_dtype()
            if kind not in _READABLE:
                raise WeightsError(
                    f"{path} holds {name} as {kind}, which is not read here.",
                    "Convert it to float16, bfloat16 or float32.",
                )
            return np.asarray(file.get_tensor(name))
    except SafetensorError as error:
        raise not_whole(path, KIND, str(error)) from error
