"""HiResCAM: gradient × activation of a layer, position by position.

Draelos, Carin: Use HiResCAM instead of Grad-CAM (2020), arXiv:2011.08891; as pytorch-grad-cam's
``HiResCAM`` before it drops what is negative.
"""

from __future__ import annotations

from typing import ClassVar

import jax

from reportgen.core.settings import settings
from reportgen.methods.attribution import Maps
from reportgen.methods.class_activation import ClassActivation, capture
from reportgen.models.base import Model


def hirescam(activation: jax.Array, gradient: jax.Array) -> jax.Array:
    """Sum over channels of gradient × activation.

    Args:
      activation: (N, h, w, K).
      gradient: of the score by it, (N, h, w, K).

    Returns:
      (N, h, w), signed, in scores: where all behind the layer is linear, the sum over positions is
      the score less what it would be for an activation of zeros.
    """
    return (gradient * activation).sum(axis=-1)


@settings
class HiResCAM(ClassActivation):
    """The settings of all class activation methods."""

    title: ClassVar[str] = "HiResCAM"
    formula: ClassVar[str] = (
        "Σ over channels k of Aₖ · ∂ score / ∂ Aₖ, at each position (Draelos and Carin 2020)"
    )
    intro: ClassVar[str] = (
        "What each position of the layer adds to the class score, or takes from it: gradient × "
        "activation without Grad-CAM's mean over positions, so that nothing is lit where the "
        "network did not look. If one dense layer follows, the positions sum to the score, so "
        "what is negative is kept; pytorch-grad-cam drops it."
    )
    measure: ClassVar[str] = "scores; positive raises the score"
    signed: ClassVar[bool] = True

    def explain(
        self, model: Model, x: jax.Array, targets: jax.Array, keys: jax.Array, batch: int
    ) -> Maps:
        maps = hirescam(*capture(model, self.path, x, targets))
        return Maps(self.enlarged(maps, x), {"sum over the layer's positions": maps.sum((1, 2))})
