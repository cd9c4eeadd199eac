"""How a gradient becomes a step upwards; every value has a state of its own."""

from __future__ import annotations

from typing import Literal

import jax
import optax

from reportgen.methods.synthesis.ascent import EPSILON

Optimiser = Literal["adam", "nadam", "rmsprop", "tf_rmsprop"]


def ascending(
    name: Optimiser, step_size: float | jax.Array, decay: float | jax.Array
) -> optax.GradientTransformation:
    """An optimiser whose updates are added to climb.

    - ``adam``, ``nadam``: Optax's, with its moments' decay of 0.9 and 0.999. (Keras's NAdam warms
      up the first moment besides.)
    - ``rmsprop``: step · g / √(m + 1e-7), m the mean of g² that decays by ``decay``, from 0.
    - ``tf_rmsprop``: step · g / (√m + 1e-7), as in TensorFlow up to 2.10. It matters: a pixel's
      share of a penalty is so small that the other one hardly moves it.
    """
    if name in ("rmsprop", "tf_rmsprop"):
        inside = name == "rmsprop"
        rule = optax.rmsprop(step_size, decay=decay, eps=EPSILON, eps_in_sqrt=inside)
    else:
        rule = {"adam": optax.adam, "nadam": optax.nadam}[name](step_size)
    return optax.chain(optax.scale(-1.0), rule)
