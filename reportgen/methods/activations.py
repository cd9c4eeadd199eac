"""Activations: what each layer answers to an image, with statistics, as DIGITS and Caffe do it.

``pictures=channel`` draws one picture for each map, as conviz does.
"""

from __future__ import annotations

from functools import partial
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np

from reportgen.core.blocks import Block, Gallery, GalleryItem, Group, KeyValues, Montage
from reportgen.core.errors import ConfigError, did_you_mean
from reportgen.core.settings import Indices, Texts, settings
from reportgen.core.statistics import statistics
from reportgen.methods.base import Context, Result
from reportgen.methods.layer_blocks import positive_histogram, unit_curve, value_histogram
from reportgen.methods.tiles import Tiled, value_range
from reportgen.methods.weights import select_indices
from reportgen.models.base import LayerInfo, Model

# These pass on the values of the layer before them.
_REPEATS = ("flatten", "dropout")
_COMPARED = 12  # channels that are compared across images
_NAMED = 8  # images up to which their names are in the caption


@partial(jax.jit, static_argnames="paths")
def capture(model: Model, x: jax.Array, paths: tuple[str, ...]) -> dict[str, jax.Array]:
    """Outputs of some layers for inputs (N, H, W, C), normalised; nothing after them is run."""
    activations = model.apply(x)[1]
    return {path: activations[path] for path in paths}


