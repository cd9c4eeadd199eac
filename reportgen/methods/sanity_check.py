"""Sanity check: does a map change when the network's weights are lost, layer by layer?

Adebayo, Gilmer, Muelly, Goodfellow, Hardt, Kim: Sanity Checks for Saliency Maps (2018),
arXiv:1810.03292, the cascading test.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from reportgen.core.agreement import rank_correlation
from reportgen.core.blocks import Cell, Curve, Finding, Series, Table, Text
from reportgen.core.errors import NotApplicableError
from reportgen.core.report import SHUFFLED
from reportgen.core.settings import Count, Fraction, settings
from reportgen.methods.base import Context, Explained, Result
from reportgen.methods.faithfulness import CONTROLS, MapTest, generator, nothing, subjects
from reportgen.models.base import LayerInfo, Model

TITLE = "rank correlation with the trained network's map"
NOTE = (
    "With maps that never saw the network the correlation shows what chance and a preference for "
    "the middle amount to. Maps that are blank once all is shuffled, where nothing reaches the "
    "score, are counted and left out."
)


def mean(correlations: np.ndarray) -> float:
    """Mean of those that are defined; 0 if none is."""
    defined = correlations[np.isfinite(correlations)]
    return float(defined.mean()) if defined.size else 0.0


def weighted(model: Model) -> tuple[LayerInfo, ...]:
    """Layers with parameters, from the output to the input."""
    return tuple(layer for layer in reversed(model.layers) if layer.names)


def depths(layers: int, stages: int) -> tuple[int, ...]:
    """How many layers are randomised at each stage: evenly spaced, first one, at last all."""
    return tuple(int(d) for d in np.unique(np.round(np.linspace(1, layers, min(stages, layers)))))


def randomised(model: Model, at: Sequence[int], key: jax.Array) -> Iterator[Model]:
    """The network without what it learned in its last layers, once for every number in ``at``.

    The values of each parameter are shuffled, each parameter by random numbers of its own. So the
    new ones have exactly the old ones' distribution, whatever it is, variances of batches stay
    positive, and no two layers are alike. With the last layer go parameters that no layer holds.
    """
    layers = weighted(model)
    parameters = dict(model.parameters)
    held = {name for layer in layers for name in layer.names}
    done = 0
    for depth in at:
        for layer in layers[done:depth]:
            for name in layer.names:
                parameters[name] = _shuffled(parameters[name], name, layer, key)
        if depth == len(layers):
            for name in parameters.keys() - held:
                parameters[name] = _shuffled(parameters[name], name, None, key)
        done = depth
        yield model.with_parameters(parameters)


def _shuffled(values: jax.Array, name: str, layer: LayerInfo | None, key: jax.Array) -> jax.Array:
    """Values in random order; where rounds of a scan are stacked, those of the layer's round."""
    turn = None
    if layer is not None and values.ndim > len(layer.parameters[layer.names.index(name)][1]):
        turn = layer.round
    changed = np.array(values)
    part = changed if turn is None else changed[turn]
    random = generator(key, name if turn is None else f"{name}[{turn}]")
    part[...] = random.permutation(part.ravel()).reshape(part.shape)
    return jnp.asarray(changed)


@dataclass(frozen=True)
class _Kept:
    """Correlations of one method's maps, (stages + 1, images): of sizes, and with signs.

    NaN where a map of a randomised network is blank: often nothing reaches the score there.
    """

    sizes: np.ndarray
    signed: np.ndarray


