"""Filter synthesis: for each filter of a layer, a picture that makes it respond strongly.

Erhan, Bengio, Courville, Vincent: Visualizing Higher-Layer Features of a Deep Network (2009). The
procedure is chosen by ``preset``; see ``synthesis/keras_seed.py``.
"""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from reportgen.core.blocks import Block, Finding, Group, Montage, Table, Text
from reportgen.core.settings import (
    Count,
    Indices,
    NotNegative,
    Positive,
    Real,
    Switch,
    Texts,
    settings,
)
from reportgen.methods.base import Context, Method, Result, fold_in_name
from reportgen.methods.synthesis import keras_seed
from reportgen.methods.synthesis.ascent import EPSILON
from reportgen.methods.synthesis.batches import at_once
from reportgen.methods.synthesis.pictures import check_drawable, tiles
from reportgen.methods.synthesis.schedule import sizes, usable_sides
from reportgen.methods.weights import select_indices
from reportgen.models.base import LayerInfo, Model

_GAP = 5  # the script's margin, between pictures only
_LARGEST = 412  # the script's size
_NAMED = 20  # units named in a message before it says "and so on"


@settings
class Filters(Method):
    """Settings of the method; ``conf/method/filters.yaml`` says what each does."""

    title: ClassVar[str] = "Synthesised filters"
    needs_images: ClassVar[bool] = False
    unit: ClassVar[tuple[str, str]] = ("filter", "filters")

    layers: Texts | None
    preset: Literal["keras_seed"]
    size: Count | None
    scales: Count
    factor: Annotated[Positive, Field(gt=1)]
    steps: Count
    step_size: Positive
    start: Real
    noise: NotNegative
    subtract_mean: Switch
    rectify: Switch
    units: Annotated[Indices | None, Field(min_length=1)]
    keep: Count | None
    batch: Count | None

    def rejects(self, layer: LayerInfo) -> str:
        name = f"{layer.path} ({layer.kind})"
        if not layer.spatial:
            return f"{name} has no maps"
        if self.layers is None and layer.kind not in ("conv", "conv_transpose"):
            return f"{name} is no convolution (method.filters.layers={layer.path} takes it anyway)"
        return ""

    def work(self, context: Context) -> int:
        check_drawable(context.model.spec.channels)
        return sum(len(self._units(layer)) for layer in context.layers)

    def _units(self, layer: LayerInfo) -> list[int]:
        wanted = select_indices(layer.shape[-1], self.units, "filters", layer.path)
        return [int(unit) for unit in wanted]

    def run(self, context: Context) -> Result:
        blocks: list[Block] = []
        findings: list[Finding] = []
        for layer in context.layers:
            group, found = self._layer(context, layer)
            blocks.append(group)
            findings += found
        intro = (
            "For each filter a picture that makes it respond strongly, found by gradient ascent "
            "from grey noise, the filters with the highest mean activation first. Contrast is "
            "standardised picture by picture; compare shapes, not brightness. A filter that "
            "answers to plain brightness gives an even picture with a border."
        )
        return Result(blocks=tuple(blocks), intro=intro, findings=tuple(findings))

    def _layer(self, context: Context, layer: LayerInfo) -> tuple[Group, list[Finding]]:
        model, units = context.model, self._units(layer)
        subtitle = "output " + "×".join(str(side) for side in layer.shape)
        sides, left_out = usable_sides(model, layer.path, self._sides(model))
        if len(sides) < 2:
            context.advance(len(units))
            note = (
                f"Layer {layer.path} gives no map for a square picture of {left_out[-1]} pixels or "
                "less, so its filters were not synthesised; try a larger method.filters.size."
            )
            return Group(title=layer.path, subtitle=subtitle, blocks=(Text(text=note),)), []
        made = keras_seed.synthesise(
            model,
            layer.path,
            units,
            keras_seed.Job(
                sides=sides,
                steps=self.steps,
                step_size=self.step_size,
                start=self.start,
                noise=self.noise,
                subtract_mean=self.subtract_mean,
                rectify=self.rectify,
            ),
            key=fold_in_name(context.key, layer.path),
            batch=at_once(self.batch, context.batch),
            advance=context.advance,
        )
        # By loss, the highest first; a stable sort keeps equal ones in the layer's order.
        order = [i for i in np.argsort(-made.loss, kind="stable") if made.alive[i]]
        dead = [i for i in range(len(units)) if not made.alive[i]]
        side = math.isqrt(min(len(order), self.keep or len(order)))
        blocks: list[Block] = []
        findings: list[Finding] = []
        if side:
            blocks.append(
                self._montage(context, layer, made, units, order[: side * side], sides, len(dead))
            )
        if left_out:
            blocks.append(
                Text(
                    text=f"Left out, since the layer has no map at them: pictures of {left_out} "
                    "pixels.",
                    tone="note",
                )
            )
        if dead:
            findings.append(self._dead(layer, [units[i] for i in dead], made.loss[dead], units))
            blocks.append(Text(text=f"{findings[0].message} Not drawn.", tone="warning"))
        blocks.append(_table(made, units, order, dead, side * side))
        return Group(title=layer.path, subtitle=subtitle, blocks=tuple(blocks)), findings

    def _sides(self, model: Model) -> tuple[int, ...]:
        spec = model.spec
        size = self.size or min(_LARGEST, 3 * max(spec.height, spec.width))
        return sizes(size, self.scales, self.factor)

    def _montage(
        self,
        context: Context,
        layer: LayerInfo,
        made: keras_seed.Filters,
        units: list[int],
        order: list[int],
        sides: tuple[int, ...],
        dead: int,
    ) -> Montage:
        drawn, colormap = tiles(made.pictures[order])
        alive = len(units) - dead
        return Montage(
            tiles=drawn,
            low=0.0,
            high=1.0,
            columns=math.isqrt(len(order)),
            colormap=colormap,
            gap=_GAP,
            background="black",
            labels=tuple(f"unit {units[i]}, loss {made.loss[i]:.4g}" for i in order),
            caption=context.caption(
                f"{layer.path} · synthesised filters",
                f"method.filters.layers=[{layer.path}]",
                detail=f"the {len(order)} of the highest loss, best first, of {alive} with a "
                f"response; {len(units)} of {layer.shape[-1]} filters computed; pictures of "
                f"{sides[-1]}×{sides[-1]} pixels, each standardised to mean 0.5 and deviation 0.25",
                formula=f"{self.preset}: ascent of the mean {'rectified ' * self.rectify}"
                f"activation, gradient / RMS, {self.steps} steps at each of {len(sides) - 1} sizes "
                f"× {self.factor:g} (Keras, conv_filter_visualization.py)",
            ),
        )

    def _dead(
        self, layer: LayerInfo, dead: list[int], losses: np.ndarray, units: list[int]
    ) -> Finding:
        named = ", ".join(str(unit) for unit in dead[:_NAMED])
        more = ", …" if len(dead) > _NAMED else ""
        lost = int((~np.isfinite(losses)).sum())
        cause = f"loss ≤ {EPSILON:g}" + (f"; {lost} not finite" if lost else "")
        return Finding(
            severity="warn",
            check="filters",
            message=f"{len(dead)} of {len(units)} filters of {layer.path} are dead: nothing made "
            f"them respond ({cause}): {named}{more}.",
            where=layer.path,
            value=float(len(dead)),
            advice="Prune what none of your images activates either, or train again with a lower "
            f"learning rate. What only answers to other pictures than grey {self.start:g} may "
            "respond from another method.filters.start (0.0 is black) or method.filters.noise.",
        )


def _table(
    made: keras_seed.Filters,
    units: list[int],
    order: list[int],
    dead: list[int],
    shown: int,
) -> Table:
    rows = [(units[i], float(made.loss[i]), rank, rank <= shown) for rank, i in enumerate(order, 1)]
    return Table(
        columns=("unit", "loss", "rank", "drawn"),
        rows=tuple(rows + [(units[i], float(made.loss[i]), "dead", False) for i in dead]),
        caption="Loss: mean activation before the last step.",
    )
