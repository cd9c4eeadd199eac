"""The share of images that the network is right about."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from reportgen.audits.base import Audit, Measure
from reportgen.core.settings import settings

if TYPE_CHECKING:
    from reportgen.audits.evidence import Evidence


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
        hits = int((evidence.logits.argmax(axis=-1) == labels).sum())
        value = hits / len(labels)
        message = f"{hits} of {len(labels)} images are classified rightly ({value:.2%})."
        yield Measure(where="all classes", value=value, message=message)
