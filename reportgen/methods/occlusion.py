"""Occlusion: what the class score loses when a patch of the image is covered.

Zeiler, Fergus: Visualizing and Understanding Convolutional Networks (2013), arXiv:1311.2901;
windows and averaging as Captum's ``Occlusion``, which cuts off what reaches over an edge too, and
one value a block as keras-vis users draw it.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import Annotated, ClassVar, Literal, Self

import jax
import jax.numpy as jnp
import numpy as np
from pydantic import Field

from reportgen.core.blocks import Block, Heatmap, Table
from reportgen.core.errors import ConfigError
from reportgen.core.settings import Count, settings
from reportgen.methods.attribution import Attribution, Maps
from reportgen.methods.base import Context
from reportgen.methods.targets import Chosen
from reportgen.models.base import Model

Fill = Literal["mean"] | Annotated[float, Field(ge=0, le=255)]
Window = tuple[int, int]


def windows(size: int, patch: int, stride: int, *, centred: bool) -> np.ndarray:
    """First and last covered place, exclusive, of every window along one side (K, 2).

    Args:
      size: of the side in pixels.
      centred: a window lies around each block of ``stride`` pixels; else the first begins at 0, and
        the last is the first to reach the end. What lies outside of the image is cut off.
    """
    if centred:
        count = math.ceil(size / stride)
        first = np.arange(count) * stride + stride / 2 - patch / 2
        starts = np.floor(first).astype(int)
    else:
        count = 1 + math.ceil(max(size - patch, 0) / stride)
        starts = np.arange(count) * stride
    return np.stack([np.maximum(starts, 0), np.minimum(starts + patch, size)], axis=1)


def occluded_scores(
    model: Model,
    image: jax.Array,
    fill: jax.Array,
    rows: np.ndarray,
    columns: np.ndarray,
    batch: int,
) -> tuple[jax.Array, jax.Array]:
    """Scores of an image, and with every window covered in turn.

    Args:
      image: one input (H, W, C), normalised.
      fill: what covers it, (C,), normalised.
      rows, columns: windows (R, 2) and (K, 2), see ``windows``.
      batch: inputs at a time.

    Returns:
      (classes,) and (R, K, classes).
    """
    around = model.around(image[None], rows, columns)
    where = around.box

    def scores(number: jax.Array) -> jax.Array:
        row, column = number
        begin = [jnp.asarray(span.starts)[i] for span, i in zip(where, number, strict=True)]
        sizes = [span.size for span in where]
        box = jax.lax.dynamic_slice(image, (*begin, 0), (*sizes, image.shape[-1]))
        within = [
            (place >= jnp.asarray(side)[i, 0]) & (place < jnp.asarray(side)[i, 1])
            for side, i, place in zip(
                (rows, columns),
                number,
                (first + jnp.arange(size) for first, size in zip(begin, sizes, strict=True)),
                strict=True,
            )
        ]
        covered = within[0][:, None, None] & within[1][:, None]
        return around.changed(jnp.where(covered, fill, box)[None], row, column)[0]

    numbers = jnp.asarray(list(np.ndindex(len(rows), len(columns))), jnp.int32)
    found = jax.lax.map(scores, numbers, batch_size=min(batch, len(numbers)))
    return around.scores[0], found.reshape(len(rows), len(columns), -1)


def spread(values: jax.Array, rows: np.ndarray, columns: np.ndarray, size: Window) -> jax.Array:
    """Values of windows (R, K) to the mean, at each pixel, over the windows that cover it."""
    down, across = (_cover(part, side) for part, side in zip((rows, columns), size, strict=True))
    total = down.T @ values @ across
    return total / (down.sum(axis=0)[:, None] * across.sum(axis=0))


def _cover(part: np.ndarray, side: int) -> np.ndarray:
    """(windows, side): 1 where a window covers a place."""
    places = np.arange(side)
    return ((places >= part[:, :1]) & (places < part[:, 1:])).astype(np.float32)


@settings
class Occlusion(Attribution):
    """Settings of the method, besides those of all attribution methods.

    Attributes:
      patch: side of the covering square in pixels; None for a sixth of the image's shorter side.
      stride: how far it moves; at most ``patch``, so that no pixel is left out; None for half.
      fill: what covers: a value 0..255 of every channel, or ``mean``, which normalises to zero.
      value: ``drop`` of the score against the whole image, or the ``score`` itself.
      spread: ``covered``: a pixel's value is the mean over the windows that cover it (Captum);
        ``block``: windows lie around blocks of ``stride`` pixels, and each block has its window's
        value (the keras-vis job).
    """

    title: ClassVar[str] = "Occlusion"
    many_runs: ClassVar[bool] = True
    patch: Count | None
    stride: Count | None
    fill: Fill
    value: Literal["drop", "score"]
    spread: Literal["covered", "block"]

    @property
    def intro(self) -> str:  # type: ignore[override]
        """What the maps tell."""
        what = "What the class score loses when a square is covered there: positive"
        if self.value == "score":
            what = "The class score while a square is covered there: low"
        return (
            f"{what} where the network needs what it sees. Beside it the class that wins while the "
            "square is covered."
        )

    @property
    def formula(self) -> str:
        """What is computed, with its paper."""
        what = "score - score with the square covered" if self.value == "drop" else "score"
        how = "mean over covering squares" if self.spread == "covered" else "one value a block"
        return f"{what}, {how} (Zeiler and Fergus 2013)"

    @property
    def measure(self) -> str:
        """Of the values, and whether they are signed."""
        drop = "scores lost; positive where the class needs the place"
        return drop if self.value == "drop" else "score with the place covered"

    @property
    def signed(self) -> bool:
        """Whether the maps have a sign."""
        return self.value == "drop"

    def fitted(self, model: Model) -> Self:
        patch = self.patch or max(1, round(min(model.spec.height, model.spec.width) / 6))
        stride = self.stride or max(1, patch // 2)
        if stride > patch:
            raise ConfigError(
                f"method.occlusion.stride is {stride}, more than the patch of {patch}.",
                f"Take at most {patch}: pixels between the squares would have no value.",
            )
        return replace(self, patch=patch, stride=stride)

    def details(self, model: Model) -> str:
        rows, columns = self._windows(model)
        return (
            f"square of {self.patch}, stride {self.stride}, {len(rows)} × {len(columns)} "
            f"positions, filled with {self.fill}"
        )

    def _windows(self, model: Model) -> tuple[np.ndarray, np.ndarray]:
        centred = self.spread == "block"
        rows, columns = (
            windows(side, self.patch or 1, self.stride or 1, centred=centred)
            for side in (model.spec.height, model.spec.width)
        )
        return rows, columns

    def _blocks(self, model: Model) -> list[np.ndarray]:
        """Of every row and column of pixels the block that it lies in."""
        return [np.arange(side) // (self.stride or 1) for side in model.spec.shape[:2]]

    def _nearest(self, model: Model) -> list[np.ndarray]:
        """Of every row and column of pixels the window whose middle is nearest."""
        return [
            np.abs(np.arange(side)[:, None] + 0.5 - part.sum(axis=1) / 2).argmin(axis=1)
            for side, part in zip(model.spec.shape[:2], self._windows(model), strict=True)
        ]

    def explain(
        self, model: Model, x: jax.Array, targets: jax.Array, keys: jax.Array, batch: int
    ) -> Maps:
        rows, columns = self._windows(model)
        size = model.spec.height, model.spec.width
        fill = jnp.zeros(model.spec.channels)
        if not isinstance(self.fill, str):
            pixel = np.full((1, 1, model.spec.channels), self.fill, np.float32)
            fill = jnp.asarray(model.spec.normalise(pixel))[0, 0]

        def one(inputs: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            image, target = inputs
            whole, found = occluded_scores(model, image, fill, rows, columns, batch)
            values = found[..., target]
            values = whole[target] - values if self.value == "drop" else values
            if self.spread == "covered":
                heat = spread(values, rows, columns, size)
            else:
                heat = values[np.ix_(*self._blocks(model))]
            return heat, found.argmax(axis=-1)

        heat, winners = jax.lax.map(one, (x, targets))
        return Maps(heat, {}, {"winners": winners})

    def more(
        self, context: Context, chosen: Chosen, i: int, kept: dict[str, np.ndarray]
    ) -> tuple[Block, ...]:
        """The classes that win, and where."""
        winners, classes, name = kept["winners"], context.model.classes, context.images.names[i]
        counts = Counter(winners.ravel().tolist()).most_common()
        ranks = np.zeros(len(classes), np.int32)
        ranks[[index for index, _ in counts]] = np.arange(len(counts))
        if self.spread == "block":
            place, where = self._blocks(context.model), "by block that the square lies around"
        else:
            place, where = self._nearest(context.model), "by place of the square's centre"
        table = Table(
            columns=("number", "class", "positions", "share"),
            rows=tuple(
                (rank, classes[index], count, count / winners.size)
                for rank, (index, count) in enumerate(counts[:_SHOWN])
            ),
            caption=f"Classes that win while a square of {name} is covered"
            + (f", the first {_SHOWN} of {len(counts)}" if len(counts) > _SHOWN else ""),
        )
        if len(counts) == 1:  # a map of one value shows nothing
            return (table,)
        where_each_wins = Heatmap(
            image=context.images.pixels[i],
            map=ranks[winners][np.ix_(*place)],
            low=0.0,
            high=float(len(counts) - 1),
            colormap=context.colormap.heatmap,
            opacity=self.opacity,
            caption=context.caption(
                f"Class that wins, {name}",
                detail=f"{where}; numbered in the order of the table",
                formula="argmax of the scores with the square covered",
            ),
        )
        return where_each_wins, table


_SHOWN = 10
