"""Which picture sizes an ascent goes through."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp

from reportgen.models.base import Model


def sizes(size: int, scales: int, factor: float) -> tuple[int, ...]:
    """Sides of the pictures of a multi-scale ascent, smallest first; the last is ``size``.

    ``int(size / factor**k)`` for k = ``scales`` … 0, as Keras's conv_filter_visualization.py counts
    them; a side is 1 at the least, where the script would fail.

    Returns:
      ``scales + 1`` sides in pixels.
    """
    return tuple(max(1, int(size / factor**k)) for k in range(scales, -1, -1))


def takes(model: Model, path: str, size: tuple[int, ...]) -> bool:
    """Whether a layer has an output for pictures of a size (H, W). Nothing is computed."""
    x = jax.ShapeDtypeStruct((1, *size, model.spec.channels), jnp.float32)
    try:
        shape = jax.eval_shape(partial(model.activation, path), x).shape
    except Exception:  # noqa: BLE001 (each framework has errors of its own for a size that is off)
        return False
    return all(shape)


def usable_sides(
    model: Model, path: str, sides: tuple[int, ...]
) -> tuple[tuple[int, ...], list[int]]:
    """The sizes from the first that the layer can be climbed at, and those before it.

    A network with many poolings has no map left at a small picture; one that fixes its size before
    the layer takes no other.
    """
    for first, side in enumerate(sides[:-1]):
        if takes(model, path, (side, side)):
            return sides[first:], list(sides[:first])
    return (), list(sides)
