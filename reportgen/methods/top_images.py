"""Top images: for each unit the pieces of the data that drive it most.

As in Zeiler and Fergus (2013) and Yosinski et al.: Understanding Neural Networks Through Deep
Visualization (2015): the largest response in each image, the images with the largest ones, each cut
at the unit's receptive field, beside the distribution of all responses.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from pydantic import Field

from reportgen.core.blocks import Block, Group, Histogram, KeyValues, Montage
from reportgen.core.settings import Count, Indices, Texts, settings
from reportgen.methods.base import Context, Method, Result
from reportgen.methods.weights import select_indices
from reportgen.models.base import LayerInfo, Model
from reportgen.rewrite.receptive import Field as ReceptiveField
from reportgen.rewrite.receptive import receptive_field

_BINS = 40


@partial(jax.jit, static_argnames=("paths", "units"))
def responses(
    model: Model, x: jax.Array, paths: tuple[str, ...], units: tuple[tuple[int, ...], ...]
) -> dict[str, jax.Array]:
    """What chosen units of some layers answer to inputs (N, H, W, C): (N, places, units) each.

    Places are those of a map, row by row; a dense layer has one.
    """
    activations = model.apply(x)[1]
    found = {}
    for path, chosen in zip(paths, units, strict=True):
        values = activations[path]
        flat = values.reshape(values.shape[0], -1, values.shape[-1])
        found[path] = jnp.take(flat, jnp.asarray(chosen), axis=-1)
    return found


@dataclass
class Leaders:
    """The images with the largest response of each of U units, K at the most, and a histogram.

    Attributes:
      values: (U, K) largest responses, descending; -inf where there is none yet.
      images: (U, K) indices of their images.
      places: (U, K) where in the map.
      counts: (U, bins) of all responses, over equal bins from ``-bound`` to ``bound``.
      bound: (U,) a power of two, at least as large as any response.
    """

    values: np.ndarray
    images: np.ndarray
    places: np.ndarray
    counts: np.ndarray
    bound: np.ndarray

    @classmethod
    def none(cls, units: int, keep: int) -> Leaders:
        """Before the first image."""
        whole = np.zeros((units, keep), np.int64)
        return cls(
            np.full((units, keep), -np.inf, np.float32),
            whole,
            whole.copy(),
            np.zeros((units, 2 * _BINS), np.int64),
            np.zeros(units),
        )

    def take(self, found: np.ndarray, first: int) -> None:
        """Take in the responses (N, places, U) of images ``first``, ``first + 1``, …

        Of equal responses the earlier image stays ahead, so that batches do not matter.
        """
        places = found.argmax(axis=1)
        best = np.take_along_axis(found, places[:, None], axis=1)[:, 0]
        values = np.concatenate([self.values, best.T], axis=1)
        numbers = np.broadcast_to(np.arange(first, first + len(found)), best.T.shape)
        images = np.concatenate([self.images, numbers], axis=1)
        where = np.concatenate([self.places, places.T], axis=1)
        order = np.argsort(-values, axis=1, kind="stable")[:, : self.values.shape[1]]
        self.values, self.images, self.places = (
            np.take_along_axis(part, order, axis=1) for part in (values, images, where)
        )
        for unit in range(found.shape[2]):
            self._count(unit, found[:, :, unit].ravel())

    def _count(self, unit: int, values: np.ndarray) -> None:
        largest = float(np.abs(values).max(initial=0.0))
        if largest > self.bound[unit]:
            needed = 2.0 ** np.ceil(np.log2(largest))
            if self.bound[unit] == 0:
                self.bound[unit] = needed
            while self.bound[unit] < needed:  # bins join in pairs, from the middle outwards
                low, high = np.split(self.counts[unit], 2)
                halves = [part.reshape(-1, 2).sum(axis=1) for part in (low, high)]
                empty = np.zeros(_BINS // 2, np.int64)
                self.counts[unit] = np.concatenate([empty, *halves, empty])
                self.bound[unit] *= 2
        bound = float(self.bound[unit]) or 1.0
        self.counts[unit] += np.histogram(values, 2 * _BINS, (-bound, bound))[0]

    def histogram(self, unit: int) -> tuple[np.ndarray, np.ndarray]:
        """Counts and edges of a unit, without the empty bins at both ends."""
        bound = float(self.bound[unit]) or 1.0
        edges = np.linspace(-bound, bound, 2 * _BINS + 1)
        filled = np.flatnonzero(self.counts[unit])
        low, high = (filled[0], filled[-1] + 1) if filled.size else (0, 2 * _BINS)
        return self.counts[unit, low:high], edges[low : high + 1]


@settings
class TopImages(Method):
    """Settings of the method.

    Attributes:
      layers: which layers; None for the configuration's.
      units: indices of channels or units; None for the first ``first``.
      first: how many units of each layer, where none are named.
      keep: images for each unit.
    """

    title: ClassVar[str] = "Top images"
    unit: ClassVar[tuple[str, str]] = ("image", "images")

    layers: Texts | None
    units: Annotated[Indices | None, Field(min_length=1)]
    first: Count
    keep: Count

    def rejects(self, layer: LayerInfo) -> str:
        name = f"{layer.path} ({layer.kind})"
        if len(layer.shape) not in (1, 3) or layer.kind == "attention":
            return f"{name} has outputs of shape {layer.shape}, neither maps nor units"
        if self.layers is None and layer.kind not in ("conv", "conv_transpose", "dense"):
            return f"{name} has no units of its own (method.top_images.layers takes it anyway)"
        return ""

    def work(self, context: Context) -> int:
        for layer in context.layers:
            self._units(layer)
        return context.images.listed

    def _units(self, layer: LayerInfo) -> tuple[int, ...]:
        count = layer.shape[-1]
        if self.units is None:
            return tuple(range(min(self.first, count)))
        return tuple(select_indices(count, self.units, "units", layer.path))

    def run(self, context: Context) -> Result:
        images, model = context.images, context.model
        paths = tuple(layer.path for layer in context.layers)
        units = tuple(self._units(layer) for layer in context.layers)
        leaders = {
            path: Leaders.none(len(own), self.keep) for path, own in zip(paths, units, strict=True)
        }
        seen = 0
        while len(part := images.pixels[seen : seen + context.batch]):
            fill = min(context.batch, images.listed) - len(part)
            padded = np.concatenate([part, np.repeat(part[-1:], max(fill, 0), axis=0)])
            found = responses(model, jnp.asarray(model.spec.normalise(padded)), paths, units)
            for path, values in found.items():
                leaders[path].take(np.asarray(values)[: len(part)], seen)
            seen += len(part)
            context.advance(len(part))
        blocks = []
        closed = model.traced()
        for layer, own in zip(context.layers, units, strict=True):
            field = receptive_field(closed, layer.path) if layer.spatial else None
            for k, unit in enumerate(own):
                blocks.append(self._group(context, layer, unit, leaders[layer.path], k, field))
        return Result(
            blocks=tuple(blocks),
            intro=f"The pieces of {seen} images that drive each unit most, largest first, each cut "
            "at the receptive field of the place that answered, and how the unit answers to all.",
        )

    def _group(
        self,
        context: Context,
        layer: LayerInfo,
        unit: int,
        found: Leaders,
        k: int,
        field: ReceptiveField | None,
    ) -> Group:
        images = context.images
        count = int(np.isfinite(found.values[k]).sum())
        tiles = np.stack(
            [
                _crop(images.pixels[int(image)], field, layer, int(place))
                for image, place in zip(
                    found.images[k, :count], found.places[k, :count], strict=True
                )
            ]
        )
        height, width = tiles.shape[1:3]
        chosen = f"method.top_images.layers=[{layer.path}]", f"method.top_images.units=[{unit}]"
        title = f"{layer.path} · {unit}"
        counts, edges = found.histogram(k)
        grey = tiles.shape[-1] == 1
        blocks: tuple[Block, ...] = (
            Montage(
                tiles=tiles[..., 0] if grey else tiles,
                low=0.0,
                high=255.0,
                colormap="gray" if grey else None,
                columns=math.ceil(math.sqrt(count)),
                gap=2,
                labels=tuple(
                    f"{images.names[int(image)]}: {value:.4g}"
                    for image, value in zip(
                        found.images[k, :count], found.values[k, :count], strict=True
                    )
                ),
                caption=context.caption(
                    f"{title} · top images",
                    *chosen,
                    detail=f"{height} × {width} pixels of each image, white where the receptive "
                    "field leaves it",
                    formula="largest response of each image, images by response (Zeiler and "
                    "Fergus 2013)",
                ),
            ),
            KeyValues(
                pairs=tuple(
                    (images.names[int(image)], float(value))
                    for image, value in zip(
                        found.images[k, :count], found.values[k, :count], strict=True
                    )
                ),
                title="largest response",
            ),
            Histogram(
                counts=counts,
                edges=edges,
                x_label="activation",
                caption=context.caption(
                    f"{title} · all responses", *chosen, detail="at every place of every image"
                ),
            ),
        )
        return Group(title=title, subtitle=layer.kind, blocks=blocks)


def _crop(
    image: np.ndarray, field: ReceptiveField | None, layer: LayerInfo, place: int
) -> np.ndarray:
    """The pixels (h, w, C) that a place looks at; all crops of a layer have one size."""
    height, width = image.shape[:2]
    if field is None:
        return image
    row, column = divmod(place, layer.shape[1])
    top, bottom, left, right = field.box(row, column, (height, width))
    if bottom - top >= height and right - left >= width:
        return image
    crop = np.full((bottom - top, right - left, image.shape[2]), 255.0, np.float32)
    inside = image[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    down, across = max(-top, 0), max(-left, 0)
    crop[down : down + inside.shape[0], across : across + inside.shape[1]] = inside
    return crop
