"""What an ascent climbs: one score an image, before any regulariser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp

from reportgen.models.base import Model

_FLOOR = 0.1  # of the cosine: below it there would be no way up
_EPSILON = 1e-8


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What is climbed.

    Attributes:
      kind: of a layer, ``channel`` (a unit's mean), ``neuron`` (a unit at a position),
        ``direction`` (a vector over channels) or ``likeness`` (to the activation of an image); or
        ``class``, a score of the whole network.
      path: the layer. Of ``class``: the layer where several images of one class are to differ.
      position: (row, column) of a neuron; None for the centre.
      power: of the cosine, for ``direction`` and ``likeness``.
    """

    kind: Literal["channel", "neuron", "direction", "likeness", "class"]
    path: str = ""
    position: tuple[int, int] | None = None
    power: float = 0.0

    def scores(
        self, model: Model, shown: jax.Array, goal: jax.Array, target: jax.Array | None
    ) -> tuple[jax.Array, jax.Array | None]:
        """Scores (N,) of pictures as the network sees them, (N, h, w, C), 0..255, and the layer.

        Args:
          goal: (N,) units or classes, or (N, C) vectors.
          target: (N, h, w, C) images to be like, shown in the same way.
        """
        x = model.spec.normalise(shown)
        if self.kind == "class":
            logits, layers = model.apply(x)
            return chosen(_exact(logits), goal), _exact(layers.get(self.path))
        activation = _exact(model.activation(self.path, x))
        if activation.ndim == 2:  # units without a map are maps of one place
            activation = activation[:, None, None]
        if self.kind == "channel":
            return mean_activation(activation, goal, rectify=False), activation
        if self.kind == "neuron":
            return neuron(activation, goal, self.position), activation
        if self.kind == "direction":
            return direction(activation, goal, self.power), activation
        assert target is not None, "likeness needs an image"
        own = _exact(model.activation(self.path, model.spec.normalise(target)))
        return likeness(activation, own, self.power), activation


def _exact(array: Any) -> Any:
    """In float32, whatever the network computes in."""
    return None if array is None else array.astype(jnp.float32)


def mean_activation(activation: jax.Array, units: jax.Array, *, rectify: bool) -> jax.Array:
    """Mean over the map of one unit for each image.

    The loss of Keras's conv_filter_visualization.py (2018). The script climbs convolutions that
    contain their rectifier; where a network's rectifier is a step of its own, ``rectify`` puts it
    back, so that one strong negative response does not cancel the positive ones.

    Args:
      activation: (N, h, w, C) output of the layer.
      units: (N,) channel of each image.
      rectify: average max(activation, 0); changes nothing where the output is never negative.

    Returns:
      (N,) in the activation's unit.
    """
    # The mean comes before the choice: its gradient is then one small scatter, not one a pixel.
    means = (jax.nn.relu(activation) if rectify else activation).mean(axis=(1, 2))
    return chosen(means, units)


def chosen(scores: jax.Array, index: jax.Array) -> jax.Array:
    """(N,) entries of scores (N, C), one a row."""
    return jnp.take_along_axis(scores, index[:, None], axis=1)[:, 0]


def neuron(activation: jax.Array, units: jax.Array, position: tuple[int, int] | None) -> jax.Array:
    """(N,) values of one unit each at one position of the map (N, h, w, C).

    Args:
      position: (row, column); None for the centre, h // 2 and w // 2 as in Lucid.
    """
    height, width = activation.shape[1:3]
    row, column = (height // 2, width // 2) if position is None else position
    return chosen(activation[:, row, column], units)


def direction(activation: jax.Array, vectors: jax.Array, power: float) -> jax.Array:
    """Mean over positions of a · v · max(0.1, cos(a, v))^power; Lucid's ``direction``.

    With power 0 the projection alone; a higher one asks for channels in the vector's proportions.

    Args:
      activation: (N, h, w, C).
      vectors: (N, C).

    Returns:
      (N,).
    """
    dot = jnp.einsum("nhwc,nc->nhw", activation, vectors)
    if power:
        lengths = _length(activation) * _length(vectors)[:, None, None]
        dot *= jnp.maximum(_FLOOR, dot / lengths) ** power
    return dot.mean(axis=(1, 2))


def likeness(activation: jax.Array, target: jax.Array, power: float) -> jax.Array:
    """a · b · max(0.1, cos(a, b))^power of whole activations (N, …); Lucid's ``dot_compare``.

    Lucid divides by the length of one of the two only, which changes the value by a constant factor
    and where the floor lies.

    Returns:
      (N,).
    """
    flat, other = (array.reshape(array.shape[0], -1) for array in (activation, target))
    dot = (flat * other).sum(axis=-1)
    if power:
        dot *= jnp.maximum(_FLOOR, dot / (_length(flat) * _length(other))) ** power
    return dot


def cosines(activation: jax.Array, target: jax.Array) -> jax.Array:
    """(N,) cosines between whole activations (N, …)."""
    flat, other = (array.reshape(array.shape[0], -1) for array in (activation, target))
    return (flat * other).sum(axis=-1) / (_length(flat) * _length(other))


def sameness(activation: jax.Array) -> jax.Array:
    """How alike images of one unit are: for each the summed cosine of its Gram matrix with others'.

    Lucid's ``diversity``, which is subtracted with a weight. A Gram matrix says which channels go
    together, wherever they do.

    Args:
      activation: (N, M, P, C) at P positions of M images of each of N units.

    Returns:
      (N, M), 0..M-1 where no activation is negative.
    """
    grams = jnp.einsum("nmpc,nmpd->nmcd", activation, activation)
    grams = grams.reshape(*grams.shape[:2], -1)
    grams /= jnp.sqrt(jnp.maximum((grams**2).sum(axis=-1, keepdims=True), 1e-10))
    return jnp.einsum("nic,njc->ni", grams, grams) - (grams**2).sum(axis=-1)


def _length(vectors: jax.Array) -> jax.Array:
    # Its slope at nothing would be infinite.
    return jnp.sqrt((vectors**2).sum(axis=-1) + _EPSILON)
