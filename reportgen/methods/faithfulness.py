"""What tests of maps share: the maps with two controls, scores of many inputs, and what is told.

A map that says where the network looks must do better than one that never saw the network. Every
test is run on two such controls too: noise, and a blob in the middle, where most objects are. The
noise is not smoothed: single pixels all over an image destroy it sooner than patches do, so this is
the harder control.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, ClassVar, NamedTuple

import jax
import numpy as np

from reportgen.core.blocks import Cell, Curve, Finding, Series, Table, Text
from reportgen.core.errors import NotApplicableError
from reportgen.core.report import BLOB, RANDOM
from reportgen.core.settings import Count, settings
from reportgen.engine.replayed import Replayed
from reportgen.engine.rows import Engine
from reportgen.methods.base import Context, Explained, Method, Result, fold_in_name
from reportgen.methods.targets import Scores
from reportgen.models.base import Model

CONTROLS = (RANDOM, BLOB)
BLOB_DEVIATION = 0.25  # of each side; only infidelity sees more of it than its order


class Measure(NamedTuple):
    """A number that a test gives every map.

    Attributes:
      higher: higher is better.
      judged: maps are expected to beat the controls by it.
    """

    name: str
    higher: bool
    judged: bool = True

    @property
    def title(self) -> str:
        """The name with an arrow that points to what is better."""
        return f"{self.name} {'↑' if self.higher else '↓'}"

    def beats(self, one: float, other: float) -> bool:
        """Whether one number is better than another; never if one is not finite."""
        return one > other if self.higher else one < other


@dataclass(frozen=True, kw_only=True)
class Subject:
    """An image and a class, with all maps that explain it.

    Attributes:
      place: of the image in the batch.
      maps: (H, W) by name: those of methods, then the controls.
      noise: (H, W), 0..1; it orders pixels that a map holds equal, so a map that says nothing does
        as well as the random one.
    """

    place: int
    target: int
    maps: Mapping[str, np.ndarray]
    noise: np.ndarray

    def order(self, name: str) -> np.ndarray:
        """(H W,) places of pixels, the highest values of a map first; ties in random order."""
        return np.lexsort((-self.noise.ravel(), -self.maps[name].ravel()))


@dataclass(frozen=True, kw_only=True)
class Tested:
    """What a test found out about one subject.

    Attributes:
      values: by the measure's name, then the map's.
      curves: (K,) by the figure's name, then the map's.
    """

    values: Mapping[str, Mapping[str, float]]
    curves: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)


class Figure(NamedTuple):
    """How the curves of a test are drawn: their mean over subjects, a line for each map.

    Attributes:
      x: (K,).
      y_range: fixes the axis.
    """

    title: str
    x: np.ndarray
    x_label: str
    y_label: str
    formula: str
    y_range: tuple[float, float] | None = (0, 1)
    detail: str = ""


def scores(engine: Engine, model: Model, inputs: Iterable[np.ndarray]) -> np.ndarray:
    """Scores (N, classes) of many inputs (H, W, C), normalised, of which few exist at once."""
    chunks = engine.map(Scores(), model, Replayed(inputs))
    return np.concatenate([chunk.made for chunk in chunks])


def generator(key: jax.Array, name: str = "") -> np.random.Generator:
    """NumPy's random numbers by a JAX key and a stable name."""
    return np.random.default_rng(np.asarray(jax.random.key_data(fold_in_name(key, name))))


def blob(height: int, width: int) -> np.ndarray:
    """(H, W): a Gaussian in the middle, as wide and high as the image."""
    rows, columns = (
        np.exp(-0.5 * ((np.arange(side) - (side - 1) / 2) / (BLOB_DEVIATION * side)) ** 2)
        for side in (height, width)
    )
    return np.asarray(rows[:, None] * columns, np.float32)


def several_classes(context: Context, name: str) -> None:
    """Refuse a network of one score, whose probability is always 1.

    Raises:
      NotApplicableError: if there is but one.
    """
    if len(context.model.classes) == 1:
        kind = context.model.head.score.kind
        raise NotApplicableError(
            f"{name} watches a class's probability, and score={kind} has one score here."
        )


