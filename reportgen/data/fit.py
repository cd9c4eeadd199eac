"""Images to a network's size and channels."""

from __future__ import annotations

import numpy as np
from PIL import Image

from reportgen.core.spec import InputSpec

# ITU-R 601, as Pillow turns colours to grey.
_GREY = np.array([0.299, 0.587, 0.114])


def fit(image: Image.Image, spec: InputSpec) -> np.ndarray:
    """An image at the network's size and channels: (H, W, C) uint8.

    With ``crop`` it is what torchvision's ``Resize`` and ``CenterCrop`` do, to the bit; the filters
    are Pillow's, with antialiasing. An image of the right size is left untouched.

    Args:
      image: ``L`` or ``RGB``; turned to grey (ITU-R 601) or repeated over the channels.
    """
    mode = "L" if spec.channels == 1 else "RGB"
    if image.mode != mode:  # convert copies what needs no change
        image = image.convert(mode)
    array = np.asarray(_to_size(image, spec))
    return array if array.ndim == 3 else array[..., None]


def fit_array(values: np.ndarray, spec: InputSpec) -> np.ndarray:
    """An array (h, w, c), 0..255, at the network's size and channels, in its own type.

    Args:
      values: uint8, or float32, which is resized without rounding; c is the network's or, for
        networks of grey or colour, 1 or 3.
    """
    if values.dtype == np.uint8 and spec.channels in (1, 3):
        return fit(Image.fromarray(values[..., 0] if values.shape[2] == 1 else values), spec)
    if values.shape[2] != spec.channels:
        grey = values @ _GREY if values.shape[2] == 3 else values[..., 0]
        values = np.repeat(grey.astype(values.dtype)[..., None], spec.channels, axis=2)
    planes = [np.ascontiguousarray(plane) for plane in np.moveaxis(values, 2, 0)]
    sized = [np.asarray(_to_size(Image.fromarray(plane), spec)) for plane in planes]
    # Bicubic and Lanczos overshoot at edges; uint8 is clipped by Pillow, floats are here.
    return np.clip(np.stack(sized, axis=-1), 0, 255)


def size_before_crop(width: int, height: int, spec: InputSpec) -> tuple[int, int]:
    """The (width, height) that an image is resized to.

    With ``crop`` its aspect is kept: one side becomes that of ``spec.before_crop``, the other is
    no shorter than it, rounded down (torchvision's rule).
    """
    rows, columns = spec.before_crop
    if spec.resize == "stretch":
        return columns, rows
    if width * rows <= height * columns:
        return columns, columns * height // width
    return rows * width // height, rows


def _to_size(image: Image.Image, spec: InputSpec) -> Image.Image:
    size = size_before_crop(*image.size, spec)
    if image.size != size:
        image = image.resize(size, Image.Resampling[spec.interpolation.upper()])
    if spec.resize == "crop" and size != (spec.width, spec.height):
        # Python's rounding of halves to even is torchvision's too.
        left, top = round((size[0] - spec.width) / 2), round((size[1] - spec.height) / 2)
        image = image.crop((left, top, left + spec.width, top + spec.height))
    return image
