"""Units whose kernels are another's to the last digits: no training makes two of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from reportgen.audits.base import Audit, Measure
from reportgen.core.messages import listed
from reportgen.core.settings import settings

if TYPE_CHECKING:
    from reportgen.audits.evidence import Evidence

_SAME = 0.99999  # cosine, in float32


@settings
class CopiedUnits(Audit):
    """How many of a layer's units have the kernel of an earlier one, but for its size."""

    title: ClassVar[str] = "Copied units"
    advice: ClassVar[str] = (
        "Training does not do this. Look for what wrote the file: a layer that was widened by "
        "copies, a conversion that read a kernel twice, or weights that were tied."
    )

    def measure(self, evidence: Evidence) -> Iterator[Measure]:
        for layer in evidence.chosen(self.layers):
            found = evidence.repeated(layer, _SAME)
            if found is None:
                continue
            again = [f"{unit} is {found[unit]} again" for unit in np.flatnonzero(found >= 0)]
            message = f"{len(again)} of {len(found)} units of {layer.path} are copies"
            message += f": {listed(again)}." if again else "."
            yield Measure(where=layer.path, value=float(len(again)), message=message)
