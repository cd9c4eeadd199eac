"""Images in a folder; its sub-folders, if it has any, are classes."""

from __future__ import annotations

import warnings
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from reportgen.core.errors import DataError, did_you_mean

SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
)


def find(root: Path) -> list[Path]:
    """The image files under a folder, by name, in a stable order.

    Raises:
      DataError: if there is no such folder, or it holds no image.
    """
    if not root.is_dir():
        near = [str(path) for path in root.parent.glob("*") if path.is_dir()]
        raise DataError(f"There is no folder {root}.", did_you_mean(str(root), near))
    files = sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not files:
        raise DataError(
            f"The folder {root} holds no images.",
            f"Images end in one of: {' '.join(sorted(SUFFIXES))}",
        )
    return files


def read(path: Path, max_pixels: int) -> Image.Image:
    """One decoded image.

    Raises:
      DataError: if it is empty, damaged, or larger than ``max_pixels``.
    """
    if path.stat().st_size == 0:
        raise DataError("the file is empty")
    try:
        with warnings.catch_warnings():
            # The limit is ours (max_pixels), checked before anything is unfolded.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                width, height = image.size
                if width * height > max_pixels:
                    raise DataError(
                        f"{width} × {height} = {width * height:,} pixels, more than "
                        f"data.max_pixels={max_pixels}"
                    )
                image.load()
                return image.copy()
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise DataError("not a readable image") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"damaged: {error}") from error
