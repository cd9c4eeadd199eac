"""The share of images that the network is right about, class by class."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from reportgen.audits.base import Audit, Measure
from reportgen.audits.by_class import ADVICE, judged_classes
from reportgen.core.settings import Count, settings

if TYPE_CHECKING:
    from reportgen.audits.evidence import Evidence


@settings
class ClassAccuracy(Audit):
    """Accuracy (0..1) over the images of each class that has enough of them.

    Attributes:
      images: of a class; one with fewer is not judged.
    """

    title: ClassVar[str] = "Accuracy of each class"
    advice: ClassVar[str] = ADVICE
    lower_is_worse: ClassVar[bool] = True

    images: Count

    def measure(self, evidence: Evidence) -> Iterator[Measure]:
        labels, predicted = evidence.labels, evidence.logits.argmax(axis=-1)
        for index in judged_classes(labels, self.images):
            own = predicted[labels == index]
            hits, name = int((own == index).sum()), evidence.model.classes[index]
            taken = np.bincount(own[own != index]) if hits < len(own) else np.zeros(1)
            message = f"{hits} of {len(own)} images of {name} are classified rightly"
            if taken.max() > 0:
                other = evidence.model.classes[int(taken.argmax())]
                message += f"; {int(taken.max())} are taken for {other}"
            yield Measure(where=name, value=hits / len(own), message=f"{message}.")
