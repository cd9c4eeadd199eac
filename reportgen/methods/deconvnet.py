"""Deconvnet: gradients in which rectifiers act on what comes back, and not on what went in.

Zeiler, Fergus: Visualizing and Understanding Convolutional Networks (2013), arXiv:1311.2901; as
Captum's ``Deconvolution``, but for rectifiers in any notation (see ``rewrite/rectifiers.py``).
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


def deconvnet(model: Model, x: jax.Array, targets: jax.Array) -> jax.Array:
    """max over channels of |gradient with the rectifiers' rule max(R, 0)|.

    Args:
      x: inputs (N, H, W, C), normalised.
      targets: (N,) class indices.

    Returns:
      (N, H, W), not negative.
    """
    return saliency(model.rewritten(RectifierRule("deconvnet")), x, targets)


@settings
class Deconvnet(Attribution):
    """The settings of all attribution methods."""

    title: ClassVar[str] = "Deconvnet"
    formula: ClassVar[str] = (
        "max over channels of |gradient with max(R, 0) at rectifiers| (Zeiler and Fergus 2013)"
    )
    intro: ClassVar[str] = (
        "The image structure that the class score is rebuilt from when the network is run "
        "backwards with its pooling switches. As guided backpropagation, it says little about the "
        "class."
    )
    measure: ClassVar[str] = "scores per unit of normalised input, not negative"
    signed: ClassVar[bool] = False

    def fitted(self, model: Model) -> Self:
        check_rectifiers("deconvnet", model)
        return self

    def details(self, model: Model) -> str:
        return rectifiers_in_words(model)

    def explain(
        self, model: Model, x: jax.Array, targets: jax.Array, keys: jax.Array, batch: int
    ) -> Maps:
        return Maps(deconvnet(model, x, targets), {})
