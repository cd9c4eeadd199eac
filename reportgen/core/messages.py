"""Words of messages that methods and checks share."""

from __future__ import annotations

from collections.abc import Sequence

_NAMED = 20  # things named in a message


def listed(things: Sequence[object]) -> str:
    """The first twenty, and whether there are more."""
    return ", ".join(map(str, things[:_NAMED])) + (", …" if len(things) > _NAMED else "")
