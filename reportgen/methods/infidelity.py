"""Infidelity: does a map predict how the score changes when the image is perturbed?

Yeh, Hsieh, Suggala, Inouye, Ravikumar: On the (In)fidelity and Sensitivity of Explanations (2019),
arXiv:1901.09392; as Captum's ``infidelity``, with what is called multipliers there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from pydantic import Field

from reportgen.core.settings import Positive, Switch, settings
from reportgen.methods.base import Context
from reportgen.methods.baselines import baseline
from reportgen.methods.faithfulness import (
    Faithfulness,
    Measure,
    Subject,
    Tested,
    generator,
    scores,
)

INFIDELITY = Measure("infidelity", higher=False, judged=False)
AGREEMENT = Measure("agreement", higher=True)
Part = Annotated[float, Field(gt=0, le=1)]


class Agreement(NamedTuple):
    """How well changes of a score are predicted.

    Attributes:
      infidelity: mean of (predicted − true)², in scores squared.
      cosine: of predicted and true changes, −1 to 1; 0 where either is zero throughout.
    """

    infidelity: float
    cosine: float


def agreement(predicted: np.ndarray, true: np.ndarray, normalize: bool) -> Agreement:
    """Compare predicted changes (N,) with true ones.

    Args:
      normalize: scale the predictions by the one factor that fits best, as Captum does, so that
        the map's unit does not matter. Infidelity is then (1 − cosine²) · mean of true².
    """
    power, shared, change = predicted @ predicted, predicted @ true, true @ true
    factor = (shared / power if power else 0.0) if normalize else 1.0
    length = np.sqrt(power * change)
    return Agreement(
        infidelity=float(np.mean((factor * predicted - true) ** 2)),
        cosine=float(shared / length) if length else 0.0,
    )


@settings
class Infidelity(Faithfulness):
    """Settings of the method, besides those of all tests of maps.

    Attributes:
      perturbation: ``square``: the pixels of a square at a random place become ``fill``.
        ``gaussian``: every pixel moves a random part of the way there and beyond.
      side: of the square over the shorter side of the image.
      deviation: of the gaussian's part.
      fill: the ``mean`` pixel (0 after preprocessing), ``black``, or the ``blurred`` image.
      blur: for the blurred image: the deviation over the shorter side.
      samples: perturbations of each image, the same ones for all maps.
      normalize: compare up to one factor, the best for each map and image.
    """

    title: ClassVar[str] = "Infidelity"
    check: ClassVar[str] = "infidelity"
    intro: ClassVar[str] = (
        "The image is perturbed at random. A map whose values are shares of the score predicts the "
        "change of the score: the sum of its values over the pixels taken away. Infidelity is the "
        "mean squared error of that prediction, agreement the cosine of predicted and true changes."
    )
    measures: ClassVar[tuple[Measure, ...]] = (INFIDELITY, AGREEMENT)

    perturbation: Literal["square", "gaussian"]
    side: Part
    deviation: Positive
    fill: Literal["mean", "black", "blurred"]
    blur: Positive
    samples: Annotated[int, Field(ge=2, strict=True)]
    normalize: Switch

    @property
    def note(self) -> str:
        """What the numbers may be compared by."""
        what = {
            "square": f"Squares of {self.side:g} of the shorter side",
            "gaussian": f"Gaussian parts of deviation {self.deviation:g}",
        }[self.perturbation]
        scaled = (
            "each map scaled by the factor that fits best, so that all maps compare"
            if self.normalize
            else "not normalised: only maps in units of the score compare, such as integrated "
            "gradients or gradient × input; saliency, class activation maps and the controls are "
            "in other units, and only their agreement tells something"
        )
        return f"{what}, {self.samples} an image; infidelity in scores², {scaled}."

    def test(self, context: Context, subject: Subject) -> Tested:
        model = context.model
        x = np.asarray(model.spec.normalise(context.images.pixels[subject.place]), np.float32)
        there = np.asarray(
            baseline(self.fill, model.spec, jnp.asarray(x[None]), context.key, self.blur)
        )[0]
        name = context.images.names[subject.place]

        def parts() -> Iterator[np.ndarray]:
            yield from self.parts(generator(context.key, f"parts:{name}"), *x.shape[:2])

        def inputs() -> Iterator[np.ndarray]:
            yield x
            for part in parts():
                yield x - part[..., None] * (x - there)

        seen = scores(context.engine, model, inputs())[:, subject.target].astype(np.float64)
        true = seen[0] - seen[1:]
        maps = np.stack([heat.ravel() for heat in subject.maps.values()]).astype(np.float64)
        predicted = np.stack([maps @ part.ravel() for part in parts()])
        found = {
            name: agreement(predicted[:, k], true, self.normalize)
            for k, name in enumerate(subject.maps)
        }
        return Tested(
            values={
                INFIDELITY.name: {name: one.infidelity for name, one in found.items()},
                AGREEMENT.name: {name: one.cosine for name, one in found.items()},
            }
        )

    def parts(self, random: np.random.Generator, height: int, width: int) -> Iterator[np.ndarray]:
        """What part of each pixel (H, W) is taken away, sample by sample."""
        side = max(1, round(self.side * min(height, width)))
        for _ in range(self.samples):
            if self.perturbation == "gaussian":
                yield (self.deviation * random.standard_normal((height, width))).astype(np.float32)
                continue
            taken = np.zeros((height, width), np.float32)
            top, left = random.integers(0, (height - side + 1, width - side + 1))
            taken[top : top + side, left : left + side] = 1
            yield taken
