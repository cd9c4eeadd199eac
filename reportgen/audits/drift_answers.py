"""How far the distribution of a layer's answers moved from the baseline's, by two measures."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator
from typing import ClassVar

from reportgen.audits.base import Measure
from reportgen.audits.pair import DriftAudit, Pair
from reportgen.core import drift
from reportgen.core.measured import MeasuredLayer
from reportgen.core.settings import settings


@settings
class DriftAnswers(DriftAudit):
    """Distance of the distributions of what a layer answers to the same images."""

    advice: ClassVar[str] = (
        "Look at the first layer that moved: at its weights, at what it reads, and at the "
        "preprocessing of the images."
    )

    @abstractmethod
    def distance(self, base: MeasuredLayer, candidate: MeasuredLayer) -> float:
        """0 for equal distributions; NaN where one has no finite answer."""

    @abstractmethod
    def told(self, path: str, value: float) -> str:
        """The distance in a sentence."""

    def compare(self, pair: Pair) -> Iterator[Measure]:
        for base, candidate in pair.answers(self.layers):
            path, value = candidate.path, self.distance(base, candidate)
            if math.isnan(value):
                message = f"What {path} answers is finite nowhere, here or in the baseline."
            elif not value:
                message = f"What {path} answers is distributed as in the baseline."
            else:
                message = self.told(path, value)
            yield Measure(where=path, value=value, message=message)


@settings
class DriftPSI(DriftAnswers):
    """Population stability index, over the deciles of the baseline's answers."""

    title: ClassVar[str] = "Drift of answers (PSI)"

    def distance(self, base: MeasuredLayer, candidate: MeasuredLayer) -> float:
        return drift.population_stability(base, candidate)

    def told(self, path: str, value: float) -> str:
        return f"The population stability index of what {path} answers is {value:.4g}."


@settings
class DriftKS(DriftAnswers):
    """Kolmogorov-Smirnov distance (0..1)."""

    title: ClassVar[str] = "Drift of answers (KS)"

    def distance(self, base: MeasuredLayer, candidate: MeasuredLayer) -> float:
        return drift.distance_of_distributions(base, candidate)

    def told(self, path: str, value: float) -> str:
        return (
            f"Of what {path} answers up to {value:.2%} went from one side of a value to the other."
        )
