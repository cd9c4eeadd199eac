"""From the configuration to a batch of images on its way to the network's size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from reportgen.config import DataConfig
from reportgen.core.errors import ConfigError, DataError
from reportgen.core.images import Facts, ImageBatch
from reportgen.core.spec import InputSpec
from reportgen.data import csv, decode, embedded, folder, npz
from reportgen.data.listing import Listing
from reportgen.data.select import choose, shortfalls
from reportgen.data.store import make_store
from reportgen.data.stream import DecodedPixels, Job


def load_images(
    config: DataConfig,
    spec: InputSpec,
    classes: Sequence[str],
    seed: int,
    threads: int | None = None,
) -> ImageBatch:
    """The images that the configuration asks for.

    They are decoded in the background from now on, by a thread for each core (8 at most) or as
    many as are given. What comes of it depends neither on these nor on when it is looked at.

    Raises:
      ConfigError: for settings that contradict each other or the source.
      DataError: if the source is not there, or labels do not fit the classes. That no image can be
        used is raised by the batch.
    """
    listing = _open(config, spec, classes)
    none = config.source == "none"
    chosen = [] if none else choose(listing.entries, config, classes, seed)
    jobs = [Job(entry.name, partial(entry.read, spec), label) for entry, label in chosen]
    dtype = np.dtype(listing.dtype)
    store = make_store((len(jobs), *spec.shape), dtype)
    pixels = DecodedPixels(jobs, spec.shape, store, listing.source, dtype, threads)
    # Who names the files knows of those that are none.
    skipped = () if config.files else listing.skipped

    def facts() -> Facts:
        found = pixels.facts()
        return replace(found, skipped=(*skipped, *found.skipped))

    return ImageBatch(
        pixels=pixels,
        listed=len(jobs),
        source=listing.source,
        facts=facts,
        licence=listing.licence,
        notes=shortfalls(chosen, config, classes),
    )


def _open(config: DataConfig, spec: InputSpec, classes: Sequence[str]) -> Listing:
    if config.source == "none":
        return Listing(entries=(), source="none")
    if config.source == "npz":
        return npz.open_source(config, _path(config), spec)
    if spec.channels not in (1, 3):
        raise DataError(
            f"The network takes images of {spec.height} × {spec.width} × {spec.channels}, and "
            f"data={config.source} gives images of 1 or 3 channels.",
            f"Give arrays of shape (N, H, W, {spec.channels}): data=npz data.path=….npz",
        )
    if config.source == "embedded":
        return embedded.open_source(config, classes)
    decode.set_up()
    source = folder if config.source == "folder" else csv
    return source.open_source(config, _path(config))


def _path(config: DataConfig) -> str:
    if config.path is None:
        what = "FOLDER" if config.source == "folder" else f"FILE.{config.source}"
        raise ConfigError(f"data={config.source} needs a path.", f"Give data.path={what}.")
    return config.path
