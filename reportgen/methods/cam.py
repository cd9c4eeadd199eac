"""Class activation mapping: the maps of a layer, weighted by the dense layer behind their mean.

Zhou, Khosla, Lapedriza, Oliva, Torralba: Learning Deep Features for Discriminative Localization
(2016), arXiv:1512.04150.
"""

from __future__ import annotations

from functools import partial
from typing import ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np

from reportgen.core.errors import NotApplicableError
from reportgen.core.settings import settings
from reportgen.methods.attribution import Maps
from reportgen.methods.class_activation import (
    ClassActivation,
    capture,
    checked_layer,
    default_layer,
    placed,
)
from reportgen.methods.draws import normal
from reportgen.models.base import Model

_TOLERANCE = 1e-3  # of the largest value compared: far above rounding, far below one rectifier


def cam(activation: jax.Array, gradient: jax.Array) -> jax.Array:
    """Sum over channels k of w_k A_k, of a network whose score is Σ_k w_k mean(A_k) + b.

    Its gradient by A_k is w_k over the number of positions at each, which gives the w_k.

    Args:
      activation: A, (N, h, w, K).
      gradient: of the score by it, (N, h, w, K).

    Returns:
      (N, h, w), signed, in scores; its mean is the score less b.
    """
    return jnp.einsum("nhwk,nk->nhw", activation, gradient.sum(axis=(1, 2)))


@partial(jax.jit, static_argnums=1)
def departures(model: Model, path: str, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """How far a network departs from scores Σ_k w_k mean(A_k) + b, A the output of a layer.

    It is tried on A of two inputs, on one of them turned to its negative and on random values, so
    that every rectifier behind the layer is met open and shut.

    Args:
      x: two inputs (2, H, W, C), normalised.

    Returns:
      Of the gradient by A, how far it varies over positions and trials; of the scores, by how much
      they change from trial to trial besides by gradient × change of A. Both relative; both are
      zero but for rounding if, and only if, the network is of that form.
    """
    first, second = model.activation(path, x)
    noise, direction = jax.random.split(jax.random.key(0))
    other = jnp.abs(second).max() * normal(noise, second.shape)
    taps = jnp.stack([jnp.zeros_like(first), jnp.zeros_like(first), -2 * first, other])
    # All scores at once: a random sum of them is linear if each is.
    mixed = normal(direction, (len(model.classes),))

    def score(taps: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        scores, activations = model.apply(jnp.concatenate([x, x]), {path: taps})
        scores = scores @ mixed
        return scores.sum(), (scores, activations[path])

    gradient, (scores, activation) = jax.grad(score, has_aux=True)(taps)
    size = jnp.abs(gradient).max()
    maps = placed(gradient, *model.spec.shape[:2])
    varies = jnp.abs(maps - maps.mean(axis=(0, 1, 2))).max() / jnp.where(size > 0, size, 1)
    # Of tokens only those of patches lie in the map; the score may be read from another.
    outside = jnp.abs(gradient).sum() > 1.5 * jnp.abs(maps).sum()
    axes = tuple(range(1, activation.ndim))
    terms = gradient[0] * (activation - activation[0])
    scale = jnp.abs(terms).sum(axes) + jnp.abs(scores)
    besides = jnp.abs(scores - scores[0] - terms.sum(axes)) / jnp.where(scale > 0, scale, 1)
    return jnp.where(outside, 1, varies), besides.max()


@settings
class CAM(ClassActivation):
    """The settings of all class activation methods."""

    title: ClassVar[str] = "Class activation map"
    formula: ClassVar[str] = (
        "Σ over channels k of wₖ · Aₖ, where the score is Σ wₖ · mean(Aₖ) + b (Zhou et al. 2016)"
    )
    intro: ClassVar[str] = (
        "What each position of the last maps adds to the class score, or takes from it. It is "
        "exact, and not an explanation by a gradient: the score is the mean of the map, and a "
        "constant."
    )
    measure: ClassVar[str] = "scores; positive raises the score, which is the mean and a constant"
    signed: ClassVar[bool] = True

    def chosen_layer(self, model: Model) -> str:
        # Class maps are the best case: there the map of the class is the channel itself.
        if self.layer is None:
            return default_layer(model, class_maps=True)
        return checked_layer(model, self.layer, by_gradient=True)

    def fitted(self, model: Model) -> Self:
        fitted = super().fitted(model)
        # Noise, since its rectifiers are open at some places and shut at others.
        noise = np.random.default_rng(0).integers(0, 256, (2, *model.spec.shape), np.uint8)
        x = jnp.asarray(model.spec.normalise(noise))
        varies, besides = (float(value) for value in departures(model, fitted.path, x))
        # Not a number, which a broken network gives, is no reason to refuse it here.
        if max(varies, besides) <= _TOLERANCE or varies != varies or besides != besides:
            return fitted
        reason = (
            "its gradient is not the same at all positions and for all images"
            if varies > _TOLERANCE
            else "part of it goes past that layer"
        )
        raise NotApplicableError(
            "cam needs a network that ends in the mean over positions and one dense layer (or a "
            f"1 × 1 convolution and the mean): the score of {model.name} is not a weighted sum of "
            f"the means of {fitted.path}, since {reason}.",
            "Take gradcam or hirescam, which need no such end.",
        )

    def explain(
        self, model: Model, x: jax.Array, targets: jax.Array, keys: jax.Array, batch: int
    ) -> Maps:
        maps = cam(*capture(model, self.path, x, targets))
        return Maps(self.enlarged(maps, x), {"mean over the layer's positions": maps.mean((1, 2))})
