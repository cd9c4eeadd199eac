"""The network in numbers: its layers, their shapes, parameters, cost and health, and a diagram."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar, Literal

from reportgen.core.blocks import Cell, Diagram, Node, Table
from reportgen.core.settings import Count, settings
from reportgen.methods import health
from reportgen.methods.base import Context, Method, Result
from reportgen.models.base import LayerInfo, Model, count

_Shapes = Sequence[tuple[str, tuple[int, ...]]]


Layout = Literal["nhwc", "nchw"]

ROOT = "(network)"  # the row of what no layer owns


def output_shape(shape: Sequence[int], layout: Layout) -> tuple[int, ...]:
    """The shape of an output without the batch, (h, w, c) or any other, in a layout."""
    if layout == "nchw" and len(shape) == 3:
        return shape[2], shape[0], shape[1]
    return tuple(shape)


def parameter_shape(shape: Sequence[int], layout: Layout) -> tuple[int, ...]:
    """The shape of a parameter, kernels (h, w, inputs, outputs) or (inputs, outputs), in a layout.

    With channels first they are (outputs, inputs, h, w) and (outputs, inputs).
    """
    if layout == "nchw" and len(shape) in (2, 4):
        *places, inputs, outputs = shape
        return outputs, inputs, *places
    return tuple(shape)


def layer_table(
    layers: tuple[LayerInfo, ...],
    parameters: Mapping[str, Any],
    statistics: Collection[str],
    flops: int,
    layout: Layout = "nhwc",
    batch: int | None = None,
) -> Table:
    """One row a layer in execution order, and totals of the whole network.

    Every parameter stands in one row: first those of the network itself, and of modules that are
    never called; then each with its layer. Batch statistics have a column if there are any.

    Args:
      parameters: arrays or shapes of all of them, by dotted name.
      statistics: which of these are batch statistics.
      layout: of the shapes: as Flax has them, or with channels first (Caffe, PyTorch).
      batch: in front of outputs; None to leave it out.
    """

    def row(
        path: str, kind: str, shape: str, shapes: _Shapes, numbers: int, measured: int, cost: Cell
    ) -> tuple[Cell, ...]:
        own = ", ".join(
            f"{name} {'×'.join(map(str, parameter_shape(size, layout)))}" for name, size in shapes
        )
        counts = (numbers - measured, measured) if statistics else (numbers,)
        return path, kind, shape, own, *counts, cost

    leading = () if batch is None else (batch,)
    owned = {name for layer in layers for name in layer.names}
    rest = [name for name in parameters if name not in owned]
    rows = [
        row(
            layer.path,
            layer.kind,
            " × ".join(map(str, (*leading, *output_shape(layer.shape, layout)))),
            layer.parameters,
            layer.parameter_count,
            layer.statistics_count,
            layer.flops,
        )
        for layer in layers
    ]
    caption = "FLOPs of one image; a multiply-add counts as two, other operations as none."
    if rest:
        shapes = [(name, tuple(parameters[name].shape)) for name in rest]
        measured = count(parameters, [name for name in rest if name in statistics])
        rows.insert(0, row(ROOT, "", "", shapes, count(parameters, rest), measured, None))
        caption += f" {ROOT}: parameters that are in none of its layers."
    if statistics:
        caption += " Statistics: mean and variance of batches, which are measured, not trained."
    total, measured = count(parameters, parameters), count(parameters, statistics)
    return Table(
        columns=(
            *("layer", "kind", "output", "parameter shapes", "parameters"),
            *(("statistics",) if statistics else ()),
            "FLOPs",
        ),
        rows=tuple(rows),
        totals=row("total", "", "", (), total, measured, flops),
        caption=caption,
    )


def diagram_nodes(model: Model) -> tuple[Node, ...]:
    """The input and every layer."""
    first = Node(path="input", kind="input", shape=model.spec.shape, parameters=0)
    return (
        first,
        *(
            Node(
                path=layer.path,
                kind=layer.kind,
                shape=layer.shape,
                parameters=layer.parameter_count - layer.statistics_count,
            )
            for layer in model.layers
        ),
    )


@settings
class Summary(Method):
    """Settings of the method.

    Attributes:
      layout: of the shapes in the table: ``nhwc`` as Flax has them, ``nchw`` as Caffe and PyTorch.
      batch: number of images that outputs are given for; None to leave it out.
    """

    title: ClassVar[str] = "Network"
    needs_images: ClassVar[bool] = False
    unit: ClassVar[tuple[str, str]] = ("network", "networks")

    layout: Layout
    batch: Count | None

    def work(self, context: Context) -> int:
        return 1

    def run(self, context: Context) -> Result:
        model = context.model
        layers = health.health(context.survey)
        context.advance(1)
        return Result(
            blocks=(
                Diagram(
                    nodes=diagram_nodes(model),
                    caption=context.caption(
                        f"{model.name} from input to output",
                        detail="layers in execution order, with output shape and own parameters",
                    ),
                ),
                layer_table(
                    model.layers,
                    model.parameters,
                    model.statistics,
                    model.flops,
                    self.layout,
                    self.batch,
                ),
                *([health.overview(context, layers)] if layers else []),
            ),
            intro="The layers in execution order, as their paths are used in the configuration.",
        )
