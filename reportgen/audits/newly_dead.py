"""Units that died since the baseline."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from reportgen.audits.base import Measure
from reportgen.audits.pair import DriftAudit, Pair
from reportgen.core import drift
from reportgen.core.errors import NotApplicableError
from reportgen.core.messages import listed
from reportgen.core.settings import Count, settings


@settings
class NewlyDead(DriftAudit):
    """Share of a layer's units (0..1) that are dead, and were not in the baseline.

    Attributes:
      images: fewer do not tell a dead unit from one that waits for another picture.
    """

    title: ClassVar[str] = "Newly dead units"
    advice: ClassVar[str] = (
        "Look at the learning rate, and at the layer's biases; go back to a checkpoint from before."
    )

    images: Count

    def compare(self, pair: Pair) -> Iterator[Measure]:
        layers = pair.answers(self.layers)
        if len(pair.images) < self.images:
            raise NotApplicableError(
                f"There are {len(pair.images)} images; {self.images} are needed to tell a dead "
                "unit from one that waits for another picture."
            )
        for base, candidate in layers:
            if candidate.kind not in ("conv", "conv_transpose", "dense"):
                continue
            died, back = drift.newly_dead(base, candidate), drift.revived(base, candidate)
            units = len(candidate.dead)
            message = f"{len(died)} of {units} units of {candidate.path} died"
            message += f": {listed(died.tolist())}" if died.size else ""
            message += f"; {len(back)} came back." if back.size else "."
            yield Measure(where=candidate.path, value=len(died) / units, message=message)
