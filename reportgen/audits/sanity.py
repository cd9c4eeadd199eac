"""Whether maps depend on what the network learned."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from reportgen.audits.base import Audit, Measure
from reportgen.core.errors import NotApplicableError
from reportgen.core.report import SHUFFLED
from reportgen.core.settings import settings

if TYPE_CHECKING:
    from reportgen.audits.evidence import Evidence


@settings
class Sanity(Audit):
    """Rank correlation (−1..1) of a method's maps with those of shuffled weights, mean over images.

    The cascading test of Adebayo et al., Sanity Checks for Saliency Maps (2018), at its end.
    """

    title: ClassVar[str] = "Sanity of maps"
    advice: ClassVar[str] = (
        "What such a map shows is in the image, and need not be what the network uses."
    )

    def measure(self, evidence: Evidence) -> Iterator[Measure]:
        found = {
            shown: value
            for name, value in evidence.metrics.items()
            for shown, _, measure in (name.partition(": "),)
            if measure == SHUFFLED
        }
        if not found:
            raise NotApplicableError(
                "No method of this report shuffles the weights: add it, method=[…,sanity_check]."
            )
        for shown, value in found.items():
            message = (
                f"With all weights shuffled the maps of {shown} have a rank correlation of "
                f"{value:.4g} with those of the trained network."
            )
            yield Measure(where=shown, value=value, message=message)
