"""Saliency: the absolute gradient of a class score by the input.

Simonyan, Vedaldi, Zisserman: Deep Inside Convolutional Networks (2013), arXiv:1312.6034.
"""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp

from reportgen.core.settings import settings
from reportgen.methods.attribution import Attribution, Maps
from reportgen.methods.gradients import score_gradient
from reportgen.models.base import Model


def saliency(model: Model, x: jax.Array, targets: jax.Array) -> jax.Array:
    """max over channels of |d score[target] / d x|.

    Args:
      x: inputs (N, H, W, C), normalised.
      targets: (N,) class indices.

    Returns:
      (N, H, W), not negative, in scores per unit of normalised input.
    """
    return jnp.abs(score_gradient(model, x, targets)).max(axis=-1)


@settings
class Saliency(Attribution):
    """The settings of all attribution methods."""

    title: ClassVar[str] = "Saliency"
    formula: ClassVar[str] = "max over channels of |∂ score / ∂ input| (Simonyan et al. 2013)"
    intro: ClassVar[str] = (
        "How strongly each pixel moves the class score: the absolute gradient of the score, "
        "maximum over channels."
    )
    measure: ClassVar[str] = "scores per unit of normalised input, not negative"
    signed: ClassVar[bool] = False

    def explain(
        self, model: Model, x: jax.Array, targets: jax.Array, keys: jax.Array, batch: int
    ) -> Maps:
        return Maps(saliency(model, x, targets), {})
