"""Grad-CAM++: Grad-CAM whose weights count each place of an object, so that several are found.

Chattopadhyay, Sarkar, Howlader, Balasubramanian: Grad-CAM++ (2018), arXiv:1710.11063; as
pytorch-grad-cam's ``GradCAMPlusPlus``. tf-keras-vis and the authors' program besides divide each
channel's α by its sum over positions, which the paper does not.
"""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp

from reportgen.core.settings import settings
from reportgen.methods.attribution import Maps
from reportgen.methods.class_activation import ClassActivation, capture
from reportgen.models.base import Model


def alphas(activation: jax.Array, gradient: jax.Array) -> jax.Array:
    """``α = g² / (2 g² + g³ · sum over positions of A_k)``, and 0 where g is.

    Equation 19: that of the exponential of the score, whose derivatives are powers of the score's
    gradient g. Where g is positive and A rectified, α is above 0 and at most 1/2; where A is not
    rectified there is a pole, near which α is large and of either sign.

    Args:
      activation: A, (N, h, w, K).
      gradient: g, of the score by it, (N, h, w, K).

    Returns:
      (N, h, w, K); 0 on the pole itself.
    """
    total = activation.sum(axis=(1, 2), keepdims=True)
    # g² divided out: its powers underflow for gradients that are small but count.
    below = 2 + gradient * total
    usable = (gradient != 0) & (below != 0)
    return jnp.where(usable, 1 / jnp.where(usable, below, 1), 0)


def gradcam_plus_plus(activation: jax.Array, gradient: jax.Array) -> jax.Array:
    """ReLU(sum over channels k of w_k A_k), w_k = sum over positions of α ReLU(g).

    The exponential of the score is one positive factor of the whole map; it is left out, since it
    overflows.

    Args:
      activation: A, (N, h, w, K).
      gradient: g, of the score by it, (N, h, w, K).

    Returns:
      (N, h, w), not negative, in scores.
    """
    alpha = alphas(activation, gradient)
    weights = (alpha * jnp.maximum(gradient, 0)).sum(axis=(1, 2))
    return jnp.maximum(jnp.einsum("nhwk,nk->nhw", activation, weights), 0)


@settings
class GradCAMPlusPlus(ClassActivation):
    """The settings of all class activation methods."""

    title: ClassVar[str] = "Grad-CAM++"
    formula: ClassVar[str] = (
        "ReLU(Σ over channels k of wₖ · Aₖ), wₖ = Σ over positions of α · ReLU(g), "
        "α = g² / (2 g² + g³ Σ Aₖ), g = ∂ score / ∂ Aₖ (Chattopadhyay et al. 2018)"
    )
    intro: ClassVar[str] = (
        "Where the layer holds features that raise the class score, as Grad-CAM, but only positive "
        "gradients count and a feature that occurs in few places weighs as much as one that "
        "occurs in many: so small and repeated objects are not lost. As in the paper "
        "α is not divided by its sum over positions; tf-keras-vis divides it."
    )
    measure: ClassVar[str] = "scores up to a positive factor an image, not negative"
    signed: ClassVar[bool] = False

    def explain(
        self, model: Model, x: jax.Array, targets: jax.Array, keys: jax.Array, batch: int
    ) -> Maps:
        seen = capture(model, self.path, x, targets)
        largest = jnp.where(seen.gradient > 0, jnp.abs(alphas(*seen)), 0).max(axis=(1, 2, 3))
        maps = gradcam_plus_plus(*seen)
        facts = {
            "share of positions above zero": (maps > 0).mean((1, 2)),
            "largest |α|, at most 0.5 if rectified": largest,
        }
        return Maps(self.enlarged(maps, x), facts)
