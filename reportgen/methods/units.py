"""Units: what each one answers to, what is made of its answers, and which do nothing of their own.

As in Zeiler and Fergus (2013) and Yosinski et al.: Understanding Neural Networks Through Deep
Visualization (2015): the largest response in each image, the images with the largest ones, each cut
at the unit's receptive field, beside a synthesised picture and the distribution of all responses.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar

import jax
import numpy as np
from pydantic import BeforeValidator, Field

from reportgen.core.blocks import Block, Finding, Group, Text, Units
from reportgen.core.messages import listed
from reportgen.core.settings import Count, Fraction, Indices, Texts, Whole, settings
from reportgen.engine.programs import Rows
from reportgen.engine.rows import Source
from reportgen.methods.answers import (
    Answers,
    Effects,
    Peaks,
    Seen,
    Totals,
    named,
    pixels,
    spans,
)
from reportgen.methods.base import Context, Method, Result, fold_in_name
from reportgen.methods.crops import crop, middle, reduced, side
from reportgen.methods.filters import Filters
from reportgen.methods.kernels import kernel_parts, repeated, unit_kernel
from reportgen.methods.leaders import Leaders
from reportgen.methods.streamed import streamed
from reportgen.methods.survey import heard_at
from reportgen.methods.synthesis.units import Made
from reportgen.methods.weights import select_indices
from reportgen.models.base import LayerInfo
from reportgen.rewrite.receptive import Field as ReceptiveField
from reportgen.rewrite.receptive import receptive_field
from reportgen.rewrite.units import groups

# Of the synthesis: what the method itself says, or what has no meaning for one unit after another.
_NOT_TAKEN = ("layers", "units", "keep", "position", "direction", "images")
# Longest sides, and pixels of all of a layer: a page of many layers opens fast.
_CROP, _CROPS = 64, 2 << 20
_PICTURE, _PICTURES = 128, 1 << 20
_ENOUGH = 100  # images: fewer do not tell a dead unit from one that waits for another picture


def _keys(synthesis: Any) -> Any:
    """The keys of method.filters without the name of its class."""
    if not isinstance(synthesis, Mapping):
        return synthesis
    return {name: value for name, value in synthesis.items() if name != "_target_"}


@settings
class UnitCards(Method):
    """Settings of the method.

    Attributes:
      layers: which layers; None for the configuration's.
      units: indices of channels or units that get a card; None for the first ``first``.
      first: how many units of each layer, where none are named.
      keep: images for each unit.
      classes: how many classes are named that a unit helps; 0 for none, which saves the run of the
        network back.
      repeats: the cosine of two kernels above which one repeats the other.
      dead: share of a layer's units that may be dead before that is a warning.
      synthesis: how a picture of each unit is made; None for none.
      seed: of the pictures.
    """

    title: ClassVar[str] = "Units"
    unit: ClassVar[tuple[str, str]] = ("image or unit", "images and units")

    layers: Texts | None
    units: Annotated[Indices | None, Field(min_length=1)]
    first: Count
    keep: Count
    classes: Whole
    repeats: Fraction
    dead: Fraction
    synthesis: Annotated[Filters | None, BeforeValidator(_keys)]
    seed: Whole

    def __post_init__(self) -> None:
        unset = {"images": 1}
        given = [
            name
            for name in _NOT_TAKEN
            if getattr(self.synthesis, name, unset.get(name)) != unset.get(name)
        ]
        if given:
            raise ValueError(
                f"synthesis takes no {', '.join(given)}: it makes one picture of each unit of "
                "method.units.layers and units"
            )

    def rejects(self, layer: LayerInfo) -> str:
        name = f"{layer.path} ({layer.kind})"
        if len(layer.shape) not in (1, 3) or layer.kind == "attention":
            return f"{name} has outputs of shape {layer.shape}, neither maps nor units"
        if self.layers is None and layer.kind not in ("conv", "conv_transpose", "dense"):
            return f"{name} has no units of its own (method.units.layers takes it anyway)"
        return ""

    def work(self, context: Context) -> int:
        units = sum(len(self._units(layer)) for layer in context.layers)
        if self.synthesis is None:
            return context.images.listed
        self.synthesis.needed(context)
        return context.images.listed + units

    def _units(self, layer: LayerInfo) -> tuple[int, ...]:
        count = layer.shape[-1]
        if self.units is None:
            return tuple(range(min(self.first, count)))
        return tuple(select_indices(count, self.units, "units", layer.path).tolist())

    def run(self, context: Context) -> Result:
        closed = context.model.traced()
        grouped = groups(closed)
        seen = self._streamed(context)
        blocks: list[Block] = []
        findings: list[Finding] = []
        for layer in context.layers:
            own = self._units(layer)
            field = receptive_field(closed, layer.path) if layer.spatial else None
            kernel = unit_kernel(context.model, layer)
            repeats = np.full(layer.shape[-1], -1)
            if kernel is not None:
                repeats = repeated(kernel, grouped.get(layer.path, 1), self.repeats)
            made = self._made(context, layer, own)
            dead = seen.dead(layer)
            block = Units(
                layer=layer.path,
                count=layer.shape[-1],
                indices=np.asarray(own),
                **seen.measures(layer, context.model.classes, self.classes),
                dead=dead[list(own)],
                repeats=repeats[list(own)],
                **_crops(context, layer, field, seen.leaders.of(seen.units[layer.path])),
                **_pictures(made, field if self._neuron else None),
                **self._kernels(context, kernel, own),
                colormap=context.colormap.weights,
                caption=context.caption(
                    f"{layer.path} · units",
                    f"method.units.layers=[{layer.path}]",
                    detail=self._detail(seen, layer, len(own)),
                    formula="largest response of each image, images by response (Zeiler and Fergus "
                    "2013)" + _helps(self.classes) + _synthesised(made),
                ),
            )
            notes = (Text(text=made, tone="note"),) if isinstance(made, str) and made else ()
            shape = " × ".join(map(str, layer.shape))
            blocks.append(
                Group(
                    title=layer.path,
                    subtitle=f"{layer.kind}, {shape}",
                    layer=layer.path,
                    blocks=(block, *notes),
                )
            )
            findings += self._findings(layer, dead, repeats, seen.count)
        if self.synthesis is not None:
            blocks.append(self.synthesis.procedure(context))
        return Result(blocks=tuple(blocks), intro=self._intro(seen.count), findings=tuple(findings))

    def _streamed(self, context: Context) -> Seen:
        """All images, once through the network."""
        units = {layer.path: self._units(layer) for layer in context.layers}
        shapes = {layer.path: layer.shape for layer in context.model.layers}
        known = heard_at(context.model)
        heard = {path: known[path] for path in units if path in known}
        readers = {witness: shapes[witness][-1] for witness in heard.values()}
        # A rectifier reads a layer's units where they are, or one by one behind it.
        places = np.repeat(
            [math.prod(shapes[path][:-1]) for path in units], [len(own) for own in units.values()]
        )
        program = Answers(
            tuple(units),
            tuple(units.values()),
            tuple(heard.get(path, path) for path in units),
            tuple(readers),
        )
        totals = Totals.none(places)
        seen = Seen(
            spans({path: len(own) for path, own in units.items()}),
            spans(readers),
            heard,
            Leaders.none(len(places), self.keep),
            totals,
            Totals.none(places) if program.behind else totals,
            Peaks(np.full(sum(readers.values()), -np.inf)),
            Effects.none(len(context.model.classes), len(places)),
        )
        streamed(
            context.engine,
            program,
            context.model,
            _labelled(context) if self.classes else pixels(context.images),
            context.images.listed,
            context.advance,
            seen.take,
            seen.sums,
        )
        seen.count = context.images.first(context.images.listed)
        return seen

    @property
    def _neuron(self) -> bool:
        """Whether one place in the middle of the map is driven."""
        return self.synthesis is not None and self.synthesis.objective == "neuron"

    def _made(self, context: Context, layer: LayerInfo, units: tuple[int, ...]) -> Made | str:
        if self.synthesis is None:
            return ""
        # The key of filters, for the same pictures as there.
        key = fold_in_name(jax.random.key(self.seed), "filters")
        return self.synthesis.made(replace(context, key=key), layer, units)

    def _kernels(
        self, context: Context, kernel: np.ndarray | None, units: tuple[int, ...]
    ) -> dict[str, Any]:
        if kernel is None:
            return {}
        spec = context.model.spec
        parts, inputs = kernel_parts(kernel, units, spec.order if spec.channels == 3 else "")
        return {"kernels": parts, "inputs": inputs}

    def _detail(self, seen: Seen, layer: LayerInfo, shown: int) -> str:
        units = layer.shape[-1]
        detail = f"all {units} units" if shown == units else f"{shown} of {units} units"
        detail += f", what they answer to {seen.count} images"
        heard = seen.heard.get(layer.path)
        if heard is None:
            return f"{detail}; no rectifier reads them, so that none can be dead"
        return detail + (f"; zero is where the rectifier reads {heard}" * (heard != layer.path))

    def _intro(self, images: int) -> str:
        intro = (
            f"All that is known of a unit on one card: the pieces of {images} images that drive it "
            "most, each cut at the receptive field of the place that answered; its kernel; how it "
            "answers to all images."
        )
        if self.synthesis is not None:
            intro += " Beside the pieces stands a picture that gradient ascent made to drive it."
        if self.classes:
            intro += (
                " A unit helps a class by what the class's logit would lose without it, to the "
                "first order, in images of that class."
            )
        return intro

    def _findings(
        self, layer: LayerInfo, dead: np.ndarray, repeats: np.ndarray, images: int
    ) -> Iterator[Finding]:
        units, path = layer.shape[-1], layer.path
        if silent := np.flatnonzero(dead).tolist():
            few, share = images < _ENOUGH, len(silent) / units
            yield Finding(
                severity="info" if few or share <= self.dead else "warn",
                check="units",
                message=f"Dead units of {path}, {len(silent)} of {units}: a rectifier reads them, "
                f"and none of {images} images makes them answer above zero: "
                f"{listed(silent)}.",
                where=path,
                value=share,
                threshold=self.dead,
                advice="Look at more images first: these are too few to tell a dead unit from one "
                "that waits for another picture."
                if few
                else "Prune them, or train again with a lower learning rate.",
            )
        if again := np.flatnonzero(repeats >= 0).tolist():
            pairs = [f"{unit} repeats {repeats[unit]}" for unit in again]
            yield Finding(
                severity="info",
                check="units",
                message=f"Units of {path} that repeat another, {len(again)} of {units}, by the "
                f"cosine of their kernels: {listed(pairs)}.",
                where=path,
                value=len(again) / units,
                advice="The layer is wider than what it has learned: a narrower one may do.",
            )


def _labelled(context: Context) -> Source:
    """Images, and whose logit counts: the label's, or without labels the predicted class's."""
    labels = context.images.labels

    def source(start: int, stop: int) -> Rows:
        x = context.images.pixels[start:stop]
        if labels is None:
            return x, np.full(len(x), -1, np.int32)
        return x, labels[start : start + len(x)].astype(np.int32)

    return source


def _crops(
    context: Context, layer: LayerInfo, field: ReceptiveField | None, leaders: Leaders
) -> dict[str, Any]:
    """The pieces of images that drive each unit most, as ``Units`` has them."""
    images = context.images
    known = np.isfinite(leaders.values)
    longest = side(leaders.values.size, _CROP, _CROPS)
    blank = crop(images.pixels[0], field, layer, 0)
    small = reduced(blank, longest)
    crops = np.full((*leaders.values.shape, *small.shape), 255, np.uint8)
    for unit, k in zip(*np.nonzero(known), strict=True):
        image = images.pixels[int(leaders.images[unit, k])]
        place = int(leaders.places[unit, k])
        crops[unit, k] = reduced(crop(image, field, layer, place), longest)
    names, index = named(np.where(known, leaders.images, -1))
    return {
        "crops": crops,
        "crop_size": blank.shape[:2],
        "responses": np.where(known, leaders.values, 0.0),
        "images": index,
        "names": tuple(images.names[i] for i in names),
    }


def _pictures(made: Made | str, field: ReceptiveField | None) -> dict[str, Any]:
    """What was synthesised, as ``Units`` has it.

    Args:
      field: of the layer, where a single place of its map was driven.
    """
    if isinstance(made, str):
        return {}
    drawn = middle(made.pictures[:, 0], field) * (255.0 / made.high)
    longest = side(len(drawn), _PICTURE, _PICTURES)
    return {
        "pictures": np.stack([reduced(picture, longest) for picture in drawn]),
        "score": np.where(made.alive, made.score, np.nan),
        "climbed": made.climbed,
    }


def _helps(classes: int) -> str:
    if not classes:
        return ""
    return "; effect on a class: mean of response × gradient (Molchanov et al. 2019)"


def _synthesised(made: Made | str) -> str:
    return "" if isinstance(made, str) else f"; synthesised: {made.formula}"
