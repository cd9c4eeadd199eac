"""The largest responses of units, and how many there were of each size, over a stream of images.

What is kept does not grow with the number of images, and what the devices hand over does not grow
with a map: they count, which takes a third of what the host would take, and nothing to move.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

_BINS = 64  # on each side of zero; a power of two, so that no number is rounded into its bin
_LEAST = -100  # exponent of a bound: its inverse is a number of 32 bits, too
_TINY = 2.0**-126  # what is below is zero to many devices
_NONE = _LEAST - 1  # there are but zeros


def ranked(values: jax.Array) -> dict[str, jax.Array]:
    """What ``Leaders.take`` takes, of responses (N, places, U); traced by JAX.

    Returns:
      Of what is finite: ``best`` (N, U) largest responses, -inf where there is none, and their
      ``place``; ``counts`` (N, U, bins) over equal bins from -bound to bound, and ``exponent``
      (N, U), of two, of these bounds, which are larger than any response.
    """
    values = values.astype(jnp.float32)
    images, places, units = values.shape
    number = jnp.arange(places, dtype=jnp.int32)[None, :, None]
    size = images * units * 2 * _BINS
    middle = jnp.arange(_BINS, size, 2 * _BINS, dtype=jnp.int32).reshape(images, 1, units)

    def told(values: jax.Array, best: jax.Array, largest: jax.Array) -> tuple[jax.Array, ...]:
        # The first place of the best; a reduction of one array, which a CPU does many times as fast
        # as one of two.
        place = jnp.where(values == best[:, None], number, places - 1).min(axis=1)
        bits = jax.lax.bitcast_convert_type(largest, jnp.int32)
        own = jnp.maximum((bits >> 23) - 126, _LEAST)  # of the next power of two
        # Exact: every number is counted in the bin that it is in after a later widening, too.
        scale = jax.lax.bitcast_convert_type((127 + 6 - own) << 23, jnp.float32)
        bins = jnp.floor(values * scale[:, None]).astype(jnp.int32)
        return best, place, jnp.where(largest < _TINY, _NONE, own), middle + bins

    def finite(values: jax.Array) -> tuple[jax.Array, ...]:
        best = values.max(axis=1)
        return told(values, best, jnp.maximum(best, -values.min(axis=1)))

    def masked(values: jax.Array) -> tuple[jax.Array, ...]:
        known = jnp.isfinite(values)
        best = jnp.where(known, values, -jnp.inf).max(axis=1)
        *most, cells = told(values, best, jnp.where(known, jnp.abs(values), 0.0).max(axis=1))
        return *most, jnp.where(known, cells, size)

    # What a branch returns lies in memory: XLA's CPU backend would work each cell out where it is
    # counted, one by one, which takes two and a half times as long.
    best, place, exponent, cells = jax.lax.cond(jnp.isfinite(values.sum()), finite, masked, values)
    counts = jnp.zeros(size, jnp.int32).at[cells.reshape(-1)].add(1, mode="drop")
    return {
        "best": best,
        "place": place,
        "counts": counts.reshape(images, units, 2 * _BINS),
        "exponent": exponent,
    }


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

    def of(self, units: slice) -> Leaders:
        """Some of the units."""
        return Leaders(
            self.values[units],
            self.images[units],
            self.places[units],
            self.counts[units],
            self.bound[units],
        )

    def take(self, made: Mapping[str, np.ndarray], first: int) -> None:
        """Take in what ``ranked`` made of images ``first``, ``first + 1``, …

        Of equal responses the earlier image stays ahead, so that batches do not matter. What is not
        finite counts as no response.
        """
        self._count(made["counts"], made["exponent"])
        best, place = made["best"].T, made["place"].T
        if not (best > self.values[:, -1:]).any():
            return
        numbers = np.broadcast_to(np.arange(first, first + best.shape[1]), best.shape)
        values = np.concatenate([self.values, best], axis=1)
        images = np.concatenate([self.images, numbers], axis=1)
        places = np.concatenate([self.places, place], axis=1)
        order = np.argsort(-values, axis=1, kind="stable")[:, : self.values.shape[1]]
        self.values, self.images, self.places = (
            np.take_along_axis(part, order, axis=1) for part in (values, images, places)
        )

    def _count(self, counts: np.ndarray, exponents: np.ndarray) -> None:
        before = np.where(self.bound > 0, np.frexp(self.bound)[1] - 1, _NONE)
        after = np.maximum(before, exponents.max(axis=0))
        new = _widened(counts, after - exponents).sum(axis=0, dtype=np.int64)
        self.counts = _widened(self.counts, after - before) + new
        self.bound = np.where(after > _NONE, np.ldexp(1.0, after), 0.0)


def _widened(counts: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Counts (…, bins) over bounds that are doubled (…) times: bins join from the middle out."""
    times = np.minimum(times, _BINS.bit_length() - 1)
    if not times.any():
        return counts
    wide = counts.copy()
    for done in range(int(times.max())):
        rows = times > done
        part = wide[rows]
        joined = np.zeros_like(part)
        joined[:, _BINS // 2 : -_BINS // 2] = part[:, ::2] + part[:, 1::2]
        wide[rows] = joined
    return wide
