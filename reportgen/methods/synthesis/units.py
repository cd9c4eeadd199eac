"""Pictures of a layer's units by any preset: the one engine of all methods that draw units.

The procedures are ``keras_seed.py`` and ``procedure.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from reportgen.core.settings import Count, Indices, NotNegative, Positive, Reals, Switch, settings
from reportgen.methods.base import Context, fold_in_name
from reportgen.methods.synthesis import keras_seed, presets, procedure
from reportgen.methods.synthesis.batches import at_once
from reportgen.methods.synthesis.objectives import Objective
from reportgen.methods.synthesis.ranking import Ranking, cuts
from reportgen.methods.synthesis.schedule import sizes, usable_sides
from reportgen.methods.synthesis.settings import Ascent
from reportgen.models.base import LayerInfo, Model

_LARGEST = 412  # the size of Keras's script


@dataclass(frozen=True, kw_only=True)
class Made:
    """Pictures of N units, M of each.

    Attributes:
      pictures: (N, M, H, W, C), 0 to ``high``; black for a unit without response.
      score: (N,) what was climbed: mean over the M. ``first`` is that of the starts, if known.
      alive: (N,) False for a unit without response.
      left_out: sizes at which the layer has no map.
      left_after: (N,) sizes after which a unit was left behind as it would not be drawn, its score
        that of then and its picture black; 0 for all others.
      climbed: the score in words. ``formula``: and how it was climbed, for captions.
    """

    pictures: np.ndarray
    high: float
    score: np.ndarray
    first: np.ndarray | None
    alive: np.ndarray
    left_out: Sequence[int]
    left_after: np.ndarray
    climbed: str
    formula: str


@settings
class UnitAscent(Ascent):
    """Settings of an ascent of units; ``conf/method/filters.yaml`` says what each does."""

    others: ClassVar[Mapping[str, Mapping[str, Any]]] = {"keras_seed": presets.KERAS_SEED}

    preset: Literal["keras_seed", "keras_vis", "tf_keras_vis", "lucid", "maco"]
    objective: Literal["channel", "neuron", "direction"]
    position: Annotated[Indices | None, Field(min_length=2, max_length=2)]
    direction: Annotated[Reals | None, Field(min_length=1)]
    power: NotNegative
    scales: Count | None
    factor: Annotated[Positive | None, Field(gt=1)]
    subtract_mean: Switch | None
    rectify: Switch | None

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

    def unable(self, layer: LayerInfo) -> str:
        """Why there can be no pictures of a layer's units; empty if there can."""
        name = f"{layer.path} ({layer.kind})"
        if not layer.spatial and len(layer.shape) != 1:
            return f"{name} has outputs of shape {layer.shape}, neither maps nor units"
        if not layer.spatial and self.preset == "keras_seed":
            return f"{name} has no maps, and the preset keras_seed climbs nothing else"
        return ""

    def made(
        self, context: Context, layer: LayerInfo, units: Sequence[int], wanted: int | None = None
    ) -> Made | str:
        """Pictures of some units of a layer, or why there are none.

        One's depends on the context's key, the layer's path and the unit alone (see ``at_once``).

        Args:
          wanted: how many of the best are needed; the others may be left behind.
        """
        reason = self.unable(layer)
        if not reason and self.preset != "keras_seed":
            return self._ascended(context, layer, units)
        if not reason:
            sides, left_out = usable_sides(context.model, layer.path, self._sides(context.model))
            if len(sides) >= 2:
                return self._seeded(context, layer, units, wanted, sides, left_out)
            reason = (
                f"{layer.path} gives no map for a square picture of {left_out[-1]} pixels or less; "
                "try a larger size"
            )
        context.advance(len(units))
        return f"No synthesised pictures: {reason}."

    def _sides(self, model: Model) -> tuple[int, ...]:
        spec, values = model.spec, self.values
        size = self.size or min(_LARGEST, 3 * max(spec.height, spec.width))
        return sizes(size, values["scales"], values["factor"])

    def _seeded(
        self,
        context: Context,
        layer: LayerInfo,
        units: Sequence[int],
        wanted: int | None,
        sides: tuple[int, ...],
        left_out: Sequence[int],
    ) -> Made:
        values, climbed = self.values, self.climbed(layer)
        engine, model = context.engine, self.network(context)
        key = fold_in_name(context.key, layer.path)
        job = keras_seed.Job(
            sides=sides,
            steps=values["steps"],
            step_size=values["step_size"],
            start=values["start"],
            noise=values["noise"],
            subtract_mean=values["subtract_mean"],
            rectify=values["rectify"],
        )
        ranking = None
        if engine.early_ranking and wanted is not None:
            passed = cuts(sides[:-1], wanted, len(units))
            ranking = Ranking(passed, wanted, engine.early_ranking == "check") if passed else None
        made = keras_seed.synthesise(
            engine,
            model,
            layer.path,
            units,
            job,
            key=key,
            batch=at_once(
                self.batch,
                engine,
                len(units),
                keras_seed.trial(engine, model, layer.path, job, key),
            ),
            advance=context.advance,
            ranking=ranking,
        )
        behind = made.alive & (made.climbed < len(sides) - 1)
        return Made(
            pictures=made.pictures[:, None],
            high=1.0,
            score=made.loss,
            first=None,
            alive=made.alive,
            left_out=left_out,
            left_after=np.where(behind, made.climbed, 0),
            climbed=climbed,
            formula=self._seeded_formula(climbed, len(sides) - 1),
        )

    def _ascended(self, context: Context, layer: LayerInfo, units: Sequence[int]) -> Made:
        position = None if self.position is None else (self.position[0], self.position[1])
        objective = Objective(
            kind=self.objective, path=layer.path, position=position, power=self.power
        )
        size = self.sides(context.model, square=layer.spatial)
        if position is not None:
            # A position is of the layer's own maps, which it has at the network's own size.
            size = context.model.spec.height, context.model.spec.width
        made = procedure.synthesise(
            context.engine,
            self.network(context),
            self.plan(context, objective, size),
            units,
            name="filters",
            key=fold_in_name(context.key, layer.path),
            batch=self.batch,
            advance=context.advance,
            vectors=None if self.direction is None else np.asarray([self.direction], np.float32),
        )
        climbed = self.climbed(layer)
        score = made.last.mean(axis=1)
        alive = made.moved.all(axis=1) & np.isfinite(score)
        return Made(
            pictures=made.pictures,
            high=255.0,
            score=score,
            first=made.first.mean(axis=1),
            alive=alive,
            left_out=(),
            left_after=np.zeros(len(units), np.int32),
            climbed=climbed,
            formula=self.formula(climbed),
        )

    @property
    def score_name(self) -> str:
        """What the score is called: the script calls it its loss."""
        return "loss" if self.preset == "keras_seed" else "score"

    def climbed(self, layer: LayerInfo) -> str:
        """The score in words."""
        if not layer.spatial and self.objective != "direction":
            return "the activation"
        if self.objective == "neuron":
            place = "the centre" if self.position is None else f"{list(self.position)}"
            return f"the activation at {place}"
        if self.objective == "direction":
            cosine = f" × max(0.1, cosine)^{self.power:g}" if self.power else ""
            return f"the mean projection onto the direction{cosine}"
        rectified = "rectified " * bool(self.values.get("rectify"))
        return f"the mean {rectified}activation"

    def _seeded_formula(self, climbed: str, sides: int) -> str:
        values = self.values
        return (
            f"{self.preset}: ascent of {climbed}, gradient / RMS, {values['steps']} steps at each "
            f"of {sides} sizes × {values['factor']:g} (Keras, conv_filter_visualization.py)"
        )
