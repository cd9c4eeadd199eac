"""How a long run tells where it is."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Hears of the stages of a run, one at a time."""

    def start(self, stage: str, total: int) -> None:
        """A stage of so many units begins."""

    def advance(self, count: int) -> None:
        """So many units of it are finished."""

    def finish(self, made: str) -> None:
        """It is over; what it made, in words."""
