"""Saliency: the absolute gradient of a class score by the input.

Simonyan, Vedaldi, Zisserman: Deep Inside Convolutional Networks (2013), arXiv:1312.6034.
"""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from reportgen.core.blocks import Group, Heatmap
from reportgen.core.settings import Count, Fraction, settings
from reportgen.methods.base import Context, Method, Result
from reportgen.methods.targets import Target, chosen_classes
from reportgen.models.base import Model


def saliency(model: Model, x: jax.Array, target: jax.Array) -> jax.Array:
    """max over channels of |d logit[target] / d x|.

    Args:
      x: one input (H, W, C), normalised.
      target: class index, a scalar.

    Returns:
      (H, W), not negative, in logits per unit of normalised input.
    """

    def score(image: jax.Array) -> jax.Array:
        return model.apply(image[None])[0][0, target]

    return jnp.abs(jax.grad(score)(x)).max(axis=-1)


@jax.jit
def _batch(model: Model, x: jax.Array, targets: jax.Array) -> jax.Array:
    return jax.vmap(saliency, (None, 0, 0))(model, x, targets)


@settings
class Saliency(Method):
    """Settings of the method.

    Attributes:
      count: images shown, the first of the data source.
      target: class whose logit is explained: ``predicted``, ``true``, a name or an index.
      opacity: of the map over the image.
    """

    title: ClassVar[str] = "Saliency"

    count: Count
    target: Target
    opacity: Fraction

    def work(self, context: Context) -> int:
        return context.images.first(self.count)

    def run(self, context: Context) -> Result:
        images, model = context.images, context.model
        count = self.work(context)
        chosen = chosen_classes(model, images, self.target, count, context.batch)
        maps = []
        for start in range(0, count, context.batch):
            stop = min(start + context.batch, count)
            x = jnp.asarray(model.spec.normalise(images.pixels[start:stop]))
            maps += list(np.asarray(_batch(model, x, jnp.asarray(chosen.index[start:stop]))))
            context.advance(stop - start)
        groups = []
        for i, heat in enumerate(maps):
            groups.append(
                Group(
                    title=images.names[i],
                    subtitle=f"class {model.classes[chosen.index[i]]} ({self.target})",
                    blocks=(
                        Heatmap(
                            image=images.pixels[i],
                            map=heat,
                            low=float(heat.min()),
                            high=float(heat.max()),
                            colormap=context.colormap.heatmap,
                            opacity=self.opacity,
                            facts=chosen.facts(i),
                            caption=context.caption(
                                f"Saliency of {images.names[i]}",
                                detail="logits per unit of normalised input, not negative",
                                formula="max over channels of |∂ logit / ∂ input| "
                                "(Simonyan et al. 2013)",
                            ),
                        ),
                    ),
                )
            )
        intro = (
            "How strongly each pixel moves the class score: the absolute gradient of the logit, "
            "maximum over channels."
        )
        return Result(blocks=tuple(groups), intro=intro)
