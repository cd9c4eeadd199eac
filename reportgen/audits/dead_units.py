"""Units that never answer above zero, where a rectifier reads them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from reportgen.audits.base import Audit, Measure
from reportgen.audits.evidence import Evidence
from reportgen.core.errors import NotApplicableError
from reportgen.core.settings import Count, settings
from reportgen.methods.base import listed


@settings
class DeadUnits(Audit):
    """Share of a layer's units (0..1) that no image makes answer above zero.

    Attributes:
      images: fewer do not tell a dead unit from one that waits for another picture.
    """

    title: ClassVar[str] = "Dead units"
    advice: ClassVar[str] = "Prune them, or train again with a lower learning rate."

    images: Count

    def measure(self, evidence: Evidence) -> Iterator[Measure]:
        if evidence.images.listed < self.images:
            raise NotApplicableError(
                f"There are {evidence.images.listed} images; {self.images} are needed to tell a "
                "dead unit from one that waits for another picture."
            )
        totals = evidence.totals
        for layer in self.chosen(evidence):
            witness = evidence.witnesses.get(layer.path, "")
            # A layer that only passes on what another answered would tell the same again.
            if layer.kind in ("conv", "conv_transpose", "dense") and witness in totals:
                silent = np.flatnonzero(totals[witness].silent).tolist()
                units = len(totals[witness].finite)
                message = f"{len(silent)} of {units} units of {layer.path} are dead"
                message += f": {listed(silent)}." if silent else "."
                yield Measure(where=layer.path, value=len(silent) / units, message=message)
