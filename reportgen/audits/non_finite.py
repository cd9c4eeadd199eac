"""Weights and answers that are NaN or infinite."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from reportgen.audits.base import Audit, Measure
from reportgen.audits.evidence import Evidence
from reportgen.core.settings import settings


@settings
class NonFinite(Audit):
    """How many numbers of a layer, of its parameters and of its answers, are not finite."""

    title: ClassVar[str] = "Non-finite numbers"
    advice: ClassVar[str] = (
        "Nothing computed from them can be trusted. Look at the first layer that has them: at its "
        "learning rate, its norm's epsilon, and the checkpoint before."
    )

    def measure(self, evidence: Evidence) -> Iterator[Measure]:
        for layer in self.chosen(evidence):
            for name, array in evidence.model.layer_parameters(layer.path).items():
                bad = int((~np.isfinite(np.asarray(array))).sum())
                yield self._told(layer.path, f"values of {name}", bad, array.size)
        if not evidence.images.listed:
            return
        shapes = {layer.path: layer.shape for layer in self.chosen(evidence)}
        for path, totals in evidence.totals.items():
            if path in shapes:
                places = int(np.prod(shapes[path])) * totals.images
                yield self._told(path, "answers", places - int(totals.finite.sum()), places)

    def _told(self, path: str, what: str, bad: int, size: int) -> Measure:
        message = f"{bad:,} of {size:,} {what} of {path} are NaN or infinite."
        return Measure(where=path, value=float(bad), message=message)
