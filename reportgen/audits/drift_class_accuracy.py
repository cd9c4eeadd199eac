"""Accuracy that was lost since the baseline, class by class."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from reportgen.audits.base import Measure
from reportgen.audits.by_class import ADVICE, judged_classes
from reportgen.audits.pair import DriftAudit, Pair
from reportgen.core.settings import Count, settings


@settings
class DriftClassAccuracy(DriftAudit):
    """Accuracy (0..1) that was lost over the images of each class that both reports have.

    Attributes:
      images: of a class; one with fewer is not judged.
    """

    title: ClassVar[str] = "Loss of accuracy of each class"
    advice: ClassVar[str] = ADVICE

    images: Count

    def compare(self, pair: Pair) -> Iterator[Measure]:
        found = pair.answered
        labels = found.labels[:, 1]
        for index in judged_classes(labels, self.images, " that both reports have"):
            own = found.right[labels == index]
            before, after = (int(hits) for hits in own.sum(axis=0))
            name = pair.candidate.model.classes[index]
            message = (
                f"{after} of {len(own)} images of {name} are classified rightly, {before} in the "
                "baseline."
            )
            yield Measure(where=name, value=(before - after) / len(own), message=message)
