"""Grad-CAM: the maps of a layer, weighted by the mean gradient of the class score.

Selvaraju, Cogswell, Das, Vedantam, Parikh, Batra: Grad-CAM (2017), arXiv:1610.02391; as Captum's
``LayerGradCam`` with ``relu_attributions``, pytorch-grad-cam's ``GradCAM`` and tf-keras-vis's
``Gradcam`` before they scale each map to 0..1.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Self

import jax
import jax.numpy as jnp

from reportgen.core.settings import settings
from reportgen.methods.attribution import Maps
from reportgen.methods.class_activation import ClassActivation, capture
from reportgen.methods.rectified import check_rectifiers, rectifiers_in_words
from reportgen.models.base import Model
from reportgen.rewrite.rectifiers import RectifierRule

Gradients = Literal["plain", "guided", "relu"]


def gradcam(activation: jax.Array, gradient: jax.Array) -> jax.Array:
    """ReLU(sum over channels k of w_k A_k), w_k the mean of the gradient by A_k over positions.

    Args:
      activation: A, (N, h, w, K).
      gradient: of the score by it, (N, h, w, K).

    Returns:
      (N, h, w), not negative, in scores: the sum over positions is that of gradient × activation,
      less what the mean over positions and the ReLU leave out.
    """
    weights = gradient.mean(axis=(1, 2))
    return jnp.maximum(jnp.einsum("nhwk,nk->nhw", activation, weights), 0)


@settings
class GradCAM(ClassActivation):
    """Those of all class activation methods, and:

    Attributes:
      gradients: how rectifiers behind the layer pass the gradient back: ``plain``, by the rule of
        ``guided`` backpropagation, or by the deconvnet's (``relu``), as keras-vis offers.
    """

    formula: ClassVar[str] = (
        "ReLU(Σ over channels k of wₖ · Aₖ), wₖ = mean over positions of ∂ score / ∂ Aₖ "
        "(Selvaraju et al. 2017)"
    )
    intro: ClassVar[str] = (
        "Where the layer holds features that raise the class score: its maps, each weighted by how "
        "much the score gains by it on average over positions. The map is as coarse as the layer."
    )
    measure: ClassVar[str] = "scores, not negative"
    signed: ClassVar[bool] = False

    gradients: Gradients

    @property
    def title(self) -> str:  # type: ignore[override]
        """With the gradients, as several may stand side by side."""
        return "Grad-CAM" + ("" if self.gradients == "plain" else f", {self.gradients} gradients")

    def fitted(self, model: Model) -> Self:
        if self.gradients != "plain":
            check_rectifiers(f"gradients={self.gradients} of gradcam", model)
        return super().fitted(model)

    def details(self, model: Model) -> str:
        layer = super().details(model)
        if self.gradients == "plain":
            return layer
        return f"{layer}; {self.gradients} gradients, {rectifiers_in_words(model)}"

    def explain(
        self, model: Model, x: jax.Array, targets: jax.Array, keys: jax.Array, batch: int
    ) -> Maps:
        if self.gradients != "plain":
            rule = RectifierRule("guided" if self.gradients == "guided" else "deconvnet")
            model = model.rewritten(rule)
        maps = gradcam(*capture(model, self.path, x, targets))
        return Maps(
            self.enlarged(maps, x), {"share of positions above zero": (maps > 0).mean((1, 2))}
        )