@settings
class MapTest(Method):
    """Settings of all tests of maps.

    Attributes:
      intro: what the test tells, and what it does not.
      count: images whose maps are tested, the first of those explained.
      maps: methods, by name, with all their keys, that make the maps where none that does is chosen
        beside the test.
    """

    needs_maps: ClassVar[bool] = True
    intro: ClassVar[str]

    count: Count
    maps: dict[str, dict[str, Any]]


@settings
class Faithfulness(MapTest):
    """Tests that give each map numbers of its own.

    Attributes:
      measures: the numbers that the test gives a map.
      check: name for findings.
    """

    unit: ClassVar[tuple[str, str]] = ("image", "images")
    measures: ClassVar[tuple[Measure, ...]]
    check: ClassVar[str]

    @property
    def note(self) -> str:
        """What else to know of the numbers; below the table of means."""
        return ""

    @abstractmethod
    def test(self, context: Context, subject: Subject) -> Tested:
        """Test all maps of one subject."""

    def figures(self, context: Context) -> Mapping[str, Figure]:
        """How to draw the curves of ``Tested``, by name."""
        return {}

    def unfit(self, tested: Sequence[Tested]) -> Mapping[Measure, Finding]:
        """Measures that tell nothing of these images, and why; nothing is judged by them."""
        return {}

    def work(self, context: Context) -> int:
        return context.images.first(self.count)

    def run(self, context: Context) -> Result:
        found = subjects(context, self.count)
        tested: list[Tested] = []
        done = 0
        for place, group in groupby(found, key=lambda subject: subject.place):
            tested += [self.test(context, subject) for subject in group]
            context.advance(place + 1 - done)
            done = place + 1
        context.advance(self.work(context) - done)
        if not tested:
            return Result(blocks=(nothing(),), intro=self.intro)
        unfit = self.unfit(tested)
        values = {
            measure: [one.values[measure.name] for one in tested] for measure in self.measures
        }
        return Result(
            blocks=(
                *self._curves(context, tested),
                self._means(context, values),
                *((Text(text=self.note, tone="note"),) if self.note else ()),
                *(
                    _by_image(context, found, measure, values[measure])
                    for measure in self.measures
                    if measure.judged
                ),
            ),
            intro=self.intro,
            metrics={
                f"{title}: {measure.title}": average(values[measure], name)
                for measure in self.measures
                if measure.judged and measure not in unfit
                for name, title in titles(context.explained, values[measure]).items()
            },
            findings=(
                *self._findings(context, {m: v for m, v in values.items() if m not in unfit}),
                *unfit.values(),
            ),
            evidence=_evidence(context, found, values),
        )

    def _curves(self, context: Context, tested: Sequence[Tested]) -> list[Curve]:
        drawn = []
        for key, figure in self.figures(context).items():
            curves = [one.curves[key] for one in tested]
            drawn.append(
                Curve(
                    series=tuple(
                        Series(
                            name=title,
                            x=figure.x,
                            y=np.mean([each[name] for each in curves if name in each], axis=0),
                        )
                        for name, title in titles(context.explained, curves).items()
                    ),
                    caption=context.caption(
                        figure.title,
                        detail=f"{figure.detail}{'; ' if figure.detail else ''}"
                        f"mean over {_counted(len(tested))}",
                        formula=figure.formula,
                    ),
                    x_label=figure.x_label,
                    y_label=figure.y_label,
                    y_range=figure.y_range,
                )
            )
        return drawn

    def _means(
        self, context: Context, values: Mapping[Measure, Sequence[Mapping[str, float]]]
    ) -> Table:
        first = values[self.measures[0]]
        rows: list[tuple[Cell, ...]] = [
            (
                title,
                *(average(values[measure], name) for measure in self.measures),
                sum(name in each for each in first),
            )
            for name, title in titles(context.explained, first).items()
        ]
        return Table(
            columns=("map", *(measure.title for measure in self.measures), "images"),
            rows=tuple(rows),
            caption="Means over images; ↑ higher is better, ↓ lower. The controls never saw the "
            "network.",
        )

    def _findings(
        self, context: Context, values: Mapping[Measure, Sequence[Mapping[str, float]]]
    ) -> Iterable[Finding]:
        for name, one in context.explained.items():
            for measure, taken in values.items():
                if not measure.judged or not any(name in each for each in taken):
                    continue
                own = average(taken, name)
                lost = {
                    control: other
                    for control in CONTROLS
                    if not measure.beats(own, other := average(taken, name, control))
                }
                if not lost:
                    continue
                told = " and ".join(f"a {control}'s {other:.4g}" for control, other in lost.items())
                images = sum(name in each for each in taken)
                yield Finding(
                    severity="warn",
                    check=self.check,
                    message=f"{one.title} does not beat what never saw the network: its "
                    f"{measure.name} is {own:.4g}, {told}, on average over {_counted(images)} "
                    f"({'higher' if measure.higher else 'lower'} is better).",
                    where=name,
                    value=own,
                    threshold=(max if measure.higher else min)(lost.values()),
                    advice="Do not read these maps as what the network looks at before more images "
                    "or another test say otherwise.",
                )


