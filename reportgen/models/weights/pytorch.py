"""PyTorch's .pt and .pth, with PyTorch installed and through ``weights_only=True`` alone."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from reportgen.core.errors import WeightsError
from reportgen.models.weights.checkpoint import Checkpoint, Tensor, flatten, library, reading

KIND = "PyTorch"
_CONVERT = (
    "convert it where PyTorch and the network's code are: python -c \"import torch, "
    "safetensors.torch as s; d = torch.load('IN.pt', map_location='cpu', weights_only=False); "
    "d = d.state_dict() if hasattr(d, 'state_dict') else d.get('state_dict', d); "
    "s.save_file({k: v.contiguous() for k, v in d.items()}, 'OUT.safetensors')\""
)


def read(path: Path) -> Checkpoint:
    """The tensors of a state dictionary, or of a checkpoint around it, by dotted name.

    Raises:
      WeightsError: without PyTorch, or if the file holds more than tensors and plain values.
    """
    torch = library("torch", path, f"Install PyTorch, or {_CONVERT}")
    with reading(path, KIND):
        with path.open("rb") as file:
            # Only the zip files of PyTorch 1.6 and later can be mapped.
            zipped = file.read(2) == b"PK"
        try:
            tree = torch.load(path, weights_only=True, mmap=zipped, map_location="cpu")
        except Exception as error:
            if type(error).__name__ != "UnpicklingError":
                raise
            raise WeightsError(
                f"{path} is damaged, or holds more than tensors (a whole model, or other Python "
                "objects), which would run code when it is loaded; it is not unpickled here.",
                f"Where it comes from, {_CONVERT}",
            ) from error
    if not isinstance(tree, Mapping):
        raise WeightsError(f"{path} holds a {type(tree).__name__}, not tensors with names.")
    tensors = {
        name: Tensor(tuple(leaf.shape), _name(leaf), partial(_array, torch, leaf))
        for name, leaf in flatten(tree)
        if isinstance(leaf, torch.Tensor)
    }
    return Checkpoint(KIND, tensors)


def _name(tensor: Any) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _array(torch: Any, tensor: Any) -> np.ndarray:
    if tensor.dtype == torch.bfloat16:
        # NumPy has no such type; every value of it is one of float32.
        tensor = tensor.float()
    return np.asarray(tensor.detach().numpy())
