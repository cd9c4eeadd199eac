"""How a gradient becomes a step upwards; every value has a state of its own."""

from __future__ import annotations

from typing import Literal

import jax
import optax

from reportgen.methods.synthesis.ascent import EPSILON

Optimiser = Literal["adam", "nadam", "rmsprop"]


def ascending(
    name: Optimiser, step_size: float | jax.Array, decay: float | jax.Array
) -> optax.GradientTransformation:
    """An optimiser whose updates are added to climb.

    - ``adam``, ``nadam``: Optax's, with its moments' decay of 0.9 and 0.999. (Keras's NAdam warms
      up the first moment besides.)
    - ``rmsprop``: Keras's, step · g / √(mean of g² + 1e-7), the mean decaying by ``decay``.
    """
    if name == "rmsprop":
        rule = optax.rmsprop(step_size, decay=decay, eps=EPSILON, eps_in_sqrt=True)
    else:
        rule = {"adam": optax.adam, "nadam": optax.nadam}[name](step_size)
    return optax.chain(optax.scale(-1.0), rule)