def subjects(context: Context, count: int) -> list[Subject]:
    """The first ``count`` images with the maps of all methods and the controls.

    A subject for each class that a method explains. A map that is not finite is left out: its
    method's own section tells so.
    """
    explained, found = context.explained, []
    for place in range(min(count, max((len(one.maps) for one in explained.values()), default=0))):
        name = context.images.names[place]
        by_target: dict[int, dict[str, np.ndarray]] = {}
        for method, one in explained.items():
            if place < len(one.maps) and np.isfinite(one.maps[place]).all():
                by_target.setdefault(int(one.targets[place]), {})[method] = one.maps[place]
        for target, maps in by_target.items():
            height, width = next(iter(maps.values())).shape
            noise = generator(context.key, name).random((height, width), np.float32)
            controls = {RANDOM: noise, BLOB: blob(height, width)}
            found.append(
                Subject(place=place, target=target, maps={**maps, **controls}, noise=noise)
            )
    return found


def average(values: Sequence[Mapping[str, float]], name: str, of: str = "") -> float:
    """Mean of a map's numbers, or of another's (``of``) on the same subjects."""
    return float(np.mean([each[of or name] for each in values if name in each]))


def nothing() -> Text:
    """Says that there is no map to test."""
    return Text(text="No method of this report made a finite map, so nothing is tested.")


def titles(
    explained: Mapping[str, Explained], values: Sequence[Mapping[str, object]]
) -> dict[str, str]:
    """What maps are called in tables, by name, of those that any subject has."""
    names = {name: one.title for name, one in explained.items()}
    names |= {control: control for control in CONTROLS}
    return {key: title for key, title in names.items() if any(key in each for each in values)}


def _by_image(
    context: Context,
    found: Sequence[Subject],
    measure: Measure,
    values: Sequence[Mapping[str, float]],
) -> Table:
    named = titles(context.explained, values)
    rows = [
        (
            context.images.names[subject.place],
            context.model.classes[subject.target],
            *(each.get(name) for name in named),
        )
        for subject, each in zip(found, values, strict=True)
    ]
    return Table(
        columns=("image", "class", *named.values()),
        rows=tuple(rows),
        caption=f"{measure.title[:1].upper()}{measure.title[1:]} image by image.",
    )


def _evidence(
    context: Context,
    found: Sequence[Subject],
    values: Mapping[Measure, Sequence[Mapping[str, float]]],
) -> dict[tuple[str, int], tuple[tuple[str, Cell], ...]]:
    evidence = {}
    for k, subject in enumerate(found):
        for name in context.explained.keys() & subject.maps.keys():
            facts: list[tuple[str, Cell]] = []
            for measure, taken in values.items():
                if measure.judged:
                    told = ", ".join(f"{taken[k][control]:.3g}" for control in CONTROLS)
                    facts.append((f"{measure.name} (controls)", f"{taken[k][name]:.3g} ({told})"))
            evidence[name, subject.place] = tuple(facts)
    return evidence


def _counted(images: int) -> str:
    return f"{images} image{'' if images == 1 else 's'}"