@settings
class Activations(Tiled):
    """Settings of the method, besides those of all that draw tiles.

    Attributes:
      layers: which layers; None for the configuration's.
      images: indices in the data source.
      channels: channels shown, of all layers or by layer's path; None, and what is not named: all.
      scale: ``joint`` range of the layer, or of ``each`` map.
      dense: how layers without maps are drawn: a ``curve``, or ``tiles`` of one value each.
    """

    title: ClassVar[str] = "Activations"
    unit: ClassVar[tuple[str, str]] = ("layer", "layers")

    layers: Texts | None
    images: Indices
    channels: Indices | dict[str, Indices] | None
    scale: Literal["joint", "each"]
    dense: Literal["curve", "tiles"]

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
        spatial = [layer for layer in context.layers if layer.spatial]
        if isinstance(self.channels, dict):
            paths = [layer.path for layer in context.model.layers if layer.spatial]
            if unknown := [path for path in self.channels if path not in paths]:
                raise ConfigError(
                    f"method.activations.channels: there is no layer {unknown[0]} with maps.",
                    did_you_mean(unknown[0], paths),
                )
        for layer in spatial:
            self._channels(layer)
        return len(context.layers)

    def _channels(self, layer: LayerInfo) -> np.ndarray:
        wanted = self.channels
        if isinstance(wanted, dict):
            wanted = wanted.get(layer.path)
        return select_indices(layer.shape[2], wanted, "channels", layer.path)

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
            parts: list[Block] = self._across(context, layer, names, outputs[layer.path])
            for name, values in zip(names, outputs[layer.path], strict=True):
                parts += self._image(context, layer, name, values)
            shape = " × ".join(map(str, layer.shape))
            blocks.append(
                Group(
                    title=layer.path,
                    layer=layer.path,
                    subtitle=f"{layer.kind}, {shape}",
                    blocks=tuple(parts),
                )
            )
            context.advance(1)
        return Result(
            blocks=tuple(blocks),
            intro="What each layer answers, in execution order: maps of the channels where the "
            "output has height and width, else one value a unit.",
        )

    def _across(
        self, context: Context, layer: LayerInfo, names: list[str], values: np.ndarray
    ) -> list[Block]:
        """Maps (images, h, w, channels) of some channels: a row an image, a column a channel.

        Channels are those whose maps differ most from image to image: by the variance over images,
        averaged over places.
        """
        if values.ndim != 4 or len(values) < 2:
            return []
        shown = self._channels(layer)
        height, width = (side + self.gap for side in values.shape[1:3])
        columns = min(len(shown), _COMPARED, max(1, self.max_side // width))
        drawn = min(len(names), max(1, self.max_side // height))
        with np.errstate(invalid="ignore", over="ignore"):
            spread = values[..., shown].var(axis=0, dtype=np.float64).mean(axis=(0, 1))
        order = np.argsort(-np.nan_to_num(spread), kind="stable")
        told = shown[order[:columns]]
        tiles = values[:drawn][..., told].transpose(0, 3, 1, 2)
        low, high = value_range(tiles, "joint")
        rows = (
            f"rows: {', '.join(names[:drawn])}"
            if drawn <= _NAMED
            else "a row an image, in their order"
        )
        rest = "" if drawn == len(names) else f"; the first {drawn} of {len(names)} images"
        return [
            Montage(
                tiles=np.ascontiguousarray(tiles.reshape(-1, *tiles.shape[2:])),
                low=low,
                high=high,
                columns=columns,
                gap=self.gap,
                interpolation=self.interpolation,
                colormap=context.colormap.activations,
                labels=tuple(f"{name} · channel {c}" for name in names[:drawn] for c in told),
                caption=context.caption(
                    f"{layer.path} · across images",
                    f"method.activations.layers=[{layer.path}]",
                    detail=f"{rows}; columns: channels {', '.join(map(str, told))}, the {columns} "
                    f"of {layer.shape[2]} that differ most from image to image{rest}",
                    formula="raw output of the layer, joint range; channels by their variance "
                    "over images, averaged over places",
                ),
            )
        ]

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
            picture: list[Block] = [*self._maps(context, layer, name, values, chosen)]
        elif self.dense == "tiles":
            picture = [self._units(context, layer, title, values, chosen)]
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
        numbers: list[Block] = [facts, value_histogram(context, title, stats, chosen)]
        many = values.ndim == 3 and self.pictures == "channel"
        # Many small pictures come last; one large picture first, with its numbers beside it.
        return [*numbers, *picture] if many else [*picture, *numbers]

    def _maps(
        self, context: Context, layer: LayerInfo, image: str, values: np.ndarray, chosen: str
    ) -> list[Montage]:
        """Maps (h, w, channels) as one picture, or as one for each channel."""
        title = f"{layer.path} · {image}"
        channels = self._channels(layer)
        tiles = values[:, :, channels].transpose(2, 0, 1)
        ranges = "the layer's range" if self.scale == "joint" else "each map's own range"
        draw = partial(
            self.montage, what="channels", colormap=context.colormap.activations, scale=self.scale
        )
        caption = partial(
            context.caption,
            detail=f"{' × '.join(map(str, values.shape))} (H × W × channels)",
            formula=f"raw output of the layer, {ranges}",
        )
        names = [f"channel {c}" for c in channels]
        if self.pictures == "layer":
            return [draw(tiles, names, caption=caption(title, chosen), limits="joint")]
        limits = value_range(values, "joint")
        return [
            draw(
                tile[None],
                [name],
                caption=caption(f"{title} · {name}", chosen, f"method.activations.channels=[{c}]"),
                limits=limits,
                part=name if len(self.images) == 1 else f"{image} {name}",
            )
            for c, tile, name in zip(channels, tiles, names, strict=True)
        ]

    def _units(
        self, context: Context, layer: LayerInfo, title: str, values: np.ndarray, chosen: str
    ) -> Montage:
        """Units (N,) as tiles of one value; of softmax over the whole range of probabilities."""
        softmax = layer.kind == "softmax"
        ranges = "unnormalised: 0 to 1" if softmax else "the layer's range"
        return self.montage(
            values[:, None, None],
            [f"unit {i}" for i in range(len(values))],
            caption=context.caption(
                title,
                chosen,
                detail=f"{len(values)} units, a tile each",
                formula=f"raw output of the layer, {ranges}",
            ),
            what="units",
            colormap=context.colormap.activations,
            limits=(0.0, 1.0) if softmax else "joint",
        )
