"""One pass over all images: what every layer answers, and the logits.

Health of the layers, the audit, the predictions and what later reports are compared with are all
told from it, so that a dead unit is the same everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from reportgen.core.images import ImageBatch
from reportgen.core.measured import BINS, bin_of
from reportgen.engine.rows import Chunk, Engine
from reportgen.methods.answers import Totals, flat, pixels, spans, totals_of
from reportgen.methods.streamed import streamed
from reportgen.models.base import LayerInfo, Model
from reportgen.rewrite.units import rectified

_SAMPLE = 4096  # of a layer's answers to an image that are counted, about
_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class Look:
    """What layers and the network answer to pixels (N, H, W, C).

    Made are ``logits`` (N, classes) and, one layer behind another, ``totals`` (see ``totals_of``)
    and ``sample``: (N, answers) of all units at some places, the same in every image.
    """

    paths: tuple[str, ...]
    name: str = "survey"

    def __call__(self, batch: int, model: Model, pixels: jax.Array) -> dict[str, Any]:
        logits, activations = model.apply(model.spec.normalise(pixels))
        chosen = [activations[path] for path in self.paths]
        # One array: the host takes a large one in a tenth of many's time.
        sample = jnp.concatenate([_sampled(values) for values in chosen], axis=1)
        return {"logits": logits, "totals": totals_of(chosen), "sample": sample}


def _sampled(values: jax.Array) -> jax.Array:
    rows = flat(values)
    index = _chosen(*rows.shape[1:])
    kept = rows if len(index) == rows.shape[1] else jnp.take(rows, index, axis=1)
    return kept.reshape(len(kept), -1)


@cache
def _chosen(places: int, units: int) -> np.ndarray:
    """Places of a map that are looked at."""
    kept = min(places, max(1, _SAMPLE // units))
    if kept == places:
        return np.arange(places)
    # Spread over rows and columns alike: multiples of the golden ratio are near no fraction.
    return np.unique((np.arange(kept) * _GOLDEN % 1 * places).astype(np.int32))


@dataclass
class Counts:
    """(layers, 2048) sampled finite answers of each layer, by bin (``core.measured.bin_of``)."""

    values: np.ndarray

    def take(self, sample: np.ndarray, sizes: Sequence[int]) -> None:
        """Take in answers (N, all layers'), so many of each layer."""
        cells = bin_of(sample) + np.repeat(np.arange(len(sizes)) * BINS, sizes)
        finite = cells.ravel() if np.isfinite(sample.sum()) else cells[np.isfinite(sample)]
        self.values += np.bincount(finite, minlength=self.values.size).reshape(self.values.shape)


@dataclass
class Surveyed:
    """What was seen of all images.

    Attributes:
      shapes: of each layer with units, by path.
      whole: totals of all their units, one layer behind another.
      counts: of each of these layers.
      logits: (N, classes), when all was seen.
    """

    shapes: dict[str, tuple[int, ...]]
    whole: Totals
    counts: Counts
    logits: np.ndarray

    @classmethod
    def none(cls, model: Model) -> Surveyed:
        """Before the first image."""
        shapes = {layer.path: layer.shape for layer in model.layers if has_units(layer)}
        places = [np.full(shape[-1], math.prod(shape[:-1])) for shape in shapes.values()]
        return cls(
            shapes,
            Totals.none(np.concatenate([*places, np.zeros(0, int)])),
            Counts(np.zeros((len(shapes), BINS), np.int64)),
            np.zeros((0, len(model.classes)), np.float32),
        )

    @cached_property
    def totals(self) -> dict[str, Totals]:
        """Of each layer; when all was seen."""
        where = spans({path: shape[-1] for path, shape in self.shapes.items()})
        return {path: self.whole.of(units) for path, units in where.items()}

    @cached_property
    def histograms(self) -> dict[str, np.ndarray]:
        """(2048,) of each layer; when all was seen."""
        return dict(zip(self.shapes, self.counts.values, strict=True))

    @cached_property
    def _sizes(self) -> list[int]:
        """Of each layer's part of a sample."""
        return [
            len(_chosen(math.prod(shape[:-1]), shape[-1])) * shape[-1]
            for shape in self.shapes.values()
        ]

    def take(self, chunk: Chunk) -> np.ndarray:
        """Take in what ``Look`` made; the logits come back."""
        self.whole.take(chunk.made["totals"])
        self.counts.take(chunk.made["sample"], self._sizes)
        return np.asarray(chunk.made["logits"])


@dataclass
class Survey:
    """A network and all its images, looked at once, when somebody first asks.

    Attributes:
      advance: told of every finished image.
    """

    model: Model
    images: ImageBatch
    engine: Engine
    advance: Callable[[int], None] = field(default=lambda done: None)

    @cached_property
    def seen(self) -> Surveyed:
        """Of all images; waits for the last one."""
        seen = Surveyed.none(self.model)
        logits = streamed(
            self.engine,
            Look(tuple(seen.shapes)),
            self.model,
            pixels(self.images),
            self.images.listed,
            self.advance,
            seen.take,
            {"totals": seen.whole, "counts": seen.counts},
        )
        return replace(seen, logits=np.concatenate([seen.logits, *logits]))

    @cached_property
    def heard(self) -> dict[str, str]:
        """See ``heard_at``."""
        return heard_at(self.model)

    def dead(self, layer: LayerInfo, threshold: float = 0.0) -> np.ndarray | None:
        """(U,) whether a unit answered to nothing above a threshold.

        None where no rectifier reads it.
        """
        witness = self.heard.get(layer.path)
        return None if witness is None else self.seen.totals[witness].never_above(threshold)


def heard_at(model: Model) -> dict[str, str]:
    """The layers whose units a rectifier reads, and the layer at which it reads them.

    A norm stands for the layer before it where it has the same units. Nothing is said of layers
    that are called more than once: what one call does not use another one may.
    """
    shapes = {layer.path: layer.shape for layer in model.layers if has_units(layer)}
    again = {layer.path.partition("#")[0] for layer in model.layers if "#" in layer.path}
    return {
        path: witness
        for path, witness in rectified(model.traced()).items()
        if path.partition("#")[0] not in again
        and path in shapes
        and shapes.get(witness) == shapes[path]
    }


def has_units(layer: LayerInfo) -> bool:
    """Whether it has maps (h, w, units), or units alone."""
    return len(layer.shape) in (1, 3)
