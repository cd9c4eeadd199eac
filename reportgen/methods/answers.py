"""What units answer to a stream of images, and what their answers do to the logits.

One run of the network forwards for every image, and one back for the effects. What is kept grows
with units and classes, never with images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from reportgen.core.images import ImageBatch
from reportgen.engine.rows import Chunk, Source
from reportgen.methods.leaders import Leaders, ranked
from reportgen.models.base import LayerInfo, Model

Activations = dict[str, jax.Array]


@dataclass(frozen=True)
class Answers:
    """What units answer to images, and where asked what that does to the logits.

    The images are pixels (N, H, W, C), which the devices normalise: the host has enough to count.

    Made are, of the chosen units of one layer behind another (U in all):

    - ``leaders``: see ``ranked``;
    - ``totals``: (N, 4, U), see ``totals_of``; ``heard``: the same where a rectifier reads them,
      unless that is where they are;
    - ``peaks``: (N, all units of the layers in ``readers``) largest responses;
    - ``effects``: (N, U), the sum over places of response times the logit's derivative by it,
      which to the first order is what the logit would lose without the unit (Molchanov et al.,
      Importance Estimation for Neural Network Pruning, 2019); and ``classes``: (N,) whose logit.

    Attributes:
      units: of each path those that are chosen.
      heard: of each path the layer at which a rectifier reads its units; itself where none does.
      readers: layers at which a rectifier reads any.
    """

    paths: tuple[str, ...]
    units: tuple[tuple[int, ...], ...]
    heard: tuple[str, ...]
    readers: tuple[str, ...]
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
        own = self._chosen(activations, self.paths)
        ranks = [ranked(values) for values in own]
        peaks = [flat(activations[path]).max(axis=1) for path in self.readers]
        return {
            **made,
            "leaders": jax.tree.map(lambda *parts: jnp.concatenate(parts, axis=1), *ranks),
            "totals": totals_of(own),
            **({"heard": totals_of(self._chosen(activations, self.heard))} if self.behind else {}),
            **({"peaks": jnp.concatenate(peaks, axis=1)} if peaks else {}),
        }

    @property
    def behind(self) -> bool:
        """Whether a rectifier reads any layer's units at another layer."""
        return self.heard != self.paths

    def _chosen(self, activations: Activations, paths: tuple[str, ...]) -> list[jax.Array]:
        """(N, places, units) of each."""
        return [
            _taken(flat(activations[path]), own)
            for path, own in zip(paths, self.units, strict=True)
        ]

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
            wanted = {*self.paths, *self.heard, *self.readers}
            return mine.sum(), ({path: activations[path] for path in wanted}, index)

        shapes = jax.eval_shape(outputs, model, x)
        taps = {path: jnp.zeros(one.shape, one.dtype) for path, one in shapes.items()}
        gradients, (activations, index) = jax.grad(explained, has_aux=True)(taps)
        own, theirs = self._chosen(activations, self.paths), self._chosen(gradients, self.paths)
        effects = [(a * b).sum(axis=1) for a, b in zip(own, theirs, strict=True)]
        return activations, {"effects": jnp.concatenate(effects, axis=1), "classes": index}


def pixels(images: ImageBatch) -> Source:
    """The images as they are; waits for none behind those asked for."""
    return lambda start, stop: (images.pixels[start:stop],)


def flat(values: jax.Array) -> jax.Array:
    """(N, …, units) as (N, places, units)."""
    return values.reshape(values.shape[0], -1, values.shape[-1])


def _taken(values: jax.Array, chosen: tuple[int, ...]) -> jax.Array:
    if chosen == tuple(range(len(chosen))):
        return values[..., : len(chosen)]  # a slice costs nothing on a CPU
    return jnp.take(values, jnp.asarray(chosen), axis=-1)


def totals_of(activations: Sequence[jax.Array]) -> jax.Array:
    """(N, 4, units) of layers (N, …, units), one behind another; what ``Totals.take`` takes.

    Over places the largest, the sum, that of squares, and how many are above zero.
    """
    made = []
    for values in activations:
        rows = flat(values).astype(jnp.float32)
        above = (rows > 0).sum(axis=1).astype(jnp.float32)
        sums = rows.sum(axis=1), jnp.square(rows).sum(axis=1), above
        made.append(jnp.stack([rows.max(axis=1), *sums], axis=1))
    return jnp.concatenate(made, axis=2)


def spans(sizes: Mapping[str, int]) -> dict[str, slice]:
    """Where each of them lies, one behind another."""
    ends = np.cumsum([*sizes.values()]).tolist()
    return {
        name: slice(end - size, end) for (name, size), end in zip(sizes.items(), ends, strict=True)
    }


