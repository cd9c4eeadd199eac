"""Accuracy that was lost since the baseline, class by class."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from reportgen.audits.base import Measure
from reportgen.audits.pair import DriftAudit, Pair
from reportgen.core.errors import NotApplicableError
from reportgen.core.settings import Count, settings


@settings
class DriftClassAccuracy(DriftAudit):
    """Accuracy (0..1) that was lost over the images of each class that both reports have.

    Attributes:
      images: of a class; one with fewer is not judged.
    """

    title: ClassVar[str] = "Loss of accuracy of each class"
    advice: ClassVar[str] = (
        "Look at the confusion matrix: two classes taken for each other may have their names or "
        "outputs swapped."
    )

    images: Count

    def compare(self, pair: Pair) -> Iterator[Measure]:
        found = pair.answered
        labels = found.labels[:, 1]
        classes, counts = np.unique(labels, return_counts=True)
        enough = classes[counts >= self.images]
        if not enough.size:
            raise NotApplicableError(
                f"No class has {self.images} images that both reports have; the largest has "
                f"{counts.max()}."
            )
        for index in enough.tolist():
            own = found.right[labels == index]
            before, after = (int(hits) for hits in own.sum(axis=0))
            name = pair.candidate.model.classes[index]
            message = (
                f"{after} of {len(own)} images of {name} are classified rightly, {before} in the "
                "baseline."
            )
            yield Measure(where=name, value=(before - after) / len(own), message=message)
