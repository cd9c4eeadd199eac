"""What a network takes: size, channels and how pixels become its input."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from reportgen.core.settings import Count, Positive, Reals, Switch, settings

Interpolation = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]


def _listed(values: tuple[float, ...]) -> str:
    return f"[{', '.join(f'{value:g}' for value in values)}]"


@settings
class InputSpec:
    """The input of a network, NHWC.

    Pixels are 0..255; the network sees ``(pixels * scale - mean) / std`` in its channel order.

    Attributes:
      height, width, channels: of one image.
      scale: factor on 0..255 pixels, such as 1/255.
      mean, std: one value, or one a channel in the network's order, after scaling.
      order: channel order that the network wants (images are read as RGB).
      resize: ``stretch`` to the size, or ``crop`` the centre of the resized image.
      crop_fraction: with ``crop``, size / what the shorter side is resized to first (0..1);
        torchvision's 256, then 224, is 0.875.
      interpolation: a filter of Pillow's, which widens all but ``nearest`` when it makes images
        smaller, so that nothing aliases.
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
    crop_fraction: Positive = 1.0
    interpolation: Interpolation = "bilinear"
    fixed_size: Switch = True

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            values = getattr(self, name)
            if len(values) not in (1, self.channels):
                raise ValueError(
                    f"{name} is {_listed(values)}; expected one value, or one a channel "
                    f"({self.channels}): set model.input.{name}, or choose another preprocessing"
                )
        if any(value <= 0 for value in self.std):
            raise ValueError(
                f"std is {_listed(self.std)}; expected values above 0, by which pixels are divided"
            )
        if self.crop_fraction > 1:
            raise ValueError(
                f"crop_fraction is {self.crop_fraction:g}; expected above 0 and at most 1, the "
                "size over what the shorter side is resized to (224 / 256 = 0.875)"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        return self.height, self.width, self.channels

    @property
    def before_crop(self) -> tuple[int, int]:
        """(height, width) that a resized image must cover, whose centre is then cropped.

        Rounded down, as timm and torchvision state it; 224 / 0.9 is 248.
        """
        if self.resize == "stretch":
            return self.height, self.width
        # A fraction such as 224/232 must lead back to 232, whichever way it was rounded.
        height, width = (math.floor(s / self.crop_fraction + 1e-6) for s in self.shape[:2])
        return height, width

    @property
    def resizing(self) -> str:
        """How images come to size, in words."""
        size = f"{self.height} × {self.width}"
        if self.resize == "stretch":
            return f"stretched to {size} ({self.interpolation})"
        height, width = self.before_crop
        covered = f"shorter side to {height}" if height == width else f"to cover {height} × {width}"
        return f"{covered} ({self.interpolation}), then the centre {size}"

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
