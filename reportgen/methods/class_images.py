"""Class images: for each output, a picture that gives it a high score.

Simonyan, Vedaldi, Zisserman: Deep Inside Convolutional Networks (2013), arXiv:1312.6034; the
procedure is in ``synthesis/class_score.py``.
"""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from reportgen.core.blocks import Block, Montage, Table, Text
from reportgen.core.settings import (
    Count,
    NotNegative,
    Positive,
    Real,
    Reals,
    Texts,
    Whole,
    settings,
)
from reportgen.methods.base import Context, Method, Result
from reportgen.methods.synthesis import class_score
from reportgen.methods.synthesis.batches import at_once
from reportgen.methods.synthesis.pictures import check_drawable, tiles
from reportgen.methods.synthesis.schedule import sizes
from reportgen.methods.targets import class_index, softmax
from reportgen.models.base import Model

_LARGEST = 412


@settings
class ClassImages(Method):
    """Settings of the method; ``conf/method/class_images.yaml`` says what each does."""

    title: ClassVar[str] = "Class images"
    needs_images: ClassVar[bool] = False
    unit: ClassVar[tuple[str, str]] = ("class", "classes")

    classes: Annotated[Texts | None, Field(min_length=1)]
    size: Count | None
    scales: Whole
    factor: Annotated[Positive, Field(gt=1)]
    steps: Count
    step_size: Positive
    start: Real
    noise: NotNegative
    tv_weight: NotNegative
    lp_weight: NotNegative
    lp: Annotated[Positive, Field(ge=1)]
    jitter: Whole
    value_range: Annotated[Reals, Field(min_length=2, max_length=2)]
    batch: Count | None

    def __post_init__(self) -> None:
        low, high = self.value_range
        if not 0 <= low < high <= 255:
            raise ValueError("value_range must be two numbers, the lower first, within 0 to 255")

    def work(self, context: Context) -> int:
        check_drawable(context.model.spec.channels)
        return len(self._classes(context.model))

    def run(self, context: Context) -> Result:
        model = context.model
        classes = self._classes(model)
        low, high = self.value_range
        made = class_score.synthesise(
            model,
            classes,
            class_score.Penalties(
                tv_weight=self.tv_weight,
                lp_weight=self.lp_weight,
                lp=self.lp,
                low=low,
                high=high,
            ),
            key=context.key,
            shapes=self._shapes(model),
            steps=self.steps,
            step_size=self.step_size,
            start=self.start,
            amount=self.noise,
            jitter=self.jitter,
            batch=at_once(self.batch, context.batch),
            advance=context.advance,
        )
        predicted = made.logits.argmax(axis=-1)
        blocks: list[Block] = [self._montage(context, classes, made)]
        if other := [
            f"{model.classes[k]} (taken for {model.classes[p]})"
            for k, p in zip(classes, predicted, strict=True)
            if k != p
        ]:
            text = "The network does not assign these pictures to their own class: "
            blocks.append(Text(text=f"{text}{', '.join(other)}.", tone="note"))
        blocks.append(_table(model, classes, made))
        intro = (
            "For each class a picture that gives its logit a high value, found by gradient ascent "
            "and kept smooth and dark by regularisers: what the network looks for, not what the "
            "class looks like."
        )
        return Result(blocks=tuple(blocks), intro=intro)

    def _classes(self, model: Model) -> list[int]:
        if self.classes is None:
            return list(range(len(model.classes)))
        return list(dict.fromkeys(class_index(model.classes, name) for name in self.classes))

    def _shapes(self, model: Model) -> list[tuple[int, int]]:
        spec = model.spec
        longer = max(spec.height, spec.width)
        size = self.size or max(longer, min(_LARGEST, 2 * longer))
        return [
            (max(2, round(side * spec.height / longer)), max(2, round(side * spec.width / longer)))
            for side in sizes(size, self.scales, self.factor)
        ]

    def _montage(
        self, context: Context, classes: list[int], made: class_score.ClassImages
    ) -> Montage:
        model, shapes = context.model, self._shapes(context.model)
        drawn, colormap = tiles(made.pictures)
        low, high = self.value_range
        height, width = shapes[-1]
        count = f"{len(classes)} of {len(model.classes)} classes"
        return Montage(
            tiles=drawn,
            low=low,
            high=high,
            columns=math.ceil(math.sqrt(len(classes))),
            colormap=colormap,
            gap=5,
            background="black",
            labels=tuple(model.classes[k] for k in classes),
            caption=context.caption(
                "Class images",
                detail=f"{count}, in this order: {_names(model, classes)}; {height}×{width} "
                f"pixels, {low:g} to {high:g}",
                formula=f"ascent of logit − {self.tv_weight:g} Σ(dy² + dx²)/HWC "
                f"− {self.lp_weight:g} L{self.lp:g} (keras-vis), gradient / RMS × "
                f"{self.step_size:g}, jitter {self.jitter}, {self.steps} steps at each of "
                f"{len(shapes)} sizes (Simonyan et al. 2013)",
            ),
        )


def _names(model: Model, classes: list[int], most: int = 20) -> str:
    names = [model.classes[k] for k in classes[:most]]
    return ", ".join(names) + (", …" if len(classes) > most else "")


def _table(model: Model, classes: list[int], made: class_score.ClassImages) -> Table:
    probabilities = softmax(made.logits)
    several = len(model.classes) > 1  # of a single score, softmax and the highest say nothing
    rows = [
        (
            model.classes[k],
            float(made.logits[i, k]),
            *(
                (float(probabilities[i, k]), model.classes[int(np.argmax(made.logits[i]))])
                if several
                else ()
            ),
        )
        for i, k in enumerate(classes)
    ]
    return Table(
        columns=("class", "logit", *(("probability", "predicted") if several else ())),
        rows=tuple(rows),
        caption="What the network makes of each picture.",
    )
