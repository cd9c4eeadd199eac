"""What the run took: time and memory.

Both differ from run to run. With ``report.timings=false`` the report tells what comes of them, and
not the numbers, so that equal runs give equal files.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from reportgen.audits.base import Audit, Measure
from reportgen.audits.finished import Finished
from reportgen.core.checks import About
from reportgen.core.settings import settings
from reportgen.render import numbers

if TYPE_CHECKING:
    from reportgen.audits.evidence import Evidence


@settings
class RunCost(Audit):
    """A number of the run that made the report."""

    about: ClassVar[About] = "report"
    cost: ClassVar[str]

    @abstractmethod
    def taken(self, finished: Finished) -> tuple[float, str]:
        """The number, and what it is in words."""

    def measure(self, evidence: Evidence) -> Iterator[Measure]:
        finished = evidence.finished
        value, words = self.taken(finished)
        if not finished.timings:
            words = f"The {self.cost} of the run was held against the thresholds; " + (
                "report.timings=false leaves the number out."
            )
        yield Measure(where="the run", value=value, message=words, kept=finished.timings)


@settings
class RunTime(RunCost):
    """Seconds from the start of the run to its first pages."""

    title: ClassVar[str] = "Time of the run, seconds"
    advice: ClassVar[str] = (
        "log.txt tells what took how long: leave out a method, layers or images, or take a GPU."
    )
    cost: ClassVar[str] = "time"

    def taken(self, finished: Finished) -> tuple[float, str]:
        return finished.seconds, f"The run took {finished.seconds:,.1f} seconds up to its pages."


@settings
class RunMemory(RunCost):
    """Gigabytes (of 10⁹ bytes) that the process held at the most; not those of a GPU."""

    title: ClassVar[str] = "Memory of the run, GB"
    advice: ClassVar[str] = (
        "A smaller engine.memory_budget or engine.batch computes less at once; fewer images or "
        "units are kept for fewer pictures."
    )
    cost: ClassVar[str] = "memory"

    def taken(self, finished: Finished) -> tuple[float, str]:
        return finished.memory / 1e9, f"The run held up to {numbers.size(finished.memory)}."
