"""Guided backpropagation: gradients that rectifiers let pass only where both ways are open.

Springenberg, Dosovitskiy, Brox, Riedmiller: Striving for Simplicity (2014), arXiv:1412.6806; as
Captum's ``GuidedBackprop``, but for rectifiers in any notation (see ``rewrite/rectifiers.py``).
"""

from __future__ import annotations

from typing import ClassVar, Self

import jax

from reportgen.core.settings import settings
from reportgen.methods.attribution import Attribution, Maps
from reportgen.methods.rectified import check_rectifiers, rectifiers_in_words
from reportgen.methods.saliency import saliency
from reportgen.models.base import Model
from reportgen.rewrite.rectifiers import RectifierRule


def guided_backprop(model: Model, x: jax.Array, targets: jax.Array) -> jax.Array:
    """max over channels of |gradient with the rectifiers' rule 1[x > 0] · max(R, 0)|.

    Args:
      x: inputs (N, H, W, C), normalised.
      targets: (N,) class indices.

    Returns:
      (N, H, W), not negative.
    """
    return saliency(model.rewritten(RectifierRule("guided")), x, targets)


@settings
class GuidedBackprop(Attribution):
    """The settings of all attribution methods."""

    title: ClassVar[str] = "Guided backpropagation"
    formula: ClassVar[str] = (
        "max over channels of |gradient with 1[x > 0] · max(R, 0) at rectifiers| "
        "(Springenberg et al. 2014)"
    )
    intro: ClassVar[str] = (
        "Fine structure that drives the class score upwards through every rectifier. The maps are "
        "sharp, but depend little on the class and on the upper layers' weights (Adebayo et al. "
        "2018), so do not take them alone."
    )
    measure: ClassVar[str] = "scores per unit of normalised input, not negative"
    signed: ClassVar[bool] = False

    def fitted(self, model: Model) -> Self:
        check_rectifiers("guided_backprop", model)
        return self

    def details(self, model: Model) -> str:
        return rectifiers_in_words(model)

    def explain(
        self, model: Model, x: jax.Array, targets: jax.Array, keys: jax.Array, batch: int
    ) -> Maps:
        return Maps(guided_backprop(model, x, targets), {})
