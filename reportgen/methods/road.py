"""ROAD: remove pixels by filling them in from their neighbours, the most and the least relevant.

Rong, Leemann, Borisov, Kasneci, Kasneci: A Consistent and Efficient Evaluation Strategy for
Attribution Methods (2022), arXiv:2202.00449, and the authors' code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar

import numpy as np
from pydantic import BeforeValidator, Field
from scipy.sparse import coo_array
from scipy.sparse.linalg import splu

from reportgen.core.settings import NotNegative, settings
from reportgen.methods.base import Context
from reportgen.methods.faithfulness import (
    Faithfulness,
    Figure,
    Measure,
    Subject,
    Tested,
    generator,
    scores,
    several_classes,
)
from reportgen.methods.targets import softmax

ROAD_GAIN = Measure("ROAD", higher=True)
MORF = Measure("most relevant removed", higher=False, judged=False)
LERF = Measure("least relevant removed", higher=True, judged=False)
DIRECT, DIAGONAL = 1 / 6, 1 / 12
NEIGHBOURS = tuple(
    (down, right, DIRECT if 0 in (down, right) else DIAGONAL)
    for down in (-1, 0, 1)
    for right in (-1, 0, 1)
    if (down, right) != (0, 0)
)
Percentile = Annotated[int, Field(ge=1, le=99, strict=True)]


def imputed(pixels: np.ndarray, removed: np.ndarray) -> np.ndarray:
    """Pixels (H, W, C) whose removed ones (H, W) are the weighted mean of their neighbours.

    A direct neighbour weighs 1/6 and a diagonal one 1/12, removed ones too, so the values solve a
    linear system, here exactly. At the border the weights of what is missing are left out and the
    others scaled up to sum to one.

    Not all pixels may be removed.
    """
    rows, columns = np.nonzero(removed)
    if not len(rows):
        return pixels
    unknown, outside = np.arange(len(rows)), -2
    index = np.full(np.add(removed.shape, 2), outside)
    index[1:-1, 1:-1] = -1
    index[rows + 1, columns + 1] = unknown
    padded = np.pad(pixels.astype(np.float64), ((1, 1), (1, 1), (0, 0)))
    total = np.zeros(len(rows))
    known = np.zeros((len(rows), pixels.shape[-1]))
    entries = []
    for down, right, weight in NEIGHBOURS:
        beside = rows + 1 + down, columns + 1 + right
        other = index[beside]
        total += weight * (other != outside)
        known += weight * np.where((other == -1)[:, None], padded[beside], 0)
        linked = other >= 0
        entries.append((np.full(linked.sum(), -weight), unknown[linked], other[linked]))
    entries.append((total, unknown, unknown))
    values, left, right_ = (np.concatenate(parts) for parts in zip(*entries, strict=True))
    system = coo_array((values, (left, right_)), shape=(len(rows), len(rows))).tocsc()
    # Symmetric and diagonally dominant, so that no pivot is needed and fewer entries fill in.
    solved = splu(
        system, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
    ).solve(known)
    filled = pixels.copy()
    filled[rows, columns] = solved
    return filled


@settings
class ROAD(Faithfulness):
    """Settings of the method, besides those of all tests of maps.

    Attributes:
      percentiles: of the pixels, how many percent to remove.
      noise: deviation of the noise on what is filled in, over the range of pixel values; the
        authors' .01 is in units of their normalised input, ours does not depend on it.
    """

    title: ClassVar[str] = "ROAD"
    check: ClassVar[str] = "road"
    intro: ClassVar[str] = (
        "Pixels are removed by filling them in from their neighbours, so that neither holes nor "
        "their shape give anything away. If the map is right, the class goes with the most "
        "relevant ones and stays without the least relevant."
    )
    note: ClassVar[str] = (
        "ROAD is half the difference of the class's probability without the least and without the "
        "most relevant pixels, mean over percentiles: 0 tells nothing, 0.5 is the most."
    )
    measures: ClassVar[tuple[Measure, ...]] = (ROAD_GAIN, MORF, LERF)

    percentiles: Annotated[
        tuple[Percentile, ...],
        BeforeValidator(lambda value: (value,) if isinstance(value, int) else value),
        Field(min_length=1),
    ]
    noise: NotNegative

    def work(self, context: Context) -> int:
        several_classes(context, self.check)
        return super().work(context)

    def test(self, context: Context, subject: Subject) -> Tested:
        pixels = context.images.pixels[subject.place]
        name = context.images.names[subject.place]
        noise = 255 * self.noise * generator(context.key, f"noise:{name}").normal(size=pixels.shape)

        def inputs() -> Iterator[np.ndarray]:
            for name in subject.maps:
                falling = subject.order(name)
                for order in (falling, falling[::-1]):
                    for percentile in self.percentiles:
                        removed = np.zeros(len(order), bool)
                        removed[order[: round(percentile / 100 * len(order))]] = True
                        where = removed.reshape(pixels.shape[:2])
                        filled = imputed(pixels, where) + where[..., None] * noise
                        yield np.asarray(context.model.spec.normalise(filled), np.float32)

        seen = softmax(scores(context.engine, context.model, inputs()))[:, subject.target]
        seen = seen.reshape(len(subject.maps), 2, len(self.percentiles))
        curves = {
            MORF.name: dict(zip(subject.maps, seen[:, 0], strict=True)),
            LERF.name: dict(zip(subject.maps, seen[:, 1], strict=True)),
        }
        means = {
            kind: {name: float(curve.mean()) for name, curve in by_map.items()}
            for kind, by_map in curves.items()
        }
        gain = {
            name: (means[LERF.name][name] - means[MORF.name][name]) / 2 for name in subject.maps
        }
        return Tested(values={ROAD_GAIN.name: gain, **means}, curves=curves)

    def figures(self, context: Context) -> Mapping[str, Figure]:
        x = np.array(self.percentiles, np.float64)
        return {
            measure.name: Figure(
                f"{measure.name[:1].upper()}{measure.name[1:]}",
                x,
                "pixels removed, percent",
                "probability of the class",
                "noisy linear imputation (Rong et al. 2022)",
                detail=f"filled in from neighbours; noise {self.noise:g} of the range of pixels",
            )
            for measure in (MORF, LERF)
        }
