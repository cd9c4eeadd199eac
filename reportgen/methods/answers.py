"""What units answer to a stream of images, and what their answers do to the logits.

One run of the network forwards for every image, and one back for the effects. What is kept grows
with units and classes, never with images.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from reportgen.core.images import ImageBatch
from reportgen.engine.rows import Chunk, Source
from reportgen.methods.leaders import Leaders
from reportgen.models.base import LayerInfo, Model

Activations = dict[str, jax.Array]


@dataclass(frozen=True)
class Answers:
    """What layers answer to images, and where asked what that does to the logits.

    The images are pixels (N, H, W, C), which the devices normalise: the host has enough to count.

    Made are, one layer behind another as ``parts`` takes them apart:

    - ``responses``: (units, places) of the chosen units; places are those of a map, row by row;
    - ``totals``: (4, all units), see ``Totals``;
    - ``effects``: (units,), the sum over places of response times the logit's derivative by it,
      which to the first order is what the logit would lose without the unit (Molchanov et al.,
      Importance Estimation for Neural Network Pruning, 2019); and ``classes``: (N,) whose logit.

    Attributes:
      units: of each path those whose responses and effects are made.
      witnesses: paths of which only statistics are made.
    """

    paths: tuple[str, ...]
    units: tuple[tuple[int, ...], ...]
    witnesses: tuple[str, ...] = ()
    name: str = "units"

    def __call__(
        self, batch: int, model: Model, pixels: jax.Array, targets: jax.Array | None = None
    ) -> dict[str, Any]:
        """Effects are made where there are targets: (N,) classes, -1 for the predicted one."""
        made: dict[str, Any] = {}
        x = model.spec.normalise(pixels)
        if targets is None:
            activations = model.apply(x)[1]
        else:
            activations, made = self._differentiated(model, x, targets)
        chosen = zip(self.paths, self.units, strict=True)
        return {
            **made,
            "responses": packed([_places(activations[path], own) for path, own in chosen]),
            "totals": totals_of([activations[path] for path in (*self.paths, *self.witnesses)]),
        }

    def _differentiated(
        self, model: Model, x: jax.Array, targets: jax.Array
    ) -> tuple[Activations, dict[str, Any]]:
        def outputs(model: Model, x: jax.Array) -> Activations:
            activations = model.apply(x)[1]
            return {path: activations[path] for path in self.paths}

        def explained(taps: Activations) -> tuple[jax.Array, tuple[Activations, jax.Array]]:
            scores, activations = model.apply(x, taps)
            index = jnp.where(targets < 0, scores.argmax(axis=-1), targets)
            mine = jnp.take_along_axis(scores, index[:, None], axis=1)
            kept = {path: activations[path] for path in (*self.paths, *self.witnesses)}
            return mine.sum(), (kept, index)

        shapes = jax.eval_shape(outputs, model, x)
        taps = {path: jnp.zeros(one.shape, one.dtype) for path, one in shapes.items()}
        gradients, (activations, index) = jax.grad(explained, has_aux=True)(taps)
        effects = [
            (_places(activations[path], own) * _places(gradients[path], own)).sum(axis=2)
            for path, own in zip(self.paths, self.units, strict=True)
        ]
        return activations, {"effects": packed(effects), "classes": index}


def pixels(images: ImageBatch) -> Source:
    """The images as they are; waits for none behind those asked for."""
    return lambda start, stop: (images.pixels[start:stop],)


def _places(values: jax.Array, chosen: tuple[int, ...]) -> jax.Array:
    """(N, …, all units) as (N, chosen units, places)."""
    if chosen == tuple(range(len(chosen))):
        values = values[..., : len(chosen)]  # a slice costs nothing on a CPU
    else:
        values = jnp.take(values, jnp.asarray(chosen), axis=-1)
    return values.reshape(values.shape[0], -1, len(chosen)).swapaxes(1, 2)


def packed(arrays: Sequence[jax.Array]) -> jax.Array:
    """Arrays (N, …) as one (N, M): the host takes one large array in a tenth of many's time."""
    return jnp.concatenate([array.reshape(array.shape[0], -1) for array in arrays], axis=1)


