"""Numbers as text, the same in HTML, PDF, captions and plots: screens and pages round alike."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

NONE = "–"
CHANGE = "Δ "
"""Begins the name of a number that is the change of another."""
_PERCENT = frozenset({"accuracy", "precision", "recall", "share", "fraction"})
_TOP_K = re.compile(r"top-?\d+")
_WORD = re.compile(r"[a-z]+-?\d+|[a-z]+")


def _minus(text: str) -> str:
    return text.replace("-", "−")


def integer(value: int) -> str:
    """``61706`` as ``61,706``, with a true minus sign."""
    return _minus(f"{value:,}")


def number(value: float) -> str:
    """Four significant digits; whole numbers from 1,000; scientific below 1e-4 and from 1e7."""
    value = float(value) + 0.0  # -0.0 is printed as 0
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    size = abs(value)
    if size and (size < 1e-4 or size >= 1e7):
        mantissa, exponent = f"{value:.3e}".split("e")
        return _minus(f"{_trim(mantissa)}e{int(exponent)}")
    if size >= 999.95:
        return integer(round(value))
    return _minus(_trim(f"{value:.{_decimals(size)}f}"))


def _decimals(size: float) -> int:
    """Decimals that leave four significant digits of a size below 1,000."""
    return 3 if size == 0 else max(0, 3 - math.floor(math.log10(size)))


def _trim(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def percent(value: float) -> str:
    """``0.9731`` as ``97.31 %``; two decimals, so that 0.9999 is not printed as certain."""
    if not math.isfinite(value):
        return number(value)
    return f"{_minus(_trim(f'{100 * value:.2f}'))} %"


def change(value: float, name: str = "") -> str:
    """A difference with its sign; of shares in percentage points: ``+0.5 pp``."""
    sign = "+" if value > 0 else ""
    if is_share(name) and math.isfinite(value):
        return f"{sign}{number(100 * value)} pp"
    return f"{sign}{number(value)}"


def is_share(name: str) -> bool:
    """Whether a number of this name is an accuracy or a share, which people read in percent."""
    lowered = name.casefold()
    words = _WORD.findall(lowered)
    return bool(_PERCENT.intersection(words)) or any(_TOP_K.fullmatch(word) for word in words)


def cell(value: Any, name: str = "") -> str:
    """A cell of a table as text; ``name`` (its column or key) decides what is a percentage."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return integer(value)
    if isinstance(value, float) and name.startswith(CHANGE):
        return change(value, name)
    if isinstance(value, float):
        return percent(value) if is_share(name) and 0 <= value <= 1 else number(value)
    return str(value)


def setting(value: Any) -> str:
    """A resolved setting as one would type it: unrounded, lists in brackets."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {setting(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(setting(part) for part in value) + "]"
    return str(value)


def quantity(value: float) -> str:
    """A large count for the eye: ``830 k``, ``15.47 G``; below 10,000 in full."""
    if abs(value) < 10_000:
        return number(value)
    for factor, suffix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        # 999,950 would print as 1000 k: the next unit takes over where rounding does.
        if abs(value) >= factor * 0.99995:
            return f"{number(value / factor)} {suffix}"
    return number(value)


def size(count: int) -> str:
    """Bytes for the eye: ``412.3 kB``, ``1.31 MB`` of 10**6 bytes."""
    text = quantity(count)
    return f"{text}B" if text[-1].isalpha() else f"{text} B"


def counted(count: int, noun: str, plural: str = "") -> str:
    """``1 image``, ``2 images``."""
    return f"{integer(count)} {noun if count == 1 else plural or noun + 's'}"
