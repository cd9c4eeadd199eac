"""Units that answer the same to everything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from reportgen.audits.base import Audit, Measure
from reportgen.core.messages import listed
from reportgen.core.settings import Fraction, settings

if TYPE_CHECKING:
    from reportgen.audits.evidence import Evidence


@settings
class SaturatedUnits(Audit):
    """Share of a layer's units (0..1) whose answers hardly vary, over all images and places.

    A sigmoid at its end does so, and a unit whose bias outweighs its kernel; a unit that is always
    zero is dead, not saturated.

    Attributes:
      spread: the standard deviation, as a part of the mean's size, below which a unit counts.
    """

    title: ClassVar[str] = "Saturated units"
    advice: ClassVar[str] = (
        "Such a unit is a constant. Look at the scale of its inputs and at its bias; a smaller "
        "learning rate or a norm before the activation keeps units in range."
    )

    spread: Fraction

    def measure(self, evidence: Evidence) -> Iterator[Measure]:
        kinds = ("conv", "conv_transpose", "dense", "activation")
        for layer in evidence.chosen(self.layers):
            totals = evidence.totals.get(layer.path)
            if totals is None or layer.kind not in kinds:
                continue
            with np.errstate(invalid="ignore"):
                still = totals.deviation < self.spread * np.abs(totals.mean)
            units = np.flatnonzero(still).tolist()
            message = f"{len(units)} of {len(still)} units of {layer.path} answer the same to all"
            message += f": {listed(units)}." if units else "."
            yield Measure(where=layer.path, value=len(units) / len(still), message=message)
