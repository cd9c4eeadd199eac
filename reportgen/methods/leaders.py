"""The largest responses of units, and how many there were of each size, over a stream of images.

What is kept does not grow with the number of images.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from reportgen.models.base import Model

_BINS = 40


@dataclass(frozen=True)
class Responses:
    """What chosen units of some layers answer to inputs (N, H, W, C): (N, places, units) each.

    Places are those of a map, row by row; a dense layer has one.
    """

    paths: tuple[str, ...]
    units: tuple[tuple[int, ...], ...]
    name: str = "responses"

    def __call__(self, batch: int, model: Model, x: jax.Array) -> dict[str, jax.Array]:
        activations = model.apply(x)[1]
        found = {}
        for path, chosen in zip(self.paths, self.units, strict=True):
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

        Of equal responses the earlier image stays ahead, so that batches do not matter. What is not
        finite counts as no response.
        """
        found = np.where(np.isfinite(found), found, -np.inf)
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
        values = values[np.isfinite(values)]
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
