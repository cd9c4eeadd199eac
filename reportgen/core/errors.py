"""Errors that a person can act on: what was expected, what was found, the likely fix."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """The user's config, data, weights or output folder is wrong (exit code 2).

    Args:
      message: what was expected and what was found, in one or two sentences.
      hint: the likely fix; empty if there is none to name.
    """

    exit_code = 2

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class ConfigError(UserError):
    """A key, value or choice in the configuration."""


class ModelError(UserError):
    """The network cannot be built, or a layer was asked for that it does not have."""


class WeightsError(UserError):
    """A weights file that is missing, damaged, of another network, or not finite."""


class DataError(UserError):
    """Images or labels that cannot be used."""


class ResourceError(UserError):
    """A computation that does not fit into memory."""


class OutputError(UserError):
    """The report cannot be written where it was asked for, or a report folder cannot be read."""


class NotApplicableError(UserError):
    """A method does not apply to this model or selection.

    In a list of methods its section says so and the others go on; asked for alone it is an error.
    """


def nearest(name: str, candidates: Iterable[str], count: int = 3) -> list[str]:
    """The candidates that look most like ``name``, best first; empty if none is close.

    A candidate that begins with, or contains, the name counts as close too (``conv`` finds
    ``conv1``), which an edit distance alone would miss.
    """
    known = list(dict.fromkeys(candidates))
    wanted = name.casefold()

    def likeness(candidate: str) -> float:
        return difflib.SequenceMatcher(None, wanted, candidate.casefold()).ratio()

    # Sorting is stable: of two that are as near, the first known comes first.
    ranked = sorted(known, key=likeness, reverse=True)
    close = [candidate for candidate in ranked if likeness(candidate) >= 0.6]
    close += [k for k in known if wanted and wanted in k.casefold() and k not in close]
    return close[:count]


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """A hint for a wrong name: the nearest names, or else all of them."""
    known = list(dict.fromkeys(candidates))
    close = nearest(name, known)
    if close:
        return f"Did you mean {' or '.join(close)}?"
    if not known:
        return ""
    shown = ", ".join(known[:20])
    return f"Known: {shown}{', …' if len(known) > 20 else ''}."