def parts(whole: np.ndarray, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """What was packed, by name: arrays (N, *shape)."""
    found, start = {}, 0
    for name, shape in shapes.items():
        stop = start + math.prod(shape)
        found[name] = whole[:, start:stop].reshape(len(whole), *shape)
        start = stop
    return found


def totals_of(activations: Sequence[jax.Array]) -> jax.Array:
    """Packed (4, units) of each: over places the largest, the sum, that of squares, those above 0.

    They are what ``Totals.take`` takes.
    """
    made = []
    for values in activations:
        flat = values.reshape(values.shape[0], -1, values.shape[-1]).astype(jnp.float32)
        above = (flat > 0).sum(axis=1).astype(jnp.float32)
        sums = flat.sum(axis=1), jnp.square(flat).sum(axis=1), above
        made.append(jnp.stack([flat.max(axis=1), *sums], axis=1))
    return packed(made)


@dataclass
class Totals:
    """Of all responses of each of U units.

    An image in which a unit has a response that is not finite counts for none of that unit.

    Attributes:
      places: responses to an image.
      largest: (U,), -inf where there is none.
      total, square: (U,) sum of responses, and of their squares.
      above, finite: (U,) how many are above zero, and how many there are.
      images: seen.
    """

    places: int
    largest: np.ndarray
    total: np.ndarray
    square: np.ndarray
    above: np.ndarray
    finite: np.ndarray
    images: int = 0

    @classmethod
    def none(cls, units: int, places: int) -> Totals:
        """Before the first image."""
        total, square, above, finite = np.zeros((4, units))
        return cls(places, np.full(units, -np.inf), total, square, above, finite)

    def take(self, made: np.ndarray) -> None:
        """Take in what ``totals_of`` made of one layer and some images: (N, 4, U)."""
        best, total, square, above = np.moveaxis(made, 1, 0)
        known = np.isfinite(total)
        self.images += len(known)
        self.largest = np.maximum(self.largest, np.where(known, best, -np.inf).max(axis=0))
        self.total = self.total + np.where(known, total, 0).sum(axis=0, dtype=np.float64)
        self.square = self.square + np.where(known, square, 0).sum(axis=0, dtype=np.float64)
        self.above = self.above + np.where(known, above, 0).sum(axis=0)
        self.finite = self.finite + self.places * known.sum(axis=0)

    @property
    def answers(self) -> int:
        """How many there were of each unit, finite or not."""
        return self.places * self.images

    @property
    def mean(self) -> np.ndarray:
        """(U,), NaN without a response."""
        return self._share(self.total)

    @property
    def deviation(self) -> np.ndarray:
        """(U,) standard deviation, NaN without a response; to some 3e-4 of the mean's size."""
        return np.sqrt(np.maximum(self._share(self.square) - np.square(self.mean), 0))

    @property
    def sparsity(self) -> np.ndarray:
        """(U,) share of responses that are zero or below, NaN without a response."""
        return self._share(self.finite - self.above)

    @property
    def silent(self) -> np.ndarray:
        """(U,) whether there are responses, and none above zero."""
        return self.never_above(0.0)

    def never_above(self, threshold: float) -> np.ndarray:
        """(U,) whether there are responses, and none above a threshold."""
        return (self.finite > 0) & (self.largest <= threshold)

    def _share(self, part: np.ndarray) -> np.ndarray:
        none = np.full(len(part), np.nan)
        return np.asarray(np.divide(part, self.finite, out=none, where=self.finite > 0))


def take_totals(totals: Mapping[str, Totals], made: np.ndarray) -> None:
    """Take in what ``totals_of`` made of layers in their order."""
    shapes = {path: (4, len(own.finite)) for path, own in totals.items()}
    for path, found in parts(made, shapes).items():
        totals[path].take(found)


@dataclass
class Effects:
    """Sums of U units' effects on logits, by class, and how many images of each class there were.

    Attributes:
      sums: (classes, U).
      images: (classes,).
    """

    sums: np.ndarray
    images: np.ndarray

    @classmethod
    def none(cls, classes: int, units: int) -> Effects:
        """Before the first image."""
        return cls(np.zeros((classes, units)), np.zeros(classes, np.int64))

    def take(self, effects: np.ndarray, classes: np.ndarray) -> None:
        """Take in effects (N, U) on the logits of classes (N,)."""
        np.add.at(self.sums, classes, effects)
        np.add.at(self.images, classes, 1)

    def highest(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The classes that each unit helps most, and its mean effects on their images' logits.

        Returns:
          (U, C) class indices, of C classes at most, and effects, descending; -1 and 0 where
          fewer are helped.
        """
        seen = np.flatnonzero(self.images)
        means = (self.sums[seen] / self.images[seen, None]).T
        means = np.where(np.isfinite(means), means, -np.inf)
        order = np.argsort(-means, axis=1, kind="stable")[:, :count]
        effects = np.take_along_axis(means, order, axis=1)
        helped = effects > 0
        return np.where(helped, seen[order], -1), np.where(helped, effects, 0.0)


@dataclass(kw_only=True)
class Seen:
    """What was seen of all images: by the layer's path.

    Attributes:
      heard: the layer at which a rectifier reads the units, where one does.
      count: of images.
    """

    leaders: dict[str, Leaders]
    totals: dict[str, Totals]
    effects: dict[str, Effects]
    heard: dict[str, str]
    count: int = 0

    def take(self, chunk: Chunk) -> None:
        """Take in what ``Answers`` made."""
        made, units = chunk.made, {path: (len(own.bound),) for path, own in self.leaders.items()}
        places = {path: (*own, self.totals[path].places) for path, own in units.items()}
        for path, found in parts(made["responses"], places).items():
            self.leaders[path].take(found, chunk.start)
        take_totals(self.totals, made["totals"])
        if self.effects:
            for path, found in parts(made["effects"], units).items():
                self.effects[path].take(found, made["classes"])

    def dead(self, layer: LayerInfo) -> np.ndarray:
        """(U,) whether a unit never answered above zero, where a rectifier reads it."""
        if layer.path not in self.heard:
            return np.zeros(layer.shape[-1], bool)
        return self.totals[self.heard[layer.path]].silent

    def measures(
        self, layer: LayerInfo, units: tuple[int, ...], classes: Sequence[str], helped: int
    ) -> dict[str, Any]:
        """Numbers of some of a layer's units, as ``Units`` has them."""
        own, chosen = self.totals[layer.path], list(units)
        heard = self.totals[self.heard.get(layer.path, layer.path)]
        leaders = self.leaders[layer.path]
        found: dict[str, Any] = {
            "largest": np.where(np.isfinite(own.largest), own.largest, np.nan)[chosen],
            "mean": own.mean[chosen],
            "sparsity": heard.sparsity[chosen],
            "counts": leaders.counts,
            "bound": np.where(leaders.bound, leaders.bound, 1.0),
        }
        if helped:
            index, found["effects"] = self.effects[layer.path].highest(helped)
            names, found["helped"] = named(index)
            found["classes"] = tuple(classes[i] for i in names)
        return found


def named(index: np.ndarray) -> tuple[list[int], np.ndarray]:
    """The numbers in an array, each once, and the array with places in that list; -1 stays."""
    names = np.unique(index[index >= 0])
    return names.tolist(), np.where(index >= 0, np.searchsorted(names, index), -1)
