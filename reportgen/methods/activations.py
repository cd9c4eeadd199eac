"""Activations: what each layer answers to an image, with statistics, as DIGITS and Caffe do it."""

from __future__ import annotations

from functools import partial
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np

from reportgen.core.blocks import Block, Gallery, GalleryItem, Group, KeyValues, Montage
from reportgen.core.errors import ConfigError
from reportgen.core.settings import Count, Indices, Texts, settings
from reportgen.core.statistics import statistics
from reportgen.methods.base import Context, Method, Result
from reportgen.methods.layer_blocks import positive_histogram, unit_curve, value_histogram
from reportgen.methods.tiles import square_grid
from reportgen.methods.weights import LABELLED, select_indices, value_range
from reportgen.models.base import LayerInfo, Model

# These pass on the values of the layer before them.
_REPEATS = ("flatten", "dropout")


@partial(jax.jit, static_argnames="paths")
def capture(model: Model, x: jax.Array, paths: tuple[str, ...]) -> dict[str, jax.Array]:
    """Outputs of some layers for inputs (N, H, W, C), normalised; nothing after them is run."""
    activations = model.apply(x)[1]
    return {path: activations[path] for path in paths}


@settings
class Activations(Method):
    """Settings of the method.

    Attributes:
      layers: which layers; None for the configuration's.
      images: indices in the data source.
      channels: channels shown; None for all.
      scale: ``joint`` range of the layer, or of ``each`` map.
      max_side: longest side of a montage in pixels.
    """

    title: ClassVar[str] = "Activations"
    unit: ClassVar[tuple[str, str]] = ("layer", "layers")

    layers: Texts | None
    images: Indices
    channels: Indices | None
    scale: Literal["joint", "each"]
    max_side: Count

    def rejects(self, layer: LayerInfo) -> str:
        if layer.kind in _REPEATS:
            return f"{layer.path} ({layer.kind}) only repeats the layer before it"
        if len(layer.shape) not in (1, 3):
            return f"{layer.path} has outputs of shape {layer.shape}, neither maps nor units"
        return ""

    def work(self, context: Context) -> int:
        images = context.images
        if outside := [i for i in self.images if i >= images.first(i + 1)]:
            raise ConfigError(
                f"method.activations.images has {outside[0]}; there are {len(images)} images.",
                f"They are counted from 0 to {len(images) - 1}.",
            )
        for layer in context.layers:
            if layer.spatial:
                select_indices(layer.shape[2], self.channels, "channels", layer.path)
        return len(context.layers)

    def run(self, context: Context) -> Result:
        images, model = context.images, context.model
        x = jnp.asarray(model.spec.normalise(images.pixels[list(self.images)]))
        paths = tuple(layer.path for layer in context.layers)
        outputs = {path: np.asarray(a) for path, a in capture(model, x, paths).items()}
        names = [images.names[i] for i in self.images]
        blocks: list[Block] = [
            Gallery(
                items=tuple(
                    GalleryItem(image=images.pixels[i], title=images.names[i]) for i in self.images
                ),
                caption=context.caption("What the network was shown"),
            )
        ]
        for layer in context.layers:
            parts: list[Block] = []
            for name, values in zip(names, outputs[layer.path], strict=True):
                parts += self._image(context, layer, name, values)
            shape = " × ".join(map(str, layer.shape))
            blocks.append(
                Group(title=layer.path, subtitle=f"{layer.kind}, {shape}", blocks=tuple(parts))
            )
            context.advance(1)
        return Result(
            blocks=tuple(blocks),
            intro="What each layer answers, in execution order: maps of the channels where the "
            "output has height and width, else one value a unit.",
        )

    def _image(
        self, context: Context, layer: LayerInfo, name: str, values: np.ndarray
    ) -> list[Block]:
        chosen = f"method.activations.layers=[{layer.path}]"
        title = f"{layer.path} · {name}"
        stats = statistics(values)
        facts = stats.block()
        if values.ndim == 3:
            silent = int((values == 0).all(axis=(0, 1)).sum())
            facts = KeyValues(
                pairs=(*facts.pairs, ("channels that are zero everywhere", silent)),
                title=facts.title,
            )
            picture: list[Block] = [self._montage(context, layer, title, values, chosen)]
        else:
            softmax = layer.kind == "softmax"
            picture = [
                unit_curve(
                    context,
                    title,
                    values,
                    chosen,
                    y_label="probability" if softmax else "activation",
                    y_range=(0.0, 1.0) if softmax else None,
                    detail=f"{len(values)} units"
                    + (", unnormalised: the axis is 0 to 1" if softmax else ""),
                ),
                positive_histogram(context, title, values, chosen),
            ]
        return [*picture, facts, value_histogram(context, title, stats, chosen)]

    def _montage(
        self, context: Context, layer: LayerInfo, title: str, values: np.ndarray, chosen: str
    ) -> Montage:
        channels = select_indices(values.shape[2], self.channels, "channels", layer.path)
        tiles = values[:, :, channels].transpose(2, 0, 1)
        low, high = value_range(tiles, "joint")
        grid = square_grid(len(tiles), values.shape[:2], self.max_side)
        shape = " × ".join(map(str, values.shape))
        ranges = "the layer's range" if self.scale == "joint" else "each map's own range"
        return Montage(
            tiles=np.ascontiguousarray(tiles[: grid.drawn]),
            low=low,
            high=high,
            scale=self.scale,
            columns=grid.columns,
            colormap=context.colormap.activations,
            labels=tuple(f"channel {c}" for c in channels[: grid.drawn])
            if grid.drawn <= LABELLED
            else (),
            caption=context.caption(
                title,
                chosen,
                detail="; ".join(
                    filter(None, (f"{shape} (H × W × channels)", grid.cut(len(tiles), "channels")))
                ),
                formula=f"raw output of the layer, {ranges}",
            ),
        )
