"""The gradient of the explained scores by the input."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from reportgen.models.base import Model


def score_gradient(model: Model, x: jax.Array, targets: jax.Array) -> jax.Array:
    """d score[n, targets[n]] / d x[n].

    Args:
      x: inputs (N, H, W, C), normalised.
      targets: (N,) class indices.

    Returns:
      (N, H, W, C), signed, in scores per unit of normalised input.
    """
    return jax.grad(lambda inputs: target_scores(model, inputs, targets).sum())(x)


def target_scores(model: Model, x: jax.Array, targets: jax.Array) -> jax.Array:
    """(N,) scores of the explained classes; no image's score depends on another image."""
    scores = model.apply(x)[0]
    return jnp.take_along_axis(scores, targets[:, None], axis=1)[:, 0]
