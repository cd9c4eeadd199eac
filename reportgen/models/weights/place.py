"""Giving every parameter of a network its tensor, or saying which do not fit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from reportgen.core.errors import WeightsError, nearest
from reportgen.models.base import Parameters


def place(
    tensors: Mapping[str, np.ndarray], shapes: Mapping[str, jax.ShapeDtypeStruct], path: Path
) -> Parameters:
    """The parameters of a network from a file's tensors, in the network's own types.

    Args:
      tensors: by dotted name.
      shapes: what the network has, by dotted name.
      path: of the file, for messages.

    Raises:
      WeightsError: listing missing, left-over, mis-shaped and non-finite tensors by name.
    """
    problems = []
    for name, wanted in shapes.items():
        tensor = tensors.get(name)
        if tensor is None:
            close = nearest(name, tensors, 1)
            problems.append(f"missing: {name} {wanted.shape}" + "".join(f" ({c}?)" for c in close))
        elif tensor.shape != wanted.shape:
            problems.append(f"shape: {name} is {tensor.shape}, the network has {wanted.shape}")
        elif not np.isfinite(tensor).all():
            bad = int(np.size(tensor) - np.isfinite(tensor).sum())
            problems.append(f"not finite: {name} has {bad:,} NaN or infinite of {tensor.size:,}")
    problems += [f"left over: {name} {tensors[name].shape}" for name in tensors.keys() - shapes]
    if problems:
        listed = sorted(problems)
        shown = "\n".join(f"  {line}" for line in listed[:12])
        more = f"\n  … and {len(listed) - 12} more" if len(listed) > 12 else ""
        raise WeightsError(
            f"{path} does not fit the network ({len(tensors)} tensors in the file, "
            f"{len(shapes)} in the network):\n{shown}{more}",
            "Check that model= names the network that was trained, and that training ended well.",
        )
    return {name: jnp.asarray(tensors[name], wanted.dtype) for name, wanted in shapes.items()}
