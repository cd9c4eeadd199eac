"""Units whose kernels repeat another's."""

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
class RepeatedUnits(Audit):
    """Share of a layer's units (0..1) that repeat an earlier one.

    Attributes:
      cosine: of two kernels, above which one repeats the other.
    """

    title: ClassVar[str] = "Repeated units"
    advice: ClassVar[str] = "The layer is wider than what it has learned: a narrower one may do."

    cosine: Fraction

    def measure(self, evidence: Evidence) -> Iterator[Measure]:
        for layer in evidence.chosen(self.layers):
            found = evidence.repeated(layer, self.cosine)
            if found is None:
                continue
            again = [f"{unit} repeats {found[unit]}" for unit in np.flatnonzero(found >= 0)]
            message = f"{len(again)} of {len(found)} units of {layer.path} repeat another"
            message += f": {listed(again)}." if again else "."
            yield Measure(where=layer.path, value=len(again) / len(found), message=message)
