"""Whether the programs that reports run give what the network as it is written gives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from reportgen.audits.base import Audit, Measure
from reportgen.core.settings import settings

if TYPE_CHECKING:
    from reportgen.audits.evidence import Evidence
    from reportgen.methods.numerics import Compared, Off


@settings
class Numerics(Audit):
    """How far one image's numbers are from those without compilation, as a share of the largest.

    Of logits and activations the largest difference counts. Of a gradient the median does: it
    jumps by some hundredths where rounding takes a value across a rectifier's kink, or makes
    another one of two equal maxima the first, and only there. A wrong derivative is off in most
    places.
    """

    title: ClassVar[str] = "Numerics"
    advice: ClassVar[str] = (
        "What this report shows was computed by these programs. Make it with "
        "engine.cpu_lowerings=false: if this passes then, a rewritten operation is at fault, else "
        "the compiler, of which reportgen doctor tells more."
    )

    def measure(self, evidence: Evidence) -> Iterator[Measure]:
        name = evidence.images.names[0] if evidence.images.listed else ""
        for one in evidence.numerics:
            yield _told(one, name)


def _told(one: Compared, image: str) -> Measure:
    beside = {"the network without compilation": one.plain}
    if not isinstance(one.exact, str):
        beside["float64"] = one.exact
    value = max(found.median if one.jumps else found.largest for found in beside.values())
    what = "median difference" if one.jumps else "largest difference"
    numbers = " and ".join(f"{_words(one, found)} from {name}" for name, found in beside.items())
    about = f"Output of {one.where}" if one.layer else one.where.capitalize()
    message = f"{about} for {image}, compiled: {what} {numbers}, as shares of the largest number."
    if isinstance(one.exact, str):
        message += f" float64 was left out: {one.exact}."
    return Measure(where=one.where, value=value, message=message)


def _words(one: Compared, found: Off) -> str:
    if one.jumps:
        return f"{found.median:.2g} (largest {found.largest:.2g})"
    return f"{found.largest:.2g}"