@dataclass
class Totals:
    """Of all responses of each of U units.

    An image in which a unit has a response that is not finite counts for none of that unit.

    Attributes:
      places: (U,) responses to an image.
      largest: (U,), -inf where there is none.
      total, square: (U,) sum of responses, and of their squares.
      above, finite: (U,) how many are above zero, and how many there are.
      images: seen.
    """

    places: np.ndarray
    largest: np.ndarray
    total: np.ndarray
    square: np.ndarray
    above: np.ndarray
    finite: np.ndarray
    images: int = 0

    @classmethod
    def none(cls, places: np.ndarray) -> Totals:
        """Before the first image."""
        total, square, above, finite = np.zeros((4, len(places)))
        return cls(places, np.full(len(places), -np.inf), total, square, above, finite)

    def of(self, units: slice) -> Totals:
        """Some of the units."""
        return Totals(
            self.places[units],
            self.largest[units],
            self.total[units],
            self.square[units],
            self.above[units],
            self.finite[units],
            self.images,
        )

    def take(self, made: np.ndarray) -> None:
        """Take in what ``totals_of`` made of some images."""
        best, total, square, above = np.moveaxis(made, 1, 0)
        known = np.isfinite(total)
        self.images += len(known)
        self.largest = np.maximum(self.largest, np.where(known, best, -np.inf).max(axis=0))
        self.total = self.total + np.where(known, total, 0).sum(axis=0, dtype=np.float64)
        self.square = self.square + np.where(known, square, 0).sum(axis=0, dtype=np.float64)
        self.above = self.above + np.where(known, above, 0).sum(axis=0)
        self.finite = self.finite + self.places * known.sum(axis=0)

    @property
    def share(self) -> float:
        """Of responses that count."""
        return float(self.finite.sum()) / (int(self.places.sum()) * self.images)

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

    def of(self, units: slice) -> Effects:
        """Some of the units."""
        return Effects(self.sums[:, units], self.images)

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


@dataclass
class Peaks:
    """Of each of U units the largest response that was seen, -inf where there is none.

    An image in which a unit has a response that is not a number counts for none of that unit.
    """

    largest: np.ndarray

    def take(self, made: np.ndarray) -> None:
        """Take in those of images (N, U)."""
        self.largest = np.maximum(
            self.largest, np.where(np.isfinite(made), made, -np.inf).max(axis=0)
        )

    @property
    def silent(self) -> np.ndarray:
        """(U,) whether there are responses, and none above zero."""
        return np.isfinite(self.largest) & (self.largest <= 0)


@dataclass
class Seen:
    """What was seen of all images.

    Attributes:
      units: where the chosen units of each layer lie in the sums.
      readers: the same of all units, where a rectifier reads them.
      heard: the layer at which a rectifier reads a layer's units, where one does.
      leaders, totals, effects: of the chosen units; ``read``: totals where they are read, the same
        object if that is everywhere where they are.
      peaks: of all units, where they are read.
      count: of images.
    """

    units: dict[str, slice]
    readers: dict[str, slice]
    heard: dict[str, str]
    leaders: Leaders
    totals: Totals
    read: Totals
    peaks: Peaks
    effects: Effects
    count: int = 0

    @property
    def sums(self) -> dict[str, Any]:
        """What grows with every chunk."""
        names = "leaders", "totals", "read", "peaks", "effects"
        return {name: getattr(self, name) for name in names}

    def take(self, chunk: Chunk) -> None:
        """Take in what ``Answers`` made."""
        made = chunk.made
        self.leaders.take(made["leaders"], chunk.start)
        self.totals.take(made["totals"])
        if self.read is not self.totals:
            self.read.take(made["heard"])
        if self.readers:
            self.peaks.take(made["peaks"])
        if "effects" in made:
            self.effects.take(made["effects"], made["classes"])

    def dead(self, layer: LayerInfo) -> np.ndarray:
        """(U,) of all units whether one never answered above zero, where a rectifier reads it."""
        if layer.path not in self.heard:
            return np.zeros(layer.shape[-1], bool)
        return self.peaks.silent[self.readers[self.heard[layer.path]]]

    def measures(self, layer: LayerInfo, classes: Sequence[str], helped: int) -> dict[str, Any]:
        """Numbers of a layer's chosen units, as ``Units`` has them."""
        where = self.units[layer.path]
        own, leaders = self.totals.of(where), self.leaders.of(where)
        found: dict[str, Any] = {
            "largest": np.where(np.isfinite(own.largest), own.largest, np.nan),
            "mean": own.mean,
            "sparsity": self.read.of(where).sparsity,
            "counts": leaders.counts,
            "bound": np.where(leaders.bound, leaders.bound, 1.0),
        }
        if helped:
            index, found["effects"] = self.effects.of(where).highest(helped)
            names, found["helped"] = named(index)
            found["classes"] = tuple(classes[i] for i in names)
        return found


def named(index: np.ndarray) -> tuple[list[int], np.ndarray]:
    """The numbers in an array, each once, and the array with places in that list; -1 stays."""
    names = np.unique(index[index >= 0])
    return names.tolist(), np.where(index >= 0, np.searchsorted(names, index), -1)