@settings
class SanityCheck(MapTest):
    """Settings of the method, besides those of all tests of maps.

    Attributes:
      stages: how many randomised networks; layers are added evenly from the output on.
      threshold: a warning where the maps' mean correlation stays above it without any weights.
    """

    title: ClassVar[str] = "Sanity check"
    unit: ClassVar[tuple[str, str]] = ("randomised network", "randomised networks")
    intro: ClassVar[str] = (
        "The weights are shuffled layer by layer from the output to the input, and the maps made "
        "again. A map that explains the network must change; one that stays shows the image, as "
        "an edge detector would. Passing is necessary and proves nothing more."
    )

    stages: Count
    threshold: Fraction

    def work(self, context: Context) -> int:
        layers = weighted(context.model)
        if not layers:
            raise NotApplicableError("sanity_check shuffles parameters, and no layer has any.")
        return len(depths(len(layers), self.stages))

    def run(self, context: Context) -> Result:
        at = depths(len(weighted(context.model)), self.stages)
        explained = {
            name: one
            for name, one in context.explained.items()
            if np.isfinite(one.maps[: self.count]).all()
        }
        if not explained:
            context.advance(len(at))
            return Result(blocks=(nothing(),), intro=self.intro)
        kept = self._correlations(context, explained, at)
        controls = self._controls(context, explained)
        final = {name: mean(one.sizes[-1]) for name, one in kept.items()}
        return Result(
            blocks=(
                *self._curves(context, explained, kept, at),
                self._summary(explained, kept, controls),
                Text(text=NOTE, tone="note"),
                self._stages(context, explained, kept, at),
                self._images(context, explained, kept),
            ),
            intro=self.intro,
            metrics={f"{explained[n].title}: {SHUFFLED}": value for n, value in final.items()},
            findings=tuple(
                self._finding(explained[name], name, kept[name], controls[name])
                for name, value in final.items()
                if value > self.threshold
            ),
            evidence={
                (name, i): (
                    (
                        "correlation, weights shuffled",
                        "none: a blank map"
                        if math.isnan(one.sizes[-1, i])
                        else float(one.sizes[-1, i]),
                    ),
                )
                for name, one in kept.items()
                for i in range(one.sizes.shape[1])
            },
        )

    def _correlations(
        self, context: Context, explained: Mapping[str, Explained], at: Sequence[int]
    ) -> dict[str, _Kept]:
        found: dict[str, tuple[list[list[float]], list[list[float]]]] = {
            name: ([], []) for name in explained
        }
        for model in randomised(context.model, at, context.key):
            for name, one in explained.items():
                maps = self._again(context, one, model)
                pairs = list(zip(one.maps, maps, strict=False))
                sizes, signed = found[name]
                sizes.append([rank_correlation(np.abs(a), np.abs(b)) for a, b in pairs])
                signed.append([rank_correlation(a, b) for a, b in pairs])
            context.advance(1)
        return {
            name: _Kept(*(np.array([[1.0] * len(part[0]), *part]) for part in parts))
            for name, parts in found.items()
        }

    def _again(self, context: Context, one: Explained, model: Model) -> np.ndarray:
        """The first maps of a method, of another network."""
        count = min(self.count, len(one.maps))
        x = model.spec.normalise(context.images.pixels[:count])
        return one.explain(model, x, one.targets[:count], one.keys[:count])

    def _controls(
        self, context: Context, explained: Mapping[str, Explained]
    ) -> dict[str, dict[str, float]]:
        """Mean correlation of each method's maps with those that never saw the network."""
        found: dict[str, dict[str, list[float]]] = {
            name: {control: [] for control in CONTROLS} for name in explained
        }
        for subject in subjects(context, self.count):
            for name in explained.keys() & subject.maps.keys():
                size = np.abs(subject.maps[name])
                for control in CONTROLS:
                    correlation = rank_correlation(size, subject.maps[control])
                    found[name][control].append(correlation)
        return {
            name: {control: mean(np.array(values)) for control, values in by.items()}
            for name, by in found.items()
        }

    def _finding(
        self, one: Explained, name: str, kept: _Kept, controls: Mapping[str, float]
    ) -> Finding:
        value = mean(kept.sizes[-1])
        signs = f", {mean(kept.signed[-1]):.4g} with their signs" if one.maps.min() < 0 else ""
        chance = ", ".join(f"with a {control} {of:.4g}" for control, of in controls.items())
        return Finding(
            severity="warn",
            check="sanity_check",
            message=f"{one.title} hardly depends on the weights: with all of them shuffled its "
            f"maps correlate {value:.4g} with those of the trained network{signs} (for "
            f"comparison, {chance}).",
            where=name,
            value=value,
            threshold=self.threshold,
            advice="What such a map shows is in the image, and need not be what the network uses.",
        )

    def _curves(
        self,
        context: Context,
        explained: Mapping[str, Explained],
        kept: Mapping[str, _Kept],
        at: Sequence[int],
    ) -> list[Curve]:
        x = np.array([0, *at], np.float64)
        drawn = {"Absolute values": {name: one.sizes for name, one in kept.items()}}
        with_signs = {n: one.signed for n, one in kept.items() if explained[n].maps.min() < 0}
        if with_signs:
            drawn["Values with their signs"] = with_signs
        return [
            Curve(
                series=tuple(
                    Series(name=explained[name].title, x=x, y=np.array([mean(v) for v in values]))
                    for name, values in lines.items()
                ),
                caption=context.caption(
                    title,
                    detail=f"{TITLE}; layers shuffled from the output on, each parameter by "
                    "itself; mean over images",
                    formula="Spearman's ρ, cascading randomisation (Adebayo et al. 2018)",
                ),
                x_label=f"shuffled layers of {at[-1]}",
                y_label="rank correlation",
            )
            for title, lines in drawn.items()
        ]

    def _summary(
        self,
        explained: Mapping[str, Explained],
        kept: Mapping[str, _Kept],
        controls: Mapping[str, Mapping[str, float]],
    ) -> Table:
        rows: list[tuple[Cell, ...]] = [
            (
                explained[name].title,
                mean(one.sizes[1]),
                mean(one.sizes[-1]),
                mean(one.signed[-1]),
                *controls[name].values(),
                one.sizes.shape[1],
                int(np.isnan(one.sizes[-1]).sum()),
            )
            for name, one in kept.items()
        ]
        return Table(
            columns=(
                "map",
                "last layer shuffled",
                "all shuffled",
                "all shuffled, with signs",
                *(f"with a {control}" for control in CONTROLS),
                "images",
                "blank",
            ),
            rows=tuple(rows),
            caption=f"Mean {TITLE}, of absolute values.",
        )

    def _stages(
        self,
        context: Context,
        explained: Mapping[str, Explained],
        kept: Mapping[str, _Kept],
        at: Sequence[int],
    ) -> Table:
        layers = weighted(context.model)
        return Table(
            columns=("shuffled layers", "down to", *(explained[name].title for name in kept)),
            rows=tuple(
                (
                    depth,
                    layers[depth - 1].path,
                    *(mean(one.sizes[k + 1]) for one in kept.values()),
                )
                for k, depth in enumerate(at)
            ),
            caption=f"Mean {TITLE} by stage, of absolute values.",
        )

    def _images(
        self, context: Context, explained: Mapping[str, Explained], kept: Mapping[str, _Kept]
    ) -> Table:
        most = max(one.sizes.shape[1] for one in kept.values())
        return Table(
            columns=("image", *(explained[name].title for name in kept)),
            rows=tuple(
                (
                    context.images.names[i],
                    *(
                        _cell(one.sizes[-1, i]) if i < one.sizes.shape[1] else None
                        for one in kept.values()
                    ),
                )
                for i in range(most)
            ),
            caption=f"The {TITLE} once all weights are shuffled, image by image.",
        )


def _cell(correlation: float) -> float | None:
    """A correlation for a table; nothing where it is not defined."""
    return float(correlation) if math.isfinite(correlation) else None
