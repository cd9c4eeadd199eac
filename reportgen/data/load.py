"""From the configuration to a batch of images at the network's size."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from reportgen.config import DataConfig
from reportgen.core.errors import ConfigError, DataError, did_you_mean
from reportgen.core.images import ImageBatch, Skipped
from reportgen.core.spec import InputSpec
from reportgen.data import folder
from reportgen.embedded import DIGITS, DIGITS_LICENCE


def load_images(
    config: DataConfig, spec: InputSpec, classes: Sequence[str], seed: int
) -> ImageBatch:
    """The images that the configuration asks for.

    With ``data.count`` a sample is drawn by the seed, kept in the source's order.

    Raises:
      DataError: if no image is left, or labels do not fit the classes.
    """
    if config.source == "folder":
        return _from_folder(config, spec, classes, seed)
    if config.path is not None:
        raise ConfigError("data.path is given with data=embedded.", "Choose data=folder with it.")
    return _embedded(config, spec, classes, seed)


def _sample(total: int, count: int | None, seed: int) -> np.ndarray:
    if count is None or count >= total:
        return np.arange(total)
    return np.sort(np.random.default_rng(seed).permutation(total)[:count])


def _embedded(config: DataConfig, spec: InputSpec, classes: Sequence[str], seed: int) -> ImageBatch:
    with np.load(DIGITS, allow_pickle=False) as file:
        pixels, labels, indices = file["pixels"], file["labels"], file["indices"]
    if len(classes) != 10:
        raise DataError(
            f"data=embedded has the 10 digits; the network has {len(classes)} classes.",
            "Give images of your own: data=folder data.path=…",
        )
    chosen = _sample(len(pixels), config.count, seed)
    resized = [fit(Image.fromarray(pixels[i, :, :, 0]), spec) for i in chosen]
    return batch(
        np.stack(resized),
        tuple(f"digit-{indices[i]:04d}" for i in chosen),
        labels[chosen],
        source="embedded handwritten digits (held out of training)",
        licence=DIGITS_LICENCE,
    )


def _from_folder(
    config: DataConfig, spec: InputSpec, classes: Sequence[str], seed: int
) -> ImageBatch:
    if config.path is None:
        raise ConfigError("data=folder needs a folder.", "Give data.path=FOLDER.")
    root = Path(config.path)
    files = folder.find(root)
    kept, names, labels, skipped = [], [], [], []
    for index in _sample(len(files), config.count, seed):
        name = files[index].relative_to(root).as_posix()
        try:
            image = folder.read(files[index], config.max_pixels)
        except DataError as error:
            skipped.append(Skipped(name, str(error)))
            continue
        kept.append(fit(image, spec))
        names.append(name)
        labels.append(Path(name).parts[0] if "/" in name else "")
    if not kept:
        first = "".join(f"\n  {item.name}: {item.reason}" for item in skipped[:5])
        raise DataError(f"None of the {len(skipped)} images in {root} can be used:{first}")
    return batch(
        np.stack(kept),
        tuple(names),
        _class_indices(labels, classes),
        source=str(config.path),
        skipped=tuple(skipped),
    )


def _class_indices(names: Sequence[str], classes: Sequence[str]) -> np.ndarray | None:
    """Class sub-folders as labels; None if any image lies outside of one."""
    if not all(names):
        return None
    positions = {name: index for index, name in enumerate(classes)}
    for name in dict.fromkeys(names):
        if name not in positions:
            raise DataError(
                f"The sub-folder {name!r} is none of the network's {len(classes)} classes.",
                did_you_mean(name, classes),
            )
    return np.array([positions[name] for name in names], np.int32)


def fit(image: Image.Image, spec: InputSpec) -> np.ndarray:
    """An image at the network's size and channels: (H, W, C) float32, 0..255.

    Bilinear with antialiasing (Pillow); an image of the right size is left untouched.
    """
    image = image.convert("L" if spec.channels == 1 else "RGB")
    if spec.resize == "crop":
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((left, top, left + side, top + side))
    if image.size != (spec.width, spec.height):
        image = image.resize((spec.width, spec.height), Image.Resampling.BILINEAR)
    array = np.asarray(image, np.float32)
    return array if array.ndim == 3 else array[..., None]


def batch(
    pixels: np.ndarray,
    names: tuple[str, ...],
    labels: np.ndarray | None,
    *,
    source: str,
    skipped: tuple[Skipped, ...] = (),
    licence: str = "",
) -> ImageBatch:
    """A batch with its digest."""
    digest = hashlib.sha256()
    for name, image in zip(names, pixels, strict=True):
        digest.update(name.encode() + b"\0" + np.ascontiguousarray(image).tobytes())
    if labels is not None:
        digest.update(labels.astype("<i4").tobytes())
    return ImageBatch(
        pixels=pixels,
        names=names,
        labels=labels,
        source=source,
        sha256=digest.hexdigest(),
        skipped=skipped,
        licence=licence,
    )
