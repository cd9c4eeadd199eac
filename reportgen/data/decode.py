"""Image files to grey or colour pixels, whatever they hold."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from reportgen.core.errors import DataError
from reportgen.core.spec import InputSpec
from reportgen.data.fit import fit, size_before_crop

# What files are opened as, by their content. Formats that Pillow hands to another program (EPS),
# or knows only by the file's name, are not among them.
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF", "JPEG2000", "ICO")
_TURNED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_DEEPEST = 65_535


def set_up() -> None:
    """Make Pillow ready for threads; once, before any file is read."""
    # All plugins at once: which ones are known must not depend on which file came first.
    Image.init()
    # The limit is ours (data.max_pixels), checked before anything is unfolded.
    Image.MAX_IMAGE_PIXELS = None
    # Remarks on metadata; a file that cannot be used raises an error.
    warnings.filterwarnings("ignore", module=r"PIL\.")


def is_image(path: Path) -> bool:
    """Whether a file begins as an image does; nothing of it is unfolded."""
    if not path.is_file():  # a pipe would be waited for
        return False
    try:
        with Image.open(path, formats=_known()):
            return True
    except Exception:  # noqa: BLE001 (damage shows as any kind of error)
        return False


def _known() -> list[str]:
    return [name for name in _FORMATS if name in Image.OPEN]


def read(path: Path, max_pixels: int, spec: InputSpec) -> np.ndarray:
    """An image file at the network's size, (H, W, C) uint8.

    The first frame of an animation; upright by its EXIF orientation; transparency on white;
    16-bit grey times 1/257. Colour profiles are not applied, and CMYK is 255 less ink, less black.

    Raises:
      DataError: if it is missing, empty, damaged, no image, or larger than ``max_pixels``.
    """
    upright = flatten(_open(path, max_pixels))
    # A thin strip whose shorter side is made larger could fill the memory.
    width, height = size_before_crop(*upright.size, spec)
    before = f"{upright.width} × {upright.height}, resized before the crop: {width} × {height}"
    _check_size(width, height, before, max(max_pixels, 4 * spec.height * spec.width))
    return fit(upright, spec)


def _open(path: Path, max_pixels: int) -> Image.Image:
    try:
        if path.stat().st_size == 0:
            raise DataError("the file is empty")
        with Image.open(path, formats=_known()) as image:
            _check_size(*image.size, f"{image.width} × {image.height}", max_pixels)
            image.load()
            return _upright(image)
    except DataError:
        raise
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError("there is no such file") from error
    except UnidentifiedImageError as error:
        raise DataError("not a readable image") from error
    except Exception as error:
        # Damage shows as any kind of error, by where it hits the decoder.
        if isinstance(error, OSError) and error.strerror:
            raise DataError(f"cannot be read: {error.strerror}") from error
        raise DataError(f"damaged: {str(error) or type(error).__name__}") from error


def _check_size(width: int, height: int, words: str, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise DataError(
            f"{words} = {width * height:,} pixels, more than data.max_pixels={max_pixels}"
        )


def _upright(image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # noqa: BLE001 (as above)
        # The pixels are whole, and an orientation that cannot be read is none.
        orientation = None
    method = _TURNED.get(orientation) if isinstance(orientation, int) else None
    return image if method is None else image.transpose(method)


def flatten(image: Image.Image) -> Image.Image:
    """An image of any of Pillow's modes as ``L`` or ``RGB``, transparency laid on white.

    Raises:
      DataError: for pixels whose range is not known (floating point, more than 16 bits).
    """
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _from_16_bits(image)
    if image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"):
        raise DataError(f"pixels of Pillow's mode {image.mode}, whose range is not known")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    if image.mode in ("L", "RGB"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _from_16_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > _DEEPEST:
        raise DataError(
            f"grey values from {values.min()} to {values.max()}, not within 16 bits (0..{_DEEPEST})"
        )
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        values[values == transparent] = _DEEPEST
    return Image.fromarray(np.rint(values / 257).astype(np.uint8))
