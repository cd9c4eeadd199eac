"""Deletion and insertion: how fast a class goes and comes with the pixels that a map ranks first.

Petsiuk, Das, Saenko: RISE: Randomized Input Sampling for Explanation (2018), arXiv:1806.07421, and
the authors' evaluation code.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Literal

import jax.numpy as jnp
import numpy as np

from reportgen.core.blocks import Finding
from reportgen.core.settings import Count, Positive, settings
from reportgen.methods.base import Context
from reportgen.methods.baselines import baseline
from reportgen.methods.faithfulness import (
    Faithfulness,
    Figure,
    Measure,
    Subject,
    Tested,
    scores,
    several_classes,
)
from reportgen.methods.targets import softmax

DELETION = Measure("deletion AUC", higher=False)
INSERTION = Measure("insertion AUC", higher=True)


def steps_of(pixels: int, steps: int) -> tuple[int, int]:
    """Pixels a step, and how many such steps it takes: the authors' n = ⌈HW / step⌉."""
    step = math.ceil(pixels / steps)
    return step, math.ceil(pixels / step)


def replaced(
    x: np.ndarray, other: np.ndarray, order: np.ndarray, steps: int
) -> Iterator[np.ndarray]:
    """x (H, W, C), then x with more and more pixels of ``other``, up to ``other`` itself.

    Args:
      order: (H W,) places of pixels, the first to be replaced first.
    """
    step, count = steps_of(len(order), steps)
    for k in range(count + 1):
        changed = x.reshape(-1, x.shape[-1]).copy()
        taken = order[: k * step]
        changed[taken] = other.reshape(changed.shape)[taken]
        yield changed.reshape(x.shape)


def area(values: np.ndarray) -> float:
    """Area under values at equal distances over 0..1: (Σ − first / 2 − last / 2) / n."""
    return float((values.sum() - values[0] / 2 - values[-1] / 2) / (len(values) - 1))


@settings
class DeletionInsertion(Faithfulness):
    """Settings of the method, besides those of all tests of maps.

    Attributes:
      steps: into which the pixels are divided; the authors take one a row of the image.
      fill: what deletion replaces pixels with: the ``mean`` pixel (0 after preprocessing),
        ``black``, or the ``blurred`` image.
      blur: of the image that insertion starts from: the deviation over the shorter side. The
        authors' is 5 of 224, cut off at 11 pixels, which leaves more of the image; ours is whole.
    """

    title: ClassVar[str] = "Deletion and insertion"
    check: ClassVar[str] = "deletion_insertion"
    intro: ClassVar[str] = (
        "Pixels are taken from the image in the order of each map, and put into a blurred image. "
        "If the map is right, the class's probability falls fast and rises fast. An image with "
        "holes is like none that the network was trained on, so compare with the controls."
    )
    measures: ClassVar[tuple[Measure, ...]] = (DELETION, INSERTION)

    steps: Count
    fill: Literal["mean", "black", "blurred"]
    blur: Positive

    def work(self, context: Context) -> int:
        several_classes(context, self.check)
        return super().work(context)

    def test(self, context: Context, subject: Subject) -> Tested:
        model = context.model
        x = np.asarray(model.spec.normalise(context.images.pixels[subject.place]), np.float32)
        fill, start = (
            np.asarray(baseline(kind, model.spec, jnp.asarray(x[None]), context.key, self.blur))[0]
            for kind in (self.fill, "blurred")
        )
        pairs = {DELETION.name: (x, fill), INSERTION.name: (start, x)}

        def inputs() -> Iterator[np.ndarray]:
            for name in subject.maps:
                order = subject.order(name)
                for one, other in pairs.values():
                    yield from replaced(one, other, order, self.steps)

        seen = softmax(scores(context.engine, context.model, inputs()))[:, subject.target]
        seen = seen.reshape(len(subject.maps), len(pairs), -1)
        curves = {
            kind: dict(zip(subject.maps, seen[:, k], strict=True)) for k, kind in enumerate(pairs)
        }
        return Tested(
            values={
                kind: {name: area(curve) for name, curve in by_map.items()}
                for kind, by_map in curves.items()
            },
            curves=curves,
        )

    def unfit(self, tested: Sequence[Tested]) -> Mapping[Measure, Finding]:
        curves = [curve for one in tested for curve in one.curves[INSERTION.name].values()]
        first, last = (np.mean([curve[k] for curve in curves]) for k in (0, -1))
        if first <= last / 2:
            return {}
        return {
            INSERTION: Finding(
                severity="info",
                check=self.check,
                message="Insertion tells nothing here: the class's probability is "
                f"{first:.4g} in the blurred images already, {last:.4g} in the whole ones.",
                value=float(first),
                threshold=float(last / 2),
                advice=f"Blur more: method.deletion_insertion.blur={3 * self.blur:.2g}",
            )
        }

    def figures(self, context: Context) -> Mapping[str, Figure]:
        height, width, _ = context.model.spec.shape
        step, count = steps_of(height * width, self.steps)
        x = np.minimum(np.arange(count + 1) * step / (height * width), 1) * 100
        with_what = {"mean": "the mean pixel", "black": "black", "blurred": "the blurred image"}
        label, formula = "probability of the class", "softmax of the class (Petsiuk et al. 2018)"
        return {
            DELETION.name: Figure(
                "Deletion", x, "pixels deleted, percent", label, formula,
                detail=f"the highest values first, replaced with {with_what[self.fill]}",
            ),
            INSERTION.name: Figure(
                "Insertion", x, "pixels inserted, percent", label, formula,
                detail="the highest values first, into the blurred image",
            ),
        }  # fmt: skip
