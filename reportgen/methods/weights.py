"""Weights: kernels as montages, dense layers as curves, with statistics, as DIGITS shows them."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from reportgen.core.blocks import Block, Group, Montage, Table
from reportgen.core.errors import ConfigError
from reportgen.core.settings import Count, Indices, Texts, settings
from reportgen.core.statistics import statistics
from reportgen.methods.base import Context, Method, Result
from reportgen.methods.layer_blocks import positive_histogram, unit_curve, value_histogram
from reportgen.methods.tiles import square_grid
from reportgen.models.base import LayerInfo

LABELLED = 512  # tiles up to which each is named


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


def value_range(values: np.ndarray, scale: str) -> tuple[float, float]:
    """The values at the ends of the colormap: symmetric about zero, or minimum and maximum."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    if scale == "symmetric":
        bound = float(np.abs(finite).max())
        return -bound, bound
    return float(finite.min()), float(finite.max())


@settings
class Weights(Method):
    """Settings of the method.

    Attributes:
      layers: which layers; None for the configuration's.
      filters, channels: output and input channels shown; None for all.
      scale: ``symmetric`` about zero, or ``joint`` minimum to maximum of the layer.
      max_side: longest side of a montage in pixels.
    """

    title: ClassVar[str] = "Weights"
    needs_images: ClassVar[bool] = False
    unit: ClassVar[tuple[str, str]] = ("layer", "layers")

    layers: Texts | None
    filters: Indices | None
    channels: Indices | None
    scale: Literal["symmetric", "joint"]
    max_side: Count

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
                blocks.insert(0, self._montage(context, layer, title, values, chosen))
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
            subtitle=f"{layer.kind}, {layer.parameter_count:,} parameters",
            blocks=tuple(blocks),
        )

    def _montage(
        self, context: Context, layer: LayerInfo, title: str, kernel: np.ndarray, chosen: str
    ) -> Montage:
        """A kernel (h, w, inputs, outputs) as tiles, filter by filter."""
        inputs = select_indices(kernel.shape[2], self.channels, "channels", layer.path)
        outputs = select_indices(kernel.shape[3], self.filters, "filters", layer.path)
        part = kernel[:, :, inputs][:, :, :, outputs].transpose(3, 2, 0, 1)
        low, high = value_range(part, self.scale)
        shape = "×".join(map(str, kernel.shape))
        if part.shape[1] == 3 and kernel.shape[2] == 3:
            tiles = part.transpose(0, 2, 3, 1)
            if context.model.spec.order == "bgr":
                tiles = tiles[..., ::-1]
            names = [f"filter {i}" for i in outputs]
            colormap, together = None, 1
        else:
            tiles = part.reshape(-1, *kernel.shape[:2])
            names = [f"filter {i}, channel {c}" for i in outputs for c in inputs]
            colormap, together = context.colormap.weights, len(inputs)
        grid = square_grid(len(tiles), tiles.shape[1:3], self.max_side, together)
        detail = f"{shape} (height × width × inputs × outputs)"
        return Montage(
            tiles=np.ascontiguousarray(tiles[: grid.drawn]),
            low=low,
            high=high,
            columns=grid.columns,
            colormap=colormap,
            labels=tuple(names[: grid.drawn]) if grid.drawn <= LABELLED else (),
            caption=context.caption(
                title,
                chosen,
                detail="; ".join(filter(None, (detail, grid.cut(len(tiles), "tiles")))),
                formula=f"raw values, {self.scale} range over the layer",
            ),
        )
