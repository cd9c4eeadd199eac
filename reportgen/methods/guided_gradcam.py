"""Guided Grad-CAM: guided backpropagation, kept where Grad-CAM is lit.

Selvaraju, Cogswell, Das, Vedantam, Parikh, Batra: Grad-CAM (2017), arXiv:1610.02391; as Captum's
``GuidedGradCam``, which enlarges by the nearest cell (``resize=nearest``).
"""

from __future__ import annotations

from typing import ClassVar, Self

import jax
import jax.numpy as jnp

from reportgen.core.settings import settings
from reportgen.methods.attribution import Maps
from reportgen.methods.class_activation import ClassActivation, Resize, capture, enlarge
from reportgen.methods.gradcam import gradcam
from reportgen.methods.gradients import score_gradient
from reportgen.methods.rectified import check_rectifiers, rectifiers_in_words
from reportgen.models.base import Model
from reportgen.rewrite.rectifiers import RectifierRule


def guided_gradcam(
    model: Model, path: str, x: jax.Array, targets: jax.Array, resize: Resize
) -> jax.Array:
    """Guided backpropagation's gradient × enlarged Grad-CAM, which is of plain gradients.

    Args:
      path: of the layer for Grad-CAM.
      x: inputs (N, H, W, C), normalised.
      targets: (N,) class indices.

    Returns:
      (N, H, W, C), signed, in scores² per unit of normalised input.
    """
    guided = score_gradient(model.rewritten(RectifierRule("guided")), x, targets)
    maps = enlarge(gradcam(*capture(model, path, x, targets)), x.shape[1], x.shape[2], resize)
    return guided * maps[..., None]


@settings
class GuidedGradCAM(ClassActivation):
    """The settings of all class activation methods."""

    title: ClassVar[str] = "Guided Grad-CAM"
    formula: ClassVar[str] = (
        "max over channels of |guided backpropagation| × Grad-CAM, enlarged (Selvaraju et al. 2017)"
    )
    intro: ClassVar[str] = (
        "The fine structure of guided backpropagation where Grad-CAM finds the class: detail from "
        "one, the class from the other. The detail depends little on the upper layers' weights "
        "(Adebayo et al. 2018)."
    )
    measure: ClassVar[str] = "scores² per unit of normalised input, not negative"
    signed: ClassVar[bool] = False

    def fitted(self, model: Model) -> Self:
        check_rectifiers("guided_gradcam", model)
        return super().fitted(model)

    def details(self, model: Model) -> str:
        return f"{super().details(model)}; {rectifiers_in_words(model)}"

    def explain(
        self, model: Model, x: jax.Array, targets: jax.Array, keys: jax.Array, batch: int
    ) -> Maps:
        values = guided_gradcam(model, self.path, x, targets, self.resize)
        return Maps(jnp.abs(values).max(axis=-1), {})
