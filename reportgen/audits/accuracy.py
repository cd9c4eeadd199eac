"""The share of images that the network is right about."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from reportgen.audits.base import Audit, Measure
from reportgen.audits.evidence import Evidence
from reportgen.core.settings import settings
from reportgen.methods.predictions import top_k_accuracy


@settings
class Accuracy(Audit):
    """Accuracy over all labelled images (0..1)."""

    title: ClassVar[str] = "Accuracy"
    advice: ClassVar[str] = (
        "Check that weights, preprocessing and the order of classes belong together before "
        "training again."
    )
    lower_is_worse: ClassVar[bool] = True

    def measure(self, evidence: Evidence) -> Iterator[Measure]:
        labels = evidence.labels
        value = top_k_accuracy(labels, evidence.logits, 1)
        hits = round(value * len(labels))
        message = f"{hits} of {len(labels)} images are classified rightly ({value:.2%})."
        yield Measure(where="all classes", value=value, message=message)
