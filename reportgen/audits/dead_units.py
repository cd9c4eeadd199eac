"""Units that never answer above zero, where a rectifier reads them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from reportgen.audits.base import Audit, Measure
from reportgen.core.errors import NotApplicableError
from reportgen.core.messages import listed
from reportgen.core.settings import Count, NotNegative, settings

if TYPE_CHECKING:
    from reportgen.audits.evidence import Evidence


@settings
class DeadUnits(Audit):
    """Share of a layer's units (0..1) that no image makes answer above a threshold.

    Attributes:
      threshold: of what the rectifier reads.
      images: fewer do not tell a dead unit from one that waits for another picture.
    """

    title: ClassVar[str] = "Dead units"
    advice: ClassVar[str] = "Prune them, or train again with a lower learning rate."

    threshold: NotNegative
    images: Count

    def measure(self, evidence: Evidence) -> Iterator[Measure]:
        if evidence.images.listed < self.images:
            raise NotApplicableError(
                f"There are {evidence.images.listed} images; {self.images} are needed to tell a "
                "dead unit from one that waits for another picture."
            )
        above = f" (never above {self.threshold:g})" if self.threshold else ""
        for layer in evidence.chosen(self.layers):
            # A layer that only passes on what another answered would tell the same again.
            if layer.kind not in ("conv", "conv_transpose", "dense"):
                continue
            dead = evidence.survey.dead(layer, self.threshold)
            if dead is not None:
                silent = np.flatnonzero(dead).tolist()
                message = f"{len(silent)} of {len(dead)} units of {layer.path} are dead{above}"
                message += f": {listed(silent)}." if silent else "."
                yield Measure(where=layer.path, value=len(silent) / len(dead), message=message)
