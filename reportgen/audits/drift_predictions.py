"""Images that are classified otherwise than by the baseline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import ClassVar

from reportgen.audits.base import Measure
from reportgen.audits.pair import DriftAudit, Pair
from reportgen.core.messages import listed
from reportgen.core.settings import settings


@settings
class DriftPredictions(DriftAudit):
    """Share of images (0..1) that the baseline took for another class; labels are not needed."""

    title: ClassVar[str] = "Other predictions"
    advice: ClassVar[str] = (
        "Who relies on single answers sees each of these change: look at the images, and say so in "
        "the notes of the release."
    )

    def compare(self, pair: Pair) -> Iterator[Measure]:
        flips, images = pair.flips, len(pair.images)
        message = f"{len(flips)} of {images} images that both have are taken for another class"
        if flips:
            kinds = Counter(flip.change for flip in flips)
            told = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
            message += f" ({told}): {listed([flip.name for flip in flips])}"
        yield Measure(where="all images", value=len(flips) / images, message=f"{message}.")
