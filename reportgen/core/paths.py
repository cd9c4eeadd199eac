"""What to say of a path that leads nowhere. Only names are looked at; nothing is opened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from reportgen.core.errors import nearest

_SHOWN = 5


def beside(path: Path, fits: Callable[[Path], bool]) -> str:
    """A hint for a path that is not there: what lies in the same folder.

    The nearest names, fitting ones before others; else a few that fit. Only the last part is
    compared: in a deep folder all paths look alike.
    """
    if not path.parent.is_dir():
        return f"There is no folder {path.parent} either."
    try:
        names = sorted(o.name for o in path.parent.iterdir() if not o.name.startswith("."))
        fitting = [name for name in names if fits(path.parent / name)]
    except OSError:
        return ""
    if close := nearest(path.name, fitting) or nearest(path.name, names):
        return f"Did you mean {' or '.join(str(path.parent / name) for name in close)}?"
    if not fitting:
        return ""
    shown = ", ".join(str(path.parent / name) for name in fitting[:_SHOWN])
    return f"There are: {shown}{', …' if len(fitting) > _SHOWN else ''}."
