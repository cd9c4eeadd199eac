"""Score-CAM: the maps of a layer, weighted by the score of the image seen through each.

Wang, Wang, Du, Yang, Zhang, Ding, Mardziel, Hu: Score-CAM (2020), arXiv:1910.01279; as the
authors' program, and as tf-keras-vis's ``Scorecam`` and pytorch-grad-cam's ``ScoreCAM`` but for:

- The softmax is taken once, of logits. tf-keras-vis takes it of whatever the network returns, so
  twice where that is probabilities, which makes all weights nearly equal.
- ``channels`` chooses for each image. tf-keras-vis takes the channels of all images of the batch
  together, so that a map depends on the other images.
- Both peers enlarge masks with their corners on the image's corners; here edges lie on edges.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Self

import jax
import jax.numpy as jnp

from reportgen.core.errors import ConfigError, NotApplicableError
from reportgen.core.settings import Count, settings
from reportgen.methods.attribution import Maps
from reportgen.methods.class_activation import ClassActivation, Resize, enlarge, placed
from reportgen.models.base import Model

Weight = Literal["probability", "channels"]


def scorecam(
    model: Model,
    x: jax.Array,
    targets: jax.Array,
    activation: jax.Array,
    *,
    weight: Weight,
    channels: int | None,
    resize: Resize,
    batch: int,
) -> jax.Array:
    """ReLU(sum over channels k of w_k A_k), w_k by the score of x × A_k enlarged, scaled to 0..1.

    Args:
      x: inputs (N, H, W, C), normalised; zero is what is masked out.
      targets: (N,) class indices.
      activation: A, (N, h, w, K).
      weight: ``probability`` of the target class (the authors' program), or the softmax of its
        score over ``channels`` (their first paper, and pytorch-grad-cam).
      channels: how many to use, those of largest standard deviation in each image; None for all.
      batch: masked inputs to run at once.

    Returns:
      (N, h, w), not negative. Channels that are constant say nothing of where and are left out.
    """
    height, width = x.shape[1:3]
    count, _, _, channels_found = activation.shape
    used = channels or channels_found
    maps = jnp.moveaxis(activation, -1, 1)
    if used < channels_found:
        _, index = jax.lax.top_k(maps.std(axis=(2, 3)), used)
        maps = jnp.take_along_axis(maps, index[:, :, None, None], axis=1)

    def score(pair: tuple[jax.Array, jax.Array]) -> jax.Array:
        image, channel = pair
        mask = enlarge(maps[image, channel][None], height, width, resize)
        low, high = mask.min(), mask.max()
        mask = (mask - low) / jnp.where(high > low, high - low, 1)
        scores = model.apply(x[image][None] * mask[..., None])[0][0]
        if weight == "probability":
            scores = jax.nn.softmax(scores)
        return scores[targets[image]]

    # All pairs in one loop, so that memory holds one batch of inputs whatever the image count.
    pairs = jnp.indices((count, used)).reshape(2, -1)
    scores = jax.lax.map(score, (pairs[0], pairs[1]), batch_size=batch).reshape(count, used)
    varies = maps.max(axis=(2, 3)) > maps.min(axis=(2, 3))
    if weight == "channels":
        scores = jax.nn.softmax(jnp.where(varies, scores, -jnp.inf), axis=-1)
    weights = jnp.where(varies, scores, 0)
    return jnp.maximum(jnp.einsum("nkhw,nk->nhw", maps, weights), 0)


@settings
class ScoreCAM(ClassActivation):
    """Those of all class activation methods, and:

    Attributes:
      channels: how many of the layer's channels to use, those of largest standard deviation in
        each image (Faster Score-CAM); null for all, one run of the network each.
      weight: a channel's weight: the class's ``probability`` when the image is seen through it, or
        the softmax over ``channels`` of the class's score.
    """

    title: ClassVar[str] = "Score-CAM"
    many_runs: ClassVar[bool] = True
    intro: ClassVar[str] = (
        "Where the layer holds features that make the class when nothing else is seen: its maps, "
        "each weighted by the class's score of the image seen through that map alone. No gradient "
        "is used; the cost is one run of the network a channel. Unlike in tf-keras-vis softmax is "
        "taken once, each image has its own channels, and a mask's edges lie on the image's edges."
    )
    measure: ClassVar[str] = "units of activation, not negative"
    signed: ClassVar[bool] = False
    by_gradient: ClassVar[bool] = False

    channels: Count | None
    weight: Weight

    @property
    def formula(self) -> str:
        what = "probability of the class" if self.weight == "probability" else "softmax over k"
        of = "for" if self.weight == "probability" else "of the score for"
        return (
            f"ReLU(Σ over channels k of wₖ · Aₖ), wₖ = {what} {of} input × Aₖ scaled to 0..1 "
            "(Wang et al. 2020)"
        )

    def fitted(self, model: Model) -> Self:
        if self.weight == "probability" and len(model.classes) == 1:
            raise NotApplicableError(
                f"scorecam weighs by the probability of a class, and {model.name} has one score.",
                "Take method.scorecam.weight=channels.",
            )
        fitted = super().fitted(model)
        found = model.layer(fitted.path).shape[-1]
        if self.channels is not None and self.channels > found:
            raise ConfigError(
                f"method.scorecam.channels is {self.channels}, and {fitted.path} has {found}.",
                "Take null for all.",
            )
        return fitted

    def details(self, model: Model) -> str:
        found = model.layer(self.path).shape[-1]
        return f"{super().details(model)}; {self.channels or found} of {found} channels"

    def explain(
        self, model: Model, x: jax.Array, targets: jax.Array, keys: jax.Array, batch: int
    ) -> Maps:
        maps = scorecam(
            model,
            x,
            targets,
            placed(model.activation(self.path, x), x.shape[1], x.shape[2]),
            weight=self.weight,
            channels=self.channels,
            resize=self.resize,
            batch=batch,
        )
        return Maps(self.enlarged(maps, x), {})
