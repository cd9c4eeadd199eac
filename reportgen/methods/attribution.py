"""What all attribution methods share: maps of the chosen images, compiled once, and their blocks.

A method gives a formula for a batch; what is explained, how it is timed and how it is shown is the
same for all.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from pydantic import Field

from reportgen.core.blocks import Block, Cell, Finding, Group, Heatmap
from reportgen.core.settings import Count, Fraction, settings
from reportgen.engine.programs import Rows
from reportgen.methods.base import Context, Explained, Method, Result, fold_in_name
from reportgen.methods.targets import Chosen, Target, check_target, chosen_classes, normalised
from reportgen.models.base import Model

Percentile = Annotated[float, Field(gt=50, le=100)]


class Maps(NamedTuple):
    """Maps of a batch.

    Attributes:
      values: (N, H, W), at the size of the input.
      facts: numbers that tell how far to trust each map, (N,) by name.
      kept: whatever else ``more`` draws, (N, …) by name.
    """

    values: jax.Array
    facts: dict[str, jax.Array]
    kept: dict[str, jax.Array] = {}  # noqa: RUF012 (never written to)


@settings
class Attribution(Method):
    """Settings that all attribution methods have.

    Attributes:
      formula: for the caption, with its source.
      intro: what the maps tell, and what they do not.
      measure: unit and sign of a map's values.
      signed: maps speak for and against; they are drawn centred on zero.
      count: images shown, the first of the data source.
      target: class whose score is explained: ``predicted``, ``true``, a name or an index.
      opacity: of the map over the image.
      percentile: of a map's absolute values that is drawn as the end of the colormap, so that a
        few pixels do not darken all others; the numbers are kept as they are.
    """

    unit: ClassVar[tuple[str, str]] = ("image", "images")
    makes_maps: ClassVar[bool] = True
    # Whether one image takes many runs of the network, as the engine's ``few``.
    many_runs: ClassVar[bool] = False
    intro: ClassVar[str]

    count: Count
    target: Target
    opacity: Fraction
    percentile: Percentile

    # Class variables, of most methods; properties where they depend on the settings.
    @property
    @abstractmethod
    def formula(self) -> str: ...

    @property
    @abstractmethod
    def measure(self) -> str: ...

    @property
    @abstractmethod
    def signed(self) -> bool: ...

    def fitted(self, model: Model) -> Self:
        """The method with what it takes from this model, such as its default layer.

        Raises:
          NotApplicableError: if it cannot be applied to this model.
        """
        return self

    @abstractmethod
    def explain(
        self, model: Model, x: jax.Array, targets: jax.Array, keys: jax.Array, batch: int
    ) -> Maps:
        """The maps of a batch; traced by JAX.

        Args:
          x: inputs (N, H, W, C), normalised.
          targets: (N,) class indices.
          keys: (N,) random keys, one an image, so that no map depends on its neighbours.
          batch: how many inputs to run at once, where one image needs many.
        """

    def details(self, model: Model) -> str:
        """What of the settings belongs into the caption, such as the layer."""
        return ""

    def more(
        self, context: Context, chosen: Chosen, i: int, kept: dict[str, np.ndarray]
    ) -> tuple[Block, ...]:
        """Blocks below the map of image i, from what was kept of it."""
        return ()

    def work(self, context: Context) -> int:
        self.fitted(context.model)
        check_target(context.model, self.target)
        return context.images.first(self.count)

    def run(self, context: Context) -> Result:
        images, model = context.images, context.model
        count = context.images.first(self.count)
        fitted = self.fitted(model)
        chosen = chosen_classes(context.engine, model, images, self.target, count)
        program = Explain(fitted)
        pixels = normalised(model, images)
        keys = jnp.stack([fold_in_name(context.key, images.names[i]) for i in range(count)])

        def rows(start: int, stop: int) -> Rows:
            return *pixels(start, stop), chosen.index[start:stop], keys[start:stop]

        def explain(model: Model, *rows: Any) -> np.ndarray:
            made = context.engine.whole(program, model, rows, few=self.many_runs)
            return np.asarray(made["values"])

        maps, facts, kept, seconds = [], [], [], []
        chunks = context.engine.map(
            program, model, rows, count, context.advance, few=self.many_runs
        )
        for chunk in chunks:
            made = Maps(**chunk.made)
            for i in range(chunk.count):
                maps.append(np.asarray(made.values[i]))
                facts.append({name: float(value[i]) for name, value in made.facts.items()})
                kept.append({name: np.asarray(value[i]) for name, value in made.kept.items()})
                seconds.append(chunk.seconds)
        drawn = [_range(heat, self.percentile, self.signed) for heat in maps]
        explained = Explained(
            title=self.title,
            maps=np.stack(maps),
            targets=chosen.index,
            keys=keys,
            explain=explain,
            low=np.array([low for low, _ in drawn]),
            high=np.array([high for _, high in drawn]),
            colormap=context.colormap.signed if self.signed else context.colormap.heatmap,
            opacity=self.opacity,
        )
        groups = []
        details = fitted.details(model)
        for i in range(count):
            measured: list[tuple[str, Cell]] = [
                ("lowest and highest value", f"{maps[i].min():.4g} to {maps[i].max():.4g}"),
                *facts[i].items(),
            ]
            if context.timings:
                measured.append(("seconds per image", seconds[i]))
            more = fitted.more(context, chosen, i, kept[i])
            groups.append(
                fitted._group(context, chosen, explained, i, details, tuple(measured), more)
            )
        return Result(
            blocks=tuple(groups),
            intro=self.intro,
            findings=(
                *_not_finite(context, explained.maps, chosen.logits),
                *_blank(self.title, explained.maps, images.names),
            ),
            explained=explained,
        )

    def _group(
        self,
        context: Context,
        chosen: Chosen,
        explained: Explained,
        i: int,
        details: str,
        measured: tuple[tuple[str, Cell], ...],
        more: tuple[Block, ...],
    ) -> Group:
        images, classes = context.images, context.model.classes
        ends = "" if self.percentile == 100 else f"; drawn to the {self.percentile:g}th percentile"
        return Group(
            title=images.names[i],
            subtitle=f"class {classes[chosen.index[i]]} ({self.target})",
            blocks=(
                Heatmap(
                    image=images.pixels[i],
                    map=explained.maps[i],
                    low=float(explained.low[i]),
                    high=float(explained.high[i]),
                    colormap=explained.colormap,
                    opacity=self.opacity,
                    facts=(*chosen.facts(i), *measured),
                    caption=context.caption(
                        f"{self.title} of {images.names[i]}",
                        detail=f"{details}{'; ' if details else ''}{self.measure}{ends}",
                        formula=self.formula,
                    ),
                ),
                *more,
            ),
        )


def _range(heat: np.ndarray, percentile: float, signed: bool) -> tuple[float, float]:
    """The values drawn as the ends of the colormap: the lowest, or minus the end, and the end."""
    finite = heat[np.isfinite(heat)]
    if not finite.size:
        return 0.0, 0.0
    values = np.abs(finite) if signed else finite
    high = float(np.percentile(values, percentile)) or float(values.max())
    return (-high if signed else float(finite.min())), high


def _not_finite(context: Context, maps: np.ndarray, scores: np.ndarray) -> tuple[Finding, ...]:
    # A network that overflows may still have gradients: zeros.
    bad = [
        i
        for i, heat in enumerate(maps)
        if not (np.isfinite(heat).all() and np.isfinite(scores[i]).all())
    ]
    if not bad:
        return ()
    images, model = context.images, context.model
    x = jnp.asarray(model.spec.normalise(images.pixels[bad[:1]]))
    finite = jax.jit(_finite)(model, x)
    layer = next((layer.path for layer in model.layers if not finite.get(layer.path, True)), "")
    return (
        Finding(
            severity="fail",
            check="attribution",
            message=f"{len(bad)} of {len(maps)} maps, or their scores, are not finite"
            + (f"; the first layer whose output is not finite is {layer}." if layer else "."),
            where=layer or images.names[bad[0]],
            value=float(len(bad)),
            advice="Look at that layer's weights and at the range of its input."
            if layer
            else "All outputs are finite, so the gradient is not: look for roots and divisions.",
        ),
    )


def _blank(title: str, maps: np.ndarray, names: Sequence[str]) -> tuple[Finding, ...]:
    blank = [i for i, heat in enumerate(maps) if np.ptp(heat) == 0]
    if not blank:
        return ()
    return (
        Finding(
            severity="warn",
            check="attribution",
            message=f"{title}: {len(blank)} of {len(maps)} maps have the same value everywhere, "
            f"the first that of {names[blank[0]]}.",
            where=names[blank[0]],
            value=float(len(blank)),
            advice="Such a map says nothing of its image: what would have been shown was cut off, "
            "by rectifiers for the most part. Compare with another method or layer.",
        ),
    )


def _finite(model: Model, x: jax.Array) -> dict[str, jax.Array]:
    return {path: jnp.isfinite(a).all() for path, a in model.apply(x)[1].items()}


@dataclass(frozen=True)
class Explain:
    """A method as the engine runs it."""

    method: Attribution

    @property
    def name(self) -> str:
        return self.method.title

    def __call__(
        self, batch: int, model: Model, x: jax.Array, targets: jax.Array, keys: jax.Array
    ) -> dict[str, Any]:
        """``Maps`` by the names of its parts."""
        return self.method.explain(model, x, targets, keys, batch)._asdict()
