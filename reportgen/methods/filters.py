"""Filter synthesis: for each filter of a layer, a picture that makes it respond strongly.

Erhan, Bengio, Courville, Vincent: Visualizing Higher-Layer Features of a Deep Network (2009). The
procedures are ``synthesis/keras_seed.py`` and ``synthesis/procedure.py``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field

from reportgen.core.blocks import Block, Finding, Group, Montage, Table, Text
from reportgen.core.errors import ConfigError
from reportgen.core.settings import (
    Count,
    Indices,
    NotNegative,
    Positive,
    Reals,
    Switch,
    Texts,
    settings,
)
from reportgen.methods.base import Context, Result, fold_in_name
from reportgen.methods.synthesis import keras_seed, presets, procedure
from reportgen.methods.synthesis.ascent import EPSILON
from reportgen.methods.synthesis.batches import at_once
from reportgen.methods.synthesis.objectives import Objective
from reportgen.methods.synthesis.pictures import tiles
from reportgen.methods.synthesis.schedule import sizes, usable_sides
from reportgen.methods.synthesis.settings import Ascent
from reportgen.methods.weights import select_indices
from reportgen.models.base import LayerInfo, Model

_GAP = 5  # the script's margin, between pictures only
_LARGEST = 412  # the script's size
_NAMED = 20  # units named in a message before it says "and so on"


class Made(NamedTuple):
    """Pictures of N units, M of each.

    Attributes:
      pictures: (N, M, H, W, C), 0 to ``high``; black for a unit without response.
      score: (N,) what was climbed: mean over the M. ``first`` is that of the starts, if known.
      alive: (N,) False for a unit without response.
    """

    pictures: np.ndarray
    high: float
    score: np.ndarray
    first: np.ndarray | None
    alive: np.ndarray


@settings
class Filters(Ascent):
    """Settings of the method; ``conf/method/filters.yaml`` says what each does."""

    title: ClassVar[str] = "Synthesised filters"
    unit: ClassVar[tuple[str, str]] = ("filter", "filters")
    others: ClassVar[Mapping[str, Mapping[str, Any]]] = {"keras_seed": presets.KERAS_SEED}

    layers: Texts | None
    preset: Literal["keras_seed", "keras_vis", "tf_keras_vis", "lucid", "maco"]
    objective: Literal["channel", "neuron", "direction"]
    position: Annotated[Indices | None, Field(min_length=2, max_length=2)]
    direction: Annotated[Reals | None, Field(min_length=1)]
    power: NotNegative
    scales: Count | None
    factor: Annotated[Positive | None, Field(gt=1)]
    subtract_mean: Switch | None
    rectify: Switch | None
    units: Annotated[Indices | None, Field(min_length=1)]
    keep: Count | None

    def check(self, values: Mapping[str, Any]) -> None:
        super().check(values)
        if self.preset == "keras_seed" and self.objective != "channel":
            raise ValueError("the preset keras_seed climbs channels alone; set objective=channel")
        if (self.direction is None) == (self.objective == "direction"):
            raise ValueError("objective=direction needs a direction, and no other takes one")
        if self.position is not None and self.objective != "neuron":
            raise ValueError("position is of objective=neuron")
        if self.position is not None and self.size is not None:
            raise ValueError("a position is of maps at the network's own size; leave size=null")
        if self.power and self.objective != "direction":
            raise ValueError("power is of objective=direction")

    def rejects(self, layer: LayerInfo) -> str:
        name = f"{layer.path} ({layer.kind})"
        if not layer.spatial:
            return f"{name} has no maps"
        if self.layers is None and layer.kind not in ("conv", "conv_transpose"):
            return f"{name} is no convolution (method.filters.layers={layer.path} takes it anyway)"
        return ""

    def work(self, context: Context) -> int:
        self.needed(context)
        for layer in context.layers:
            if self.direction is not None and len(self.direction) != layer.shape[-1]:
                raise ConfigError(
                    f"method.filters.direction has {len(self.direction)} values; {layer.path} has "
                    f"{layer.shape[-1]} channels.",
                    "Choose one layer with method.filters.layers, and a value for each channel.",
                )
            if self.position is not None and not _inside(self.position, layer):
                raise ConfigError(
                    f"method.filters.position {list(self.position)} is outside of {layer.path}, "
                    f"whose maps are {layer.shape[0]}×{layer.shape[1]}.",
                )
        return sum(len(self._units(layer)) for layer in context.layers)

    def _units(self, layer: LayerInfo) -> list[int]:
        if self.direction is not None:
            return [0]
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
            "from grey or from noise, the filters with the highest response first."
        )
        if self.preset in ("keras_seed", "keras_vis"):
            intro += (
                " Contrast is standardised picture by picture; compare shapes, not brightness. A "
                "filter that answers to plain brightness gives an even picture with a border."
            )
        return Result(blocks=(*blocks, self.procedure()), intro=intro, findings=tuple(findings))

    def _layer(self, context: Context, layer: LayerInfo) -> tuple[Group, list[Finding]]:
        model, units = context.model, self._units(layer)
        subtitle = "output " + "×".join(str(side) for side in layer.shape)
        left_out: list[int] = []
        if self.preset == "keras_seed":
            sides, left_out = usable_sides(model, layer.path, self._sides(model))
            if len(sides) < 2:
                context.advance(len(units))
                note = (
                    f"Layer {layer.path} gives no map for a square picture of {left_out[-1]} "
                    "pixels or less, so its filters were not synthesised; try a larger "
                    "method.filters.size."
                )
                return Group(title=layer.path, subtitle=subtitle, blocks=(Text(text=note),)), []
            made = self._seeded(context, layer, units, sides)
            formula = self._seeded_formula(len(sides) - 1)
        else:
            made = self._ascended(context, layer, units)
            formula = self.formula(self._climbed())
        # By score, the highest first; a stable sort keeps equal ones in the layer's order.
        order = [i for i in np.argsort(-made.score, kind="stable") if made.alive[i]]
        dead = [i for i in range(len(units)) if not made.alive[i]]
        shown = order[: self.keep]
        if self.images == 1:
            shown = shown[: math.isqrt(len(shown)) ** 2]
        blocks: list[Block] = []
        findings: list[Finding] = []
        if shown:
            blocks.append(self._montage(context, layer, made, units, shown, formula))
        if left_out:
            blocks.append(
                Text(
                    text=f"Left out, since the layer has no map at them: pictures of {left_out} "
                    "pixels.",
                    tone="note",
                )
            )
        if dead:
            findings.append(self._dead(layer, [units[i] for i in dead], made.score[dead], units))
            blocks.append(Text(text=f"{findings[0].message} Not drawn.", tone="warning"))
        blocks.append(self._table(made, units, order, dead, len(shown)))
        return Group(title=layer.path, subtitle=subtitle, blocks=tuple(blocks)), findings

    def _sides(self, model: Model) -> tuple[int, ...]:
        spec, values = model.spec, self.values
        size = self.size or min(_LARGEST, 3 * max(spec.height, spec.width))
        return sizes(size, values["scales"], values["factor"])

    def _seeded(
        self, context: Context, layer: LayerInfo, units: list[int], sides: tuple[int, ...]
    ) -> Made:
        values = self.values
        made = keras_seed.synthesise(
            context.model,
            layer.path,
            units,
            keras_seed.Job(
                sides=sides,
                steps=values["steps"],
                step_size=values["step_size"],
                start=values["start"],
                noise=values["noise"],
                subtract_mean=values["subtract_mean"],
                rectify=values["rectify"],
            ),
            key=fold_in_name(context.key, layer.path),
            batch=at_once(self.batch, context.batch),
            advance=context.advance,
        )
        return Made(made.pictures[:, None], 1.0, made.loss, None, made.alive)

    def _ascended(self, context: Context, layer: LayerInfo, units: list[int]) -> Made:
        position = None if self.position is None else (self.position[0], self.position[1])
        objective = Objective(
            kind=self.objective, path=layer.path, position=position, power=self.power
        )
        size = self.sides(context.model, square=True)
        if position is not None:
            # A position is of the layer's own maps, which it has at the network's own size.
            size = context.model.spec.height, context.model.spec.width
        made = procedure.synthesise(
            context.model,
            self.plan(context, objective, size),
            units,
            key=fold_in_name(context.key, layer.path),
            batch=at_once(self.batch, context.batch),
            advance=context.advance,
            vectors=None if self.direction is None else np.asarray([self.direction], np.float32),
        )
        score = made.last.mean(axis=1)
        alive = made.moved.all(axis=1) & np.isfinite(score)
        return Made(made.pictures, 255.0, score, made.first.mean(axis=1), alive)

    def _montage(
        self,
        context: Context,
        layer: LayerInfo,
        made: Made,
        units: list[int],
        shown: list[int],
        formula: str,
    ) -> Montage:
        pictures = made.pictures[shown]
        drawn, colormap = tiles(pictures.reshape(-1, *pictures.shape[2:]))
        alive = int(made.alive.sum())
        height, width = pictures.shape[2:4]
        what = self._score_name
        if self.direction is not None:
            detail = f"one direction of {layer.shape[-1]} channels"
            labels = ["direction"]
        else:
            detail = (
                f"the {len(shown)} of the highest {what}, best first, of {alive} with a response; "
                f"{len(units)} of {layer.shape[-1]} filters computed"
            )
            labels = [f"unit {units[i]}" for i in shown]
        if self.images > 1:
            detail += f"; {self.images} pictures of each, in a row"
        detail += f"; pictures of {height}×{width} pixels"
        if self.preset == "keras_seed":
            detail += ", each standardised to mean 0.5 and deviation 0.25"
        return Montage(
            tiles=drawn,
            low=0.0,
            high=made.high,
            columns=self.images if self.images > 1 else math.isqrt(len(shown)),
            colormap=colormap,
            gap=_GAP,
            background="black",
            labels=tuple(
                f"{label}, {what} {made.score[i]:.4g}"
                for label, i in zip(labels, shown, strict=True)
                for _ in range(self.images)
            ),
            caption=context.caption(
                f"{layer.path} · synthesised filters",
                f"method.filters.layers=[{layer.path}]",
                detail=detail,
                formula=formula,
            ),
        )

    @property
    def _score_name(self) -> str:
        return "loss" if self.preset == "keras_seed" else "score"

    def _climbed(self) -> str:
        if self.objective == "neuron":
            place = "the centre" if self.position is None else f"{list(self.position)}"
            return f"the activation at {place}"
        if self.objective == "direction":
            cosine = f" × max(0.1, cosine)^{self.power:g}" if self.power else ""
            return f"the mean projection onto the direction{cosine}"
        return "the mean activation"

    def _seeded_formula(self, climbed: int) -> str:
        values = self.values
        return (
            f"{self.preset}: ascent of the mean {'rectified ' * values['rectify']}activation, "
            f"gradient / RMS, {values['steps']} steps at each of {climbed} sizes "
            f"× {values['factor']:g} (Keras, conv_filter_visualization.py)"
        )

    def _dead(
        self, layer: LayerInfo, dead: list[int], losses: np.ndarray, units: list[int]
    ) -> Finding:
        named = ", ".join(str(unit) for unit in dead[:_NAMED])
        more = ", …" if len(dead) > _NAMED else ""
        lost = int((~np.isfinite(losses)).sum())
        seeded = self.preset == "keras_seed"
        cause = f"loss ≤ {EPSILON:g}" if seeded else "no gradient at any step"
        cause += f"; {lost} not finite" if lost else ""
        other = "another seed or a larger method.filters.size."
        if "start" in self.values:
            other = "another method.filters.start (0.0 is black) or method.filters.noise."
        return Finding(
            severity="warn",
            check="filters",
            message=f"{len(dead)} of {len(units)} filters of {layer.path} are dead: nothing made "
            f"them respond ({cause}): {named}{more}.",
            where=layer.path,
            value=float(len(dead)),
            advice="Prune what none of your images activates either, or train again with a lower "
            "learning rate. What only answers to other pictures than those it started from may "
            f"respond from {other}",
        )

    def _table(
        self, made: Made, units: list[int], order: list[int], dead: list[int], shown: int
    ) -> Table:
        starts = () if made.first is None else ("start",)
        ranks: list[tuple[int, int | str]] = [(i, rank) for rank, i in enumerate(order, 1)]
        ranks += [(i, "dead") for i in dead]
        return Table(
            columns=("unit", self._score_name, "rank", "drawn", *starts),
            rows=tuple(
                (
                    units[i],
                    float(made.score[i]),
                    rank,
                    rank != "dead" and int(rank) <= shown,
                    *(() if made.first is None else (float(made.first[i]),)),
                )
                for i, rank in ranks
            ),
            caption="Loss: mean activation before the last step."
            if self.preset == "keras_seed"
            else f"Score: {self._climbed()} of the finished picture; start: of the first.",
        )


def _inside(position: tuple[int, ...], layer: LayerInfo) -> bool:
    return position[0] < layer.shape[0] and position[1] < layer.shape[1]
