"""How far weights moved from the baseline's."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar

from reportgen.audits.base import Measure
from reportgen.audits.pair import DriftAudit, Pair
from reportgen.core import drift
from reportgen.core.settings import settings


@settings
class DriftWeights(DriftAudit):
    """Change of a layer's parameters, as a multiple of the baseline's norm (L2)."""

    title: ClassVar[str] = "Drift of weights"
    advice: ClassVar[str] = (
        "If the network was not meant to be trained again, look for another weights file or a "
        "damaged one; if it was, for the learning rate."
    )

    def compare(self, pair: Pair) -> Iterator[Measure]:
        for base, candidate in pair.layers(self.layers):
            if not drift.has_weights(base, candidate):
                continue
            value = drift.weight_change(base, candidate)
            message = f"The weights of {candidate.path} "
            if not value:
                message += "are the baseline's, bit by bit."
            elif math.isnan(value):
                message += "are not all finite, here or in the baseline."
            else:
                cosine = drift.weight_cosine(base, candidate)
                message += f"moved by {value:.4g} of the baseline's norm (cosine {cosine:.4f})."
            yield Measure(where=candidate.path, value=value, message=message)
