"""The block of a layer's units: all that is known of each, in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from reportgen.core.fields import Array, Caption


@dataclass(frozen=True, kw_only=True)
class Units:
    """N units of a layer: arrays with a row for each, or None where that was not looked at.

    What does not exist for a unit is NaN; where there are fewer than the K crops or C classes of
    others, the index is −1.

    Attributes:
      layer: path; it has ``count`` units.
      indices: (N,) which these are.
      largest, mean: (N,) of the unit's responses to all images at all places.
      sparsity: (N,) share of responses that are zero or below (0..1).
      dead: (N,) whether nothing made the unit respond above zero, where a rectifier reads it.
      repeats: (N,) the earlier unit that it repeats.
      counts: (N, B) responses in B equal bins from −``bound`` to ``bound``, which is (N,).
      crops: (N, K, h, w, 1 or 3) pieces of images, 0..255, that drive the unit most; ``crop_size``
        is their height and width in the images.
      responses: (N, K) to them, descending. ``images``: (N, K) where in ``names`` they are.
      pictures: (N, h, w, 1 or 3) synthesised to drive the unit, 0..255; ``score`` is (N,), and
        ``climbed`` says of what.
      kernels: (N, P, h, w) weights, one part for each of P inputs, or (N, 1, h, w, 3) in colour.
        ``inputs`` says which: (N, P).
      effects: (N, C) on the logits of classes that the unit helps, descending; ``helped`` is (N, C)
        where in ``classes`` they are.
      colormap: of the kernels.
    """

    layer: str
    count: int
    indices: Array
    largest: Array
    mean: Array
    sparsity: Array
    dead: Array
    repeats: Array
    counts: Array
    bound: Array
    crops: Array
    crop_size: tuple[int, int]
    responses: Array
    images: Array
    names: tuple[str, ...]
    colormap: str
    caption: Caption
    pictures: Array | None = None
    score: Array | None = None
    climbed: str = ""
    kernels: Array | None = None
    inputs: Array | None = None
    effects: Array | None = None
    helped: Array | None = None
    classes: tuple[str, ...] = ()
    type: Literal["units"] = "units"

    @property
    def found(self) -> np.ndarray:
        """(N,) how many crops there are of each."""
        found: np.ndarray = (self.images >= 0).sum(axis=1)
        return found
