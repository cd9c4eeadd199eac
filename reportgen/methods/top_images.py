"""Top images: for each unit the pieces of the data that drive it most, and a picture made to.

As in Zeiler and Fergus (2013) and Yosinski et al.: Understanding Neural Networks Through Deep
Visualization (2015): the largest response in each image, the images with the largest ones, each cut
at the unit's receptive field, beside a synthesised picture and the distribution of all responses.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, ClassVar

import jax
import numpy as np
from pydantic import BeforeValidator, Field

from reportgen.core.blocks import Block, Caption, Group, Histogram, KeyValues, Montage, Text
from reportgen.core.images import ImageBatch
from reportgen.core.settings import Count, Indices, Texts, Whole, settings
from reportgen.methods.base import Context, Method, Result, fold_in_name
from reportgen.methods.filters import Filters
from reportgen.methods.leaders import Leaders, Responses
from reportgen.methods.synthesis.pictures import tiles as drawable
from reportgen.methods.synthesis.units import Made
from reportgen.methods.targets import normalised
from reportgen.methods.weights import select_indices
from reportgen.models.base import LayerInfo
from reportgen.rewrite.receptive import Field as ReceptiveField
from reportgen.rewrite.receptive import receptive_field

# Of the synthesis: what the method itself says, or what has no meaning for one unit after another.
_NOT_TAKEN = ("layers", "units", "keep", "position", "direction")


def _keys(synthesis: Any) -> Any:
    """The keys of method.filters without the name of its class."""
    if not isinstance(synthesis, Mapping):
        return synthesis
    return {name: value for name, value in synthesis.items() if name != "_target_"}


@settings
class TopImages(Method):
    """Settings of the method.

    Attributes:
      layers: which layers; None for the configuration's.
      units: indices of channels or units; None for the first ``first``.
      first: how many units of each layer, where none are named.
      keep: images for each unit.
      synthesis: how a picture of each unit is made; None for none.
      seed: of the pictures.
    """

    title: ClassVar[str] = "Top images"
    unit: ClassVar[tuple[str, str]] = ("image or unit", "images and units")

    layers: Texts | None
    units: Annotated[Indices | None, Field(min_length=1)]
    first: Count
    keep: Count
    synthesis: Annotated[Filters | None, BeforeValidator(_keys)]
    seed: Whole

    def __post_init__(self) -> None:
        given = [name for name in _NOT_TAKEN if getattr(self.synthesis, name, None) is not None]
        if given:
            raise ValueError(
                f"synthesis takes no {', '.join(given)}: it makes one picture of each unit of "
                "method.top_images.layers and units"
            )

    def rejects(self, layer: LayerInfo) -> str:
        name = f"{layer.path} ({layer.kind})"
        if len(layer.shape) not in (1, 3) or layer.kind == "attention":
            return f"{name} has outputs of shape {layer.shape}, neither maps nor units"
        if self.layers is None and layer.kind not in ("conv", "conv_transpose", "dense"):
            return f"{name} has no units of its own (method.top_images.layers takes it anyway)"
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
        return tuple(select_indices(count, self.units, "units", layer.path))

    def run(self, context: Context) -> Result:
        images, model = context.images, context.model
        paths = tuple(layer.path for layer in context.layers)
        units = tuple(self._units(layer) for layer in context.layers)
        leaders = {
            path: Leaders.none(len(own), self.keep) for path, own in zip(paths, units, strict=True)
        }
        seen = 0
        program, pixels = Responses(paths, units), normalised(model, images)
        for chunk in context.engine.map(program, model, pixels, images.listed, context.advance):
            for path, values in chunk.made.items():
                leaders[path].take(values, chunk.start)
            seen += chunk.count
        blocks: list[Block] = []
        closed = model.traced()
        for layer, own in zip(context.layers, units, strict=True):
            answers = _Answers(
                layer=layer,
                field=receptive_field(closed, layer.path) if layer.spatial else None,
                leaders=leaders[layer.path],
                made=self._made(context, layer, own),
            )
            blocks += [_group(context, answers, unit, k) for k, unit in enumerate(own)]
        intro = (
            f"The pieces of {seen} images that drive each unit most, largest first, each cut at "
            "the receptive field of the place that answered, and how the unit answers to all."
        )
        if self.synthesis is not None:
            intro += " Beside them a picture that gradient ascent made to drive the unit."
            blocks.append(self.synthesis.procedure(context))
        return Result(blocks=tuple(blocks), intro=intro)

    def _made(self, context: Context, layer: LayerInfo, units: tuple[int, ...]) -> Made | str:
        if self.synthesis is None:
            return ""
        # The key of filters, for the same pictures as there.
        key = fold_in_name(jax.random.key(self.seed), "filters")
        return self.synthesis.made(replace(context, key=key), layer, units)


@dataclass(frozen=True, kw_only=True)
class _Answers:
    """What the units of one layer answered, and pictures of them or why there are none."""

    layer: LayerInfo
    field: ReceptiveField | None
    leaders: Leaders
    made: Made | str


def _group(context: Context, answers: _Answers, unit: int, k: int) -> Group:
    """The ``k``-th of the layer's units that were asked for."""
    path = answers.layer.path
    title = f"{path} · {unit}"
    caption = partial(
        _caption,
        context,
        title,
        (f"method.top_images.layers=[{path}]", f"method.top_images.units=[{unit}]"),
    )
    pictures: list[Block] = []
    notes: list[Block] = []
    made = answers.made
    if isinstance(made, str):
        notes += [Text(text=made, tone="note")] if made else []
    elif made.alive[k]:
        pictures.append(_synthesised(made, k, caption))
    else:
        notes.append(Text(text="Nothing made this unit respond: no picture of it.", tone="warning"))
    counts, edges = answers.leaders.histogram(k)
    histogram = Histogram(
        counts=counts,
        edges=edges,
        x_label="activation",
        caption=caption("all responses", detail="at every place of every image"),
    )
    shown = _crops(context.images, answers, k, caption)
    return Group(
        title=title,
        subtitle=answers.layer.kind,
        blocks=(*shown[:1], *pictures, *shown[1:], histogram, *notes),
    )


