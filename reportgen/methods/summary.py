"""The network in numbers: its layers, their shapes, parameters and cost, and a diagram."""

from __future__ import annotations

from typing import ClassVar

from reportgen.core.blocks import Cell, Diagram, Node, Table
from reportgen.core.settings import settings
from reportgen.methods.base import Context, Method, Result
from reportgen.models.base import LayerInfo, Model


def layer_table(layers: tuple[LayerInfo, ...], parameters: int, flops: int) -> Table:
    """One row a layer in execution order, and totals of the whole network."""

    def row(layer: LayerInfo) -> tuple[Cell, ...]:
        shapes = ", ".join(
            f"{name} {'×'.join(map(str, shape))}" for name, shape in layer.parameters
        )
        shape = " × ".join(map(str, layer.shape))
        return layer.path, layer.kind, shape, shapes, layer.parameter_count, layer.flops

    return Table(
        columns=("layer", "kind", "output", "parameter shapes", "parameters", "FLOPs"),
        rows=tuple(row(layer) for layer in layers),
        totals=("total", "", "", "", parameters, flops),
        caption="FLOPs of one image; a multiply-add counts as two, other operations as none.",
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
                parameters=layer.parameter_count,
            )
            for layer in model.layers
        ),
    )


@settings
class Summary(Method):
    """Takes no settings."""

    title: ClassVar[str] = "Network"
    needs_images: ClassVar[bool] = False

    def work(self, context: Context) -> int:
        return 1

    def run(self, context: Context) -> Result:
        model = context.model
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
                layer_table(model.layers, model.parameter_count, model.flops),
            ),
            intro="The layers in execution order, as their paths are used in the configuration.",
        )
