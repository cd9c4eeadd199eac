"""Gradient times input: to first order, how much each pixel gives to the class score.

Shrikumar, Greenside, Kundaje: Learning Important Features (2017), arXiv:1704.02685, section 3.1; as
Captum's ``InputXGradient``.
"""

from __future__ import annotations

from typing import ClassVar

import jax

from reportgen.core.settings import settings
from reportgen.methods.attribution import Attribution, Maps
from reportgen.methods.gradients import score_gradient
from reportgen.models.base import Model


def gradient_x_input(model: Model, x: jax.Array, targets: jax.Array) -> jax.Array:
    """Sum over channels of x · d score[target] / d x.

    Args:
      x: inputs (N, H, W, C), normalised; zero, in the unit of x, is what counts as nothing there.
      targets: (N,) class indices.

    Returns:
      (N, H, W), signed, in scores. Of a network of linear pieces without biases they sum to the
      score.
    """
    return (x * score_gradient(model, x, targets)).sum(axis=-1)


@settings
class GradientXInput(Attribution):
    """The settings of all attribution methods."""

    title: ClassVar[str] = "Gradient × input"
    formula: ClassVar[str] = (
        "sum over channels of input · ∂ score / ∂ input (Captum InputXGradient)"
    )
    intro: ClassVar[str] = (
        "What each pixel gives to the class score to first order: positive for the class, negative "
        "against it. Pixels that are zero after normalisation can give nothing."
    )
    measure: ClassVar[str] = "scores; positive speaks for the class"
    signed: ClassVar[bool] = True

    def explain(
        self, model: Model, x: jax.Array, targets: jax.Array, keys: jax.Array, batch: int
    ) -> Maps:
        return Maps(gradient_x_input(model, x, targets), {})
