"""The safetensors format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from reportgen.core.errors import WeightsError


def read(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a file by name, memory-mapped until each is copied out.

    Raises:
      WeightsError: if the file is not safetensors, or is cut short.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        size = path.stat().st_size
        raise WeightsError(
            f"{path} ({size:,} bytes) is not a whole safetensors file: {error}.",
            "Copy or download it again, and compare its checksum with the original's.",
        ) from error
