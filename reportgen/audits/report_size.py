"""What the pages take on a disk and in a mail."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from reportgen.audits.base import Audit, Measure
from reportgen.core.checks import About
from reportgen.core.settings import settings
from reportgen.render import numbers

if TYPE_CHECKING:
    from reportgen.audits.evidence import Evidence


@settings
class ReportSize(Audit):
    """Megabytes (of 10⁶ bytes) of report.html, assets/ and report.pdf."""

    title: ClassVar[str] = "Size of the report, MB"
    advice: ClassVar[str] = (
        "Show fewer layers, units or images, or set report.max_mb, which draws pictures smaller."
    )
    about: ClassVar[About] = "report"

    def measure(self, evidence: Evidence) -> Iterator[Measure]:
        sizes = evidence.finished.sizes
        total = sum(sizes.values())
        parts = ", ".join(f"{name} {numbers.size(size)}" for name, size in sizes.items() if size)
        message = f"The pages take {numbers.size(total)}, before this line is in them: {parts}."
        yield Measure(where="the pages", value=total / 1e6, message=message)
