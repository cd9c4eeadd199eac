"""Whether probabilities mean what they say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from reportgen.audits.base import Audit, Measure
from reportgen.core.errors import NotApplicableError
from reportgen.core.settings import Count, settings

if TYPE_CHECKING:
    from reportgen.audits.evidence import Evidence


def expected_calibration_error(
    confidence: np.ndarray, right: np.ndarray, bins: int
) -> tuple[float, float]:
    """Mean distance of confidence and accuracy over equal bins of confidence, weighted by images.

    Guo, Pleiss, Sun, Weinberger: On Calibration of Modern Neural Networks (2017).

    Args:
      confidence: (N,) of the predicted class, 0..1. right: (N,) whether that is the true one.

    Returns:
      The error (0..1), and mean confidence minus accuracy: above zero is overconfident.
    """
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    gaps = np.bincount(place, confidence - right, bins)
    return float(np.abs(gaps).sum() / len(right)), float((confidence - right).mean())


@settings
class Calibration(Audit):
    """Expected calibration error (0..1) over all labelled images.

    Attributes:
      bins: of confidence.
      images: fewer give no error worth the name.
    """

    title: ClassVar[str] = "Calibration error"
    advice: ClassVar[str] = "Scale the logits by a temperature that is fitted on held-out images."

    bins: Count
    images: Count

    def measure(self, evidence: Evidence) -> Iterator[Measure]:
        labels = evidence.labels
        if len(labels) < self.images:
            raise NotApplicableError(
                f"There are {len(labels)} labelled images; {self.images} are needed."
            )
        confidence = evidence.probabilities.max(axis=-1)
        if bad := int((~np.isfinite(confidence)).sum()):
            raise NotApplicableError(f"{bad} images give logits that are not finite.")
        right = evidence.logits.argmax(axis=-1) == labels
        error, over = expected_calibration_error(confidence, right, self.bins)
        message = (
            f"Confidence and accuracy are {error:.2%} apart; on the whole the network is "
            f"{'over' if over > 0 else 'under'}confident by {abs(over):.2%}."
        )
        yield Measure(where="all classes", value=error, message=message)
