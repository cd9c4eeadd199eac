"""What a build of JAX made of programs whose answers are known."""

from __future__ import annotations

from dataclasses import dataclass

from reportgen.core.fields import Number


@dataclass(frozen=True, kw_only=True)
class WrongAnswer:
    """A program that gave a wrong answer, or none.

    Attributes:
      program: its name.
      got, expected: at the element that is furthest off.
      tolerance: by how much they may differ.
      problem: why there is no answer; else empty, and the numbers are there.
    """

    program: str
    got: Number | None = None
    expected: Number | None = None
    tolerance: float | None = None
    problem: str = ""

    @property
    def words(self) -> str:
        """The program with both numbers, or with what went wrong."""
        if self.got is None or self.expected is None:
            return f"{self.program}: {self.problem}"
        return f"{self.program}: {self.got:.9g} instead of {self.expected:.9g}"


@dataclass(frozen=True, kw_only=True)
class KnownAnswers:
    """How many answers were compared, and those that are wrong."""

    count: int
    wrong: tuple[WrongAnswer, ...] = ()

    @property
    def words(self) -> str:
        """``28 of 28 right``, and what is wrong."""
        right = f"{self.count - len(self.wrong)} of {self.count} right"
        return "; ".join((right, *(one.words for one in self.wrong)))
