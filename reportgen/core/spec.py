"""What a network takes: size, channels and how pixels become its input."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from reportgen.core.settings import Count, Positive, Reals, Switch, settings


@settings
class InputSpec:
    """The input of a network, NHWC.

    Pixels are 0..255; the network sees ``(pixels * scale - mean) / std`` in its channel order.

    Attributes:
      height, width, channels: of one image.
      scale: factor on 0..255 pixels, such as 1/255.
      mean, std: one value, or one a channel in the network's order, after scaling.
      order: channel order that the network wants (images are read as RGB).
      resize: ``stretch`` to the size, or ``crop`` (shorter side to size, centre cropped).
      fixed_size: True if the network takes this size only (it ends in dense layers).
    """

    height: Count
    width: Count
    channels: Count
    scale: Positive = 1.0
    mean: Reals = (0.0,)
    std: Reals = (1.0,)
    order: Literal["rgb", "bgr"] = "rgb"
    resize: Literal["stretch", "crop"] = "stretch"
    fixed_size: Switch = True

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            if len(getattr(self, name)) not in (1, self.channels):
                raise ValueError(f"{name} has {len(getattr(self, name))} values, not 1 or channels")
        if any(value <= 0 for value in self.std):
            raise ValueError("std must be above 0")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        return self.height, self.width, self.channels

    def _vectors(self) -> tuple[np.ndarray, np.ndarray]:
        mean = np.broadcast_to(np.asarray(self.mean, np.float32), (self.channels,))
        std = np.broadcast_to(np.asarray(self.std, np.float32), (self.channels,))
        return mean, std

    def normalise(self, pixels: Any, *, subtract_mean: bool = True) -> Any:
        """Pixels (…, H, W, C), 0..255, RGB or grey, to the network's input; NumPy or JAX arrays.

        With ``subtract_mean=False`` only the unit changes (``pixels * scale / std``).
        """
        mean, std = self._vectors()
        if self.order == "bgr":
            pixels = pixels[..., ::-1]
        scaled = pixels * np.float32(self.scale)
        return (scaled - mean) / std if subtract_mean else scaled / std
