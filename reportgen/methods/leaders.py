"""The largest responses of units, and how many there were of each size, over a stream of images.

What is kept does not grow with the number of images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_BINS = 64  # a power of two, so that a number is put into its bin without rounding
_LEAST = 2.0**-100  # of a bound: its inverse is a number of 32 bits, too


@dataclass
class Leaders:
    """The images with the largest response of each of U units, K at the most, and a histogram.

    Attributes:
      values: (U, K) largest responses, descending; -inf where there is none yet.
      images: (U, K) indices of their images.
      places: (U, K) where in the map.
      counts: (U, bins) of all responses, over equal bins from ``-bound`` to ``bound``.
      bound: (U,) a power of two that is larger than any response; 0 while there is none but zeros.
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
        """Take in the responses (N, U, places) of images ``first``, ``first + 1``, …

        Of equal responses the earlier image stays ahead, so that batches do not matter. What is not
        finite counts as no response.
        """
        lowest, best = found.min(axis=2), found.max(axis=2)
        finite = None
        if not np.isfinite([lowest.min(), best.max()]).all():  # nor are they with a NaN inside
            finite = np.isfinite(found)
            found = np.where(finite, found, -np.inf)
            lowest, best = found.min(axis=2), found.max(axis=2)
        self._count(found, finite, np.maximum(best, -lowest).max(axis=0))
        if not (best > self.values[:, -1]).any():
            return
        places = found.argmax(axis=2)
        values = np.concatenate([self.values, best.T], axis=1)
        numbers = np.broadcast_to(np.arange(first, first + len(found)), best.T.shape)
        images = np.concatenate([self.images, numbers], axis=1)
        where = np.concatenate([self.places, places.T], axis=1)
        order = np.argsort(-values, axis=1, kind="stable")[:, : self.values.shape[1]]
        self.values, self.images, self.places = (
            np.take_along_axis(part, order, axis=1) for part in (values, images, where)
        )

    def _count(self, found: np.ndarray, finite: np.ndarray | None, largest: np.ndarray) -> None:
        """Count responses (N, U, places): those that are finite, where not all are.

        Args:
          largest: (U,) absolute values.
        """
        if finite is not None:
            found = np.where(finite, found, 0)
            largest = np.abs(found).max(axis=(0, 2))
        for unit in np.flatnonzero(largest >= np.maximum(self.bound, np.finfo(np.float32).tiny)):
            self._widen(int(unit), max(2.0 ** np.frexp(largest[unit])[1], _LEAST))
        # Exact, so that every number is counted in the bin that it would be in after a later
        # widening, too. An image at a time stays in a core's cache.
        scale = (_BINS / np.where(self.bound, self.bound, 1.0)).astype(found.dtype)[:, None]
        first = _BINS + 2 * _BINS * np.arange(len(self.bound))[:, None]
        for i, one in enumerate(found):
            bins = np.floor(one * scale).astype(np.intp) + first
            counted = bins.ravel() if finite is None else bins[finite[i]]
            counts = np.bincount(counted, minlength=self.counts.size)
            self.counts += counts.reshape(self.counts.shape)

    def _widen(self, unit: int, bound: float) -> None:
        """Bins join in pairs, from the middle outwards."""
        self.bound[unit] = self.bound[unit] or bound
        while self.bound[unit] < bound:
            low, high = np.split(self.counts[unit], 2)
            halves = [part.reshape(-1, 2).sum(axis=1) for part in (low, high)]
            empty = np.zeros(_BINS // 2, np.int64)
            self.counts[unit] = np.concatenate([empty, *halves, empty])
            self.bound[unit] *= 2
