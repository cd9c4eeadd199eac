"""Class images: for each output, a picture that gives it a high score.

Simonyan, Vedaldi, Zisserman: Deep Inside Convolutional Networks (2013), arXiv:1312.6034; the
procedures are ``synthesis/class_score.py`` (``octaves``) and ``synthesis/procedure.py``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from reportgen.core.blocks import Block, Montage, Table, Text
from reportgen.core.settings import Positive, Reals, Texts, Whole, settings
from reportgen.methods.base import Context, Result
from reportgen.methods.class_activation import default_layer
from reportgen.methods.synthesis import class_score, presets, procedure
from reportgen.methods.synthesis.objectives import Objective
from reportgen.methods.synthesis.pictures import tiles
from reportgen.methods.synthesis.schedule import sizes
from reportgen.methods.synthesis.settings import Ascent
from reportgen.methods.targets import class_index, softmax
from reportgen.models.base import Model

_LARGEST = 412


@settings
class ClassImages(Ascent):
    """Settings of the method; ``conf/method/class_images.yaml`` says what each does."""

    title: ClassVar[str] = "Class images"
    unit: ClassVar[tuple[str, str]] = ("class", "classes")
    others: ClassVar[Mapping[str, Mapping[str, Any]]] = {"octaves": presets.OCTAVES}

    classes: Annotated[Texts | None, Field(min_length=1)]
    preset: Literal["octaves", "keras_vis", "tf_keras_vis", "lucid", "maco"]
    scales: Whole | None
    factor: Annotated[Positive | None, Field(gt=1)]
    value_range: Annotated[Reals | None, Field(min_length=2, max_length=2)]

    def check(self, values: Mapping[str, Any]) -> None:
        super().check(values)
        low, high = values.get("value_range", (0, 255))
        if not 0 <= low < high <= 255:
            raise ValueError("value_range must be two numbers, the lower first, within 0 to 255")
        if self.preset == "octaves" and len(values["jitter"]) > 1:
            raise ValueError("the preset octaves takes one jitter, not one before and one after")

    def work(self, context: Context) -> int:
        self.needed(context)
        self._differing(context.model)
        return len(self._classes(context.model))

    def run(self, context: Context) -> Result:
        model = context.model
        classes = self._classes(model)
        if self.preset == "octaves":
            made = self._octaves(context, classes)
        else:
            made = self._ascended(context, classes)
        wanted = np.repeat(classes, self.images)
        predicted = made.logits.argmax(axis=-1)
        blocks: list[Block] = [self._montage(context, classes, made)]
        if other := [
            f"{model.classes[k]} (taken for {model.classes[p]})"
            for k, p in zip(wanted, predicted, strict=True)
            if k != p
        ]:
            text = "The network does not assign these pictures to their own class: "
            blocks.append(Text(text=f"{text}{', '.join(other)}.", tone="note"))
        blocks += [_table(model, wanted, made), self.procedure(context)]
        intro = (
            "For each class a picture that gives its logit a high value, found by gradient ascent: "
            "what the network looks for, not what the class looks like."
        )
        return Result(blocks=tuple(blocks), intro=intro)

    def _octaves(self, context: Context, classes: list[int]) -> class_score.ClassImages:
        values = self.values
        low, high = values["value_range"]
        return class_score.synthesise(
            context.engine,
            self.network(context),
            classes,
            class_score.Penalties(
                tv_weight=values["tv_weight"],
                lp_weight=values["lp_weight"],
                lp=values["lp"],
                low=low,
                high=high,
            ),
            key=context.key,
            shapes=self._shapes(context.model),
            steps=values["steps"],
            step_size=values["step_size"],
            start=values["start"],
            amount=values["noise"],
            jitter=values["jitter"][0],
            batch=self.batch,
            advance=context.advance,
        )

    def _ascended(self, context: Context, classes: list[int]) -> class_score.ClassImages:
        model = context.model
        objective = Objective(kind="class", path=self._differing(model))
        made = procedure.synthesise(
            context.engine,
            self.network(context),
            self.plan(context, objective, self.sides(model, square=False)),
            classes,
            name="class_images",
            key=context.key,
            batch=self.batch,
            advance=context.advance,
        )
        pictures = made.pictures.reshape(-1, *made.pictures.shape[2:])
        logits = context.engine.whole(class_score.Logits(), model, (pictures,))
        return class_score.ClassImages(pictures, logits)

    def _differing(self, model: Model) -> str:
        """The layer where several pictures of a class are to differ."""
        return default_layer(model) if self.images > 1 else ""

    def _classes(self, model: Model) -> list[int]:
        if self.classes is None:
            return list(range(len(model.classes)))
        return list(dict.fromkeys(class_index(model.classes, name) for name in self.classes))

    def _shapes(self, model: Model) -> list[tuple[int, int]]:
        """(H, W) of the pictures of ``octaves``, smallest first."""
        spec, values = model.spec, self.values
        longer = max(spec.height, spec.width)
        size = self.size or max(longer, min(_LARGEST, 2 * longer))
        return [
            (max(2, round(side * spec.height / longer)), max(2, round(side * spec.width / longer)))
            for side in sizes(size, values["scales"], values["factor"])
        ]

    def _montage(
        self, context: Context, classes: list[int], made: class_score.ClassImages
    ) -> Montage:
        model, values, several = context.model, self.values, self.images
        drawn, colormap = tiles(made.pictures)
        low, high = values.get("value_range", (0.0, 255.0))
        height, width = made.pictures.shape[1:3]
        count = f"{len(classes)} of {len(model.classes)} classes"
        if several > 1:
            count += f", {several} pictures each"
        return Montage(
            tiles=drawn,
            low=low,
            high=high,
            columns=several if several > 1 else math.ceil(math.sqrt(len(classes))),
            colormap=colormap,
            gap=5,
            background="black",
            labels=tuple(model.classes[k] for k in np.repeat(classes, several)),
            caption=context.caption(
                "Class images",
                detail=f"{count}, in this order: {_names(model, classes)}; {height}×{width} "
                f"pixels, {low:g} to {high:g}",
                formula=self._octaves_formula()
                if self.preset == "octaves"
                else self.formula("the logit"),
            ),
        )

    def _octaves_formula(self) -> str:
        values = self.values
        return (
            f"octaves: ascent of logit − {values['tv_weight']:g} Σ(dy² + dx²)/HWC − "
            f"{values['lp_weight']:g} L{values['lp']:g} (keras-vis), gradient / RMS × "
            f"{values['step_size']:g}, jitter {values['jitter'][0]}, {values['steps']} steps at "
            f"each of {values['scales'] + 1} sizes (Simonyan et al. 2013)"
        )


def _names(model: Model, classes: list[int], most: int = 20) -> str:
    names = [model.classes[k] for k in classes[:most]]
    return ", ".join(names) + (", …" if len(classes) > most else "")


def _table(model: Model, classes: np.ndarray, made: class_score.ClassImages) -> Table:
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