def _caption(
    context: Context, unit: str, chosen: tuple[str, ...], what: str, **words: str
) -> Caption:
    return context.caption(f"{unit} · {what}", *chosen, **words)


def _synthesised(made: Made, k: int, caption: Callable[..., Caption]) -> Montage:
    drawn, colormap = drawable(made.pictures[k])
    score = f"{made.climbed}: {made.score[k]:.4g}"
    if made.first is not None:
        score += f", at the start {made.first[k]:.4g}"
    return Montage(
        tiles=drawn,
        low=0.0,
        high=made.high,
        columns=len(drawn),
        colormap=colormap,
        gap=5,
        part="synthesised",
        caption=caption("synthesised", detail=score, formula=made.formula),
    )


def _crops(
    images: ImageBatch, answers: _Answers, k: int, caption: Callable[..., Caption]
) -> tuple[Block, ...]:
    """The pieces of images, and what the unit answered to each."""
    found = answers.leaders
    count = int(np.isfinite(found.values[k]).sum())
    if not count:
        return (Text(text="The unit answered to no image with a finite number.", tone="warning"),)
    chosen = found.images[k, :count].tolist()
    tiles = np.stack(
        [
            _crop(images.pixels[image], answers.field, answers.layer, int(place))
            for image, place in zip(chosen, found.places[k, :count], strict=True)
        ]
    )
    drawn, colormap = drawable(tiles)
    height, width = tiles.shape[1:3]
    montage = Montage(
        tiles=drawn,
        low=0.0,
        high=255.0,
        colormap=colormap,
        columns=math.ceil(math.sqrt(count)),
        gap=max(1, height // 50),
        caption=caption(
            "top images",
            detail=f"{height} × {width} pixels of each image, white where the receptive field "
            "leaves it",
            formula="largest response of each image, images by response (Zeiler and Fergus 2013)",
        ),
    )
    responses = zip(chosen, found.values[k, :count].tolist(), strict=True)
    return montage, KeyValues(
        title="largest response, in reading order",
        pairs=tuple((images.names[image], value) for image, value in responses),
    )


def _crop(
    image: np.ndarray, field: ReceptiveField | None, layer: LayerInfo, place: int
) -> np.ndarray:
    """The pixels (h, w, C) that a place looks at; all crops of a layer have one size."""
    height, width = image.shape[:2]
    if field is None:
        return image
    row, column = divmod(place, layer.shape[1])
    top, bottom, left, right = field.box(row, column, (height, width))
    if bottom - top >= height and right - left >= width:
        return image
    crop = np.full((bottom - top, right - left, image.shape[2]), 255.0, np.float32)
    inside = image[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    down, across = max(-top, 0), max(-left, 0)
    crop[down : down + inside.shape[0], across : across + inside.shape[1]] = inside
    return crop
