"""Accuracy that was lost since the baseline."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from reportgen.audits.base import Measure
from reportgen.audits.pair import DriftAudit, Pair
from reportgen.core.settings import settings


@settings
class DriftAccuracy(DriftAudit):
    """Accuracy (0..1) that was lost over the images that both reports have; below 0 is a gain."""

    title: ClassVar[str] = "Loss of accuracy"
    advice: ClassVar[str] = (
        "Look at the images that are no longer classified rightly, and at what changed in "
        "training, preprocessing or the order of classes."
    )

    def compare(self, pair: Pair) -> Iterator[Measure]:
        right = pair.answered.right
        before, after = (int(hits) for hits in right.sum(axis=0))
        lost = int((right[:, 0] & ~right[:, 1]).sum())
        message = (
            f"{after} of {len(right)} images that both have are classified rightly, {before} in "
            f"the baseline: {lost} were lost, {lost + after - before} gained."
        )
        yield Measure(where="all classes", value=(before - after) / len(right), message=message)
