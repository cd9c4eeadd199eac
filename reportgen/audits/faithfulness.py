"""Whether maps are better than a map that never saw the network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from reportgen.audits.base import Audit, Measure
from reportgen.core.errors import NotApplicableError
from reportgen.core.report import RANDOM
from reportgen.core.settings import settings

if TYPE_CHECKING:
    from reportgen.audits.evidence import Evidence


@settings
class Faithfulness(Audit):
    """By how much a map's measure beats the random map's; below 0 it does worse.

    Measured is what the tests of maps in the report judge: deletion AUC and insertion AUC, means
    of probabilities; ROAD, half a difference of probabilities; infidelity's agreement, a cosine.
    All are means over images.
    """

    title: ClassVar[str] = "Faithfulness of maps"
    advice: ClassVar[str] = (
        "Do not read these maps as what the network looks at before more images or another test "
        "say otherwise."
    )
    lower_is_worse: ClassVar[bool] = True

    def measure(self, evidence: Evidence) -> Iterator[Measure]:
        named = {name: name.partition(": ")[::2] for name in evidence.metrics}
        chance = {
            measure: evidence.metrics[name]
            for name, (shown, measure) in named.items()
            if shown == RANDOM
        }
        if not chance:
            raise NotApplicableError(
                "No method of this report tests maps against a random one: add one that does, "
                "method=[…,deletion_insertion], road or infidelity."
            )
        for name, (shown, measure) in named.items():
            if measure not in chance or shown == RANDOM:
                continue
            own, other = evidence.metrics[name], chance[measure]
            higher = measure.endswith("↑")
            value = own - other if higher else other - own
            yield Measure(
                where=shown,
                value=value,
                message=f"{shown}: {measure} is {own:.4g}, a random map's {other:.4g}.",
            )
