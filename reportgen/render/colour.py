"""Colormaps by name, Matplotlib's and those of DIGITS 2, and values as 8-bit colours."""

from __future__ import annotations

from functools import cache

import matplotlib as mpl
import numpy as np

from reportgen.core.errors import ConfigError, did_you_mean
from reportgen.render import digits_colormaps

BAD = (255, 0, 255)
"""Colour of values that are not finite: magenta, never a colour that a number could have."""

_DIVERGING = frozenset(
    {"PiYG", "PRGn", "BrBG", "PuOr", "RdGy", "RdBu", "RdYlBu", "RdYlGn", "Spectral"}
    | {"coolwarm", "bwr", "seismic", "berlin", "managua", "vanimo"}
)


def colormaps() -> list[str]:
    """The names of all colormaps."""
    return sorted([*mpl.colormaps, *digits_colormaps.NODES])


def check_colormap(name: str) -> None:
    """Refuses a colormap that there is not (DIGITS warned, and drew another one).

    Raises:
      ConfigError: with the nearest names.
    """
    if name not in colormaps():
        raise ConfigError(
            f"There is no colormap {name!r} in Matplotlib {mpl.__version__}, nor of DIGITS 2.",
            did_you_mean(name, colormaps()),
        )


def is_diverging(name: str | None) -> bool:
    """Whether the colormap has a neutral middle, which stands for zero."""
    return name is not None and name.removesuffix("_r") in _DIVERGING


@cache
def table(name: str) -> np.ndarray:
    """The colormap's entries from its low to its high end, (entries, 3) uint8."""
    check_colormap(name)
    entries: np.ndarray
    if name in digits_colormaps.NODES:
        entries = digits_colormaps.colours(name, np.linspace(0, 1, 256))
    else:
        colormap = mpl.colormaps[name]
        entries = np.array(colormap(np.arange(colormap.N), bytes=True)[:, :3])
    entries.setflags(write=False)
    return entries


def normalised(values: np.ndarray, low: float, high: float, rest: float = 0.0) -> np.ndarray:
    """Values as float64 with ``low`` at 0 and ``high`` at 1, clipped; NaN where not finite.

    Args:
      rest: what all values become where ``low == high``, as no range tells them apart.
    """
    values = np.asarray(values, np.float64)
    finite = np.isfinite(values)
    # Halves keep a range that spans all of float64 from overflowing to infinity.
    span = high / 2 - low / 2
    with np.errstate(invalid="ignore", over="ignore"):
        if np.isfinite(span) and span != 0:
            scaled = np.clip((values / 2 - low / 2) / span, 0.0, 1.0)
        else:
            scaled = np.full(values.shape, rest)
    return np.where(finite, scaled, np.nan)


def paint(scaled: np.ndarray, colormap: str | None) -> np.ndarray:
    """Normalised values (0..1; NaN: not finite) as uint8 RGB, shape (..., 3).

    With a colormap, 0 is its first entry and 1 its last, as Matplotlib maps them; those of DIGITS
    are interpolated between their nodes. Without one, values are greys, 0 black and 1 white,
    rounded to the nearest of 256.
    """
    bad = np.isnan(scaled)
    filled = np.where(bad, 0.0, scaled)
    if colormap is None:
        grey = np.floor(filled * 255 + 0.5).astype(np.uint8)
        colours = np.repeat(grey[..., None], 3, axis=-1)
    elif colormap in digits_colormaps.NODES:
        colours = digits_colormaps.colours(colormap, filled)
    else:
        entries = table(colormap)
        index = np.minimum((filled * len(entries)).astype(np.intp), len(entries) - 1)
        colours = entries[index]
    colours[bad] = BAD
    return colours
