"""Weights and answers that are NaN or infinite."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from reportgen.audits.base import Audit, Measure
from reportgen.core.settings import settings

if TYPE_CHECKING:
    from reportgen.audits.evidence import Evidence


@settings
class NonFinite(Audit):
    """How many numbers of a layer are not finite: of its parameters, and of its answers.

    A unit's answer to an image is not, where it is not at one place.
    """

    title: ClassVar[str] = "Non-finite numbers"
    advice: ClassVar[str] = (
        "Nothing computed from them can be trusted. Look at the first layer that has them: at its "
        "learning rate, its norm's epsilon, and the checkpoint before."
    )

    def measure(self, evidence: Evidence) -> Iterator[Measure]:
        for layer in evidence.chosen(self.layers):
            for name, array in evidence.model.layer_parameters(layer.path).items():
                bad = int((~np.isfinite(np.asarray(array))).sum())
                yield self._told(layer.path, f"values of {name}", bad, array.size)
        if not evidence.images.listed:
            return
        chosen = {layer.path for layer in evidence.chosen(self.layers)}
        for path, totals in evidence.totals.items():
            if path in chosen:
                answers = len(totals.finite) * totals.images
                known = int((totals.finite / totals.places).sum())
                yield self._told(path, "answers to an image by units", answers - known, answers)

    def _told(self, path: str, what: str, bad: int, size: int) -> Measure:
        message = f"{bad:,} of {size:,} {what} of {path} are NaN or infinite."
        return Measure(where=path, value=float(bad), message=message)
