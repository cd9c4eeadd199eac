"""Weights: kernels as montages, dense layers as curves, with statistics, as DIGITS shows them.

``pictures=channel`` draws one picture for each input channel, as conviz does.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from reportgen.core.blocks import Block, Group, Montage, Table
from reportgen.core.errors import ConfigError
from reportgen.core.settings import Indices, Texts, settings
from reportgen.core.statistics import statistics
from reportgen.methods.base import Context, Result
from reportgen.methods.layer_blocks import positive_histogram, unit_curve, value_histogram
from reportgen.methods.tiles import Tiled, value_range
from reportgen.models.base import LayerInfo


def select_indices(axis: int, wanted: Indices | None, what: str, path: str) -> np.ndarray:
    """Indices along an axis of that length; all of them if none is wanted.

    Raises:
      ConfigError: for an index outside the layer.
    """
    if wanted is None:
        return np.arange(axis)
    if outside := [index for index in wanted if index >= axis]:
        raise ConfigError(
            f"{path} has {axis} {what}; there is no {what.rstrip('s')} {outside[0]}.",
            f"They are counted from 0 to {axis - 1}.",
        )
    return np.asarray(wanted, np.int64)


@settings
class Weights(Tiled):
    """Settings of the method, besides those of all that draw tiles.

    Attributes:
      layers: which layers; None for the configuration's.
      filters, channels: output and input channels shown; None for all.
      scale: ``symmetric`` about zero, or ``joint`` minimum to maximum of the layer.
    """

    title: ClassVar[str] = "Weights"
    needs_images: ClassVar[bool] = False
    unit: ClassVar[tuple[str, str]] = ("layer", "layers")

    layers: Texts | None
    filters: Indices | None
    channels: Indices | None
    scale: Literal["symmetric", "joint"]

    def rejects(self, layer: LayerInfo) -> str:
        drawn = any(len(shape) in (2, 4) for _, shape in layer.parameters)
        return "" if drawn else f"{layer.path} ({layer.kind}) has no kernel"

    def work(self, context: Context) -> int:
        for layer in context.layers:
            for _, shape in layer.parameters:
                if len(shape) == 4:
                    select_indices(shape[2], self.channels, "channels", layer.path)
                    select_indices(shape[3], self.filters, "filters", layer.path)
        return len(context.layers)

    def run(self, context: Context) -> Result:
        groups = []
        for layer in context.layers:
            groups.append(self._layer(context, layer))
            context.advance(1)
        return Result(
            blocks=tuple(groups),
            intro="What each layer has learned: kernels in the order of their filters, one tile "
            "for each input channel (colour tiles where the input has three).",
        )

    def _layer(self, context: Context, layer: LayerInfo) -> Group:
        blocks: list[Block] = []
        montages: list[Montage] = []
        rows = []
        for name, array in context.model.layer_parameters(layer.path).items():
            values = np.asarray(array, np.float32)
            stats = statistics(values)
            shape = "×".join(map(str, values.shape))
            rows.append(
                (
                    *(name, shape, stats.mean, stats.std, stats.minimum, stats.maximum),
                    *(stats.zero_fraction, stats.not_finite),
                )
            )
            title = f"{layer.path} · {name}"
            chosen = f"method.weights.layers=[{layer.path}]"
            if values.ndim == 4:
                montages = self._montages(context, layer, title, values, chosen)
            elif values.ndim == 2:
                norms = np.linalg.norm(values.astype(np.float64), axis=0)
                blocks += [
                    unit_curve(
                        context,
                        f"{title} · norm of each unit",
                        norms,
                        chosen,
                        y_label="L2 norm",
                        detail=f"{shape}: L2 norm of the weights into each of {len(norms)} units",
                    ),
                    positive_histogram(context, title, values, chosen),
                ]
            if values.ndim in (2, 4):
                blocks += [value_histogram(context, title, stats, chosen)]
        columns = ("parameter", "shape", "mean", "std", "min", "max", "zero fraction")
        blocks.append(Table(columns=(*columns, "not finite"), rows=tuple(rows)))
        return Group(
            title=layer.path,
            layer=layer.path,
            subtitle=f"{layer.kind}, {layer.parameter_count:,} parameters",
            # Many small pictures come last; one large picture first, with its numbers beside it.
            blocks=(*blocks, *montages) if self.pictures == "channel" else (*montages, *blocks),
        )

    def _montages(
        self, context: Context, layer: LayerInfo, title: str, kernel: np.ndarray, chosen: str
    ) -> list[Montage]:
        """A kernel (h, w, inputs, outputs) as tiles: filter by filter, or channel by channel."""
        inputs = select_indices(kernel.shape[2], self.channels, "channels", layer.path)
        outputs = select_indices(kernel.shape[3], self.filters, "filters", layer.path)
        part = kernel[:, :, inputs][:, :, :, outputs].transpose(3, 2, 0, 1)
        detail = f"{'×'.join(map(str, kernel.shape))} (height × width × inputs × outputs)"
        formula = f"raw values, {self.scale} range over the layer"
        caption = context.caption(title, chosen, detail=detail, formula=formula)
        colormap = context.colormap.weights
        if self.pictures == "channel":
            limits = value_range(kernel, self.scale)
            return [
                self.montage(
                    part[:, place],
                    [f"filter {i}" for i in outputs],
                    caption=context.caption(
                        f"{title} · channel {channel}",
                        chosen,
                        f"method.weights.channels=[{channel}]",
                        detail=detail,
                        formula=formula,
                    ),
                    part=f"channel {channel}",
                    what="filters",
                    colormap=colormap,
                    limits=limits,
                )
                for place, channel in enumerate(inputs)
            ]
        if part.shape[1] == 3 and kernel.shape[2] == 3:
            tiles = part.transpose(0, 2, 3, 1)
            if context.model.spec.order == "bgr":
                tiles = tiles[..., ::-1]
            names = [f"filter {i}" for i in outputs]
            return [
                self.montage(
                    tiles, names, caption=caption, what="filters", colormap=None, limits=self.scale
                )
            ]
        tiles = part.reshape(-1, *kernel.shape[:2])
        names = [f"filter {i}, channel {c}" for i in outputs for c in inputs]
        return [
            self.montage(
                tiles,
                names,
                caption=caption,
                what="tiles",
                colormap=colormap,
                limits=self.scale,
                multiple=len(inputs),
            )
        ]
