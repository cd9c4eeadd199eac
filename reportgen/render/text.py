"""Names from elsewhere as text that every output can show, and the ids that are made from them."""

from __future__ import annotations

import re
import shlex
import unicodedata
from functools import cache
from pathlib import Path

import matplotlib as mpl
from matplotlib.ft2font import FT2Font

# Characters that reorder or hide the text around them: a layer's name could pose as another.
_DISGUISES = frozenset(
    "\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"
)
_SLUG = re.compile(r"[^a-z0-9]+")
_SLUG_LENGTH = 60


def printable(text: str) -> str:
    """The text with every character that XML, UTF-8 or a reader's eye cannot take made visible."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_visible(char) for char in text)


def _visible(char: str) -> str:
    if char in _DISGUISES:
        return f"⟨U+{ord(char):04X}⟩"
    if char in "\n\t":
        return char
    # Cc: control characters; Cs: half a surrogate pair, as undecodable file names have;
    # the last two of each plane are no characters.
    if unicodedata.category(char) in {"Cc", "Cs"} or ord(char) & 0xFFFE == 0xFFFE:
        return "\ufffd"
    return char


def fonts_folder() -> Path:
    """Where Matplotlib keeps DejaVu, the one family that plots and PDF are set in."""
    return Path(mpl.get_data_path()) / "fonts" / "ttf"


@cache
def _glyphs() -> frozenset[int]:
    return frozenset(FT2Font(str(fonts_folder() / "DejaVuSans.ttf")).get_charmap())


def drawable(text: str) -> str:
    """The text with characters that DejaVu Sans lacks (emoji, CJK) as their code points.

    An empty box would make two names look the same on an archived page.
    """
    if text.isascii():
        return text
    known = _glyphs()
    return "".join(
        char if ord(char) in known or char in "\n\t" else f"⟨U+{ord(char):04X}⟩" for char in text
    )


def shorten(text: str, length: int) -> str:
    """The text cut in the middle: both ends of a layer's path tell something."""
    if len(text) <= length:
        return text
    head = (length - 1) // 2
    return f"{text[:head]}…{text[len(text) - (length - 1 - head) :]}"


def slug(*parts: str) -> str:
    """Parts as a lower-case ASCII name for ids and files; never empty."""
    joined = "-".join(_SLUG.sub("-", part.casefold()).strip("-") for part in parts)
    return joined.strip("-")[:_SLUG_LENGTH].strip("-") or "part"


class Names:
    """Gives every thing a name of its own: the second ``conv1`` becomes ``conv1-2``."""

    def __init__(self, *reserved: str) -> None:
        self._taken = set(reserved)

    def take(self, wanted: str) -> str:
        name, count = wanted, 1
        while name in self._taken:
            count += 1
            name = f"{wanted}-{count}"
        self._taken.add(name)
        return name


@cache
def added(command: str, section: str) -> str:
    """What a picture's command adds to its section's, which stands above it; else all of it."""
    if not command:
        return ""
    own, known = shlex.split(command), shlex.split(section)
    more = [word for word in own if word not in known]
    changed = {word.partition("=")[0] for word in more}
    if any(word not in own and word.partition("=")[0] not in changed for word in known):
        return command
    return shlex.join(more)
