"""LayerCAM: the maps of any layer, weighted position by position by the positive gradient.

Jiang, Zhang, Hou, Cheng, Wei: LayerCAM (2021), IEEE Transactions on Image Processing 30; as
tf-keras-vis's ``Layercam`` and pytorch-grad-cam's ``LayerCAM`` before they scale each map to 0..1.
"""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp

from reportgen.core.settings import settings
from reportgen.methods.attribution import Maps
from reportgen.methods.class_activation import ClassActivation, capture
from reportgen.models.base import Model


def layercam(activation: jax.Array, gradient: jax.Array) -> jax.Array:
    """ReLU(sum over channels of ReLU(gradient) × activation).

    Args:
      activation: (N, h, w, K).
      gradient: of the score by it, (N, h, w, K).

    Returns:
      (N, h, w), not negative, in scores.
    """
    return jnp.maximum((jnp.maximum(gradient, 0) * activation).sum(axis=-1), 0)


@settings
class LayerCAM(ClassActivation):
    """The settings of all class activation methods."""

    title: ClassVar[str] = "LayerCAM"
    formula: ClassVar[str] = (
        "ReLU(Σ over channels k of Aₖ · ReLU(∂ score / ∂ Aₖ)), at each position (Jiang et al. 2021)"
    )
    intro: ClassVar[str] = (
        "Where the layer holds features that raise the class score, each position weighted by its "
        "own positive gradient. It keeps detail in shallow layers too: name one by layer=."
    )
    measure: ClassVar[str] = "scores, not negative"
    signed: ClassVar[bool] = False

    def explain(
        self, model: Model, x: jax.Array, targets: jax.Array, keys: jax.Array, batch: int
    ) -> Maps:
        maps = layercam(*capture(model, self.path, x, targets))
        return Maps(
            self.enlarged(maps, x), {"share of positions above zero": (maps > 0).mean((1, 2))}
        )
