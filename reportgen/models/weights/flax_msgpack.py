"""Flax's msgpack files (``flax.serialization.to_bytes``): variables, or a whole TrainState."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import cast

import numpy as np
from flax import serialization

from reportgen.models.weights.checkpoint import Checkpoint, flatten, held, reading

KIND = "Flax msgpack"


def read(path: Path) -> Checkpoint:
    """The arrays of a state dictionary by dotted name; other leaves are left out.

    Raises:
      WeightsError: if the file is damaged.
    """
    with (
        reading(path, KIND),
        path.open("rb") as file,
        # Mapped, so that the file is not in memory beside the arrays that are taken out of it.
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
    ):
        tree = serialization.msgpack_restore(cast("bytes", mapped))
        if not isinstance(tree, dict):
            raise ValueError(f"a {type(tree).__name__} stands where a mapping of names should")
        tensors = {
            name: held(np.asarray(leaf))
            for name, leaf in flatten(tree)
            if isinstance(leaf, np.ndarray | np.generic | int | float)
        }
    return Checkpoint(KIND, tensors)
