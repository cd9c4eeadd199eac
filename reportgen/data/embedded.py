"""The handwritten digits that come with reportgen."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from PIL import Image

from reportgen.config import DataConfig
from reportgen.core.errors import ConfigError, DataError
from reportgen.core.spec import InputSpec
from reportgen.data.fit import fit
from reportgen.data.labels import single_score
from reportgen.data.listing import Entry, Listing
from reportgen.embedded import DIGITS, DIGITS_LICENCE


def open_source(config: DataConfig, classes: Sequence[str]) -> Listing:
    """The images that were held out of the training of the embedded networks.

    Raises:
      DataError: for a network that does not tell ten classes apart.
    """
    if config.path is not None:
        raise ConfigError(
            "data.path is given with data=embedded.",
            "Choose what it holds: data=folder, data=csv or data=npz.",
        )
    if config.images != "auto" or config.labels not in ("auto", None):
        raise ConfigError("data.images and data.labels are given with data=embedded.")
    if len(classes) != 10 and config.labels is not None:
        if len(classes) == 1:
            raise single_score(classes[0])
        raise DataError(
            f"data=embedded has the 10 digits; the network has {len(classes)} classes.",
            "Give images of your own (data=folder data.path=…), leave the labels out "
            "(data.labels=null), or do without images (data=none).",
        )
    with np.load(DIGITS, allow_pickle=False) as file:
        pixels, labels, indices = file["pixels"], file["labels"], file["indices"]
    entries = tuple(
        Entry(
            name=f"digit-{indices[i]:04d}",
            read=partial(_read, pixels[i, :, :, 0]),
            label=None if config.labels is None else str(labels[i]),
        )
        for i in range(len(pixels))
    )
    return Listing(
        entries=entries,
        source="embedded handwritten digits (held out of training)",
        licence=DIGITS_LICENCE,
    )


def _read(pixels: np.ndarray, spec: InputSpec) -> np.ndarray:
    return fit(Image.fromarray(pixels), spec)
