"""Names that become folders of an archive: what may be one, on every file system, and what not."""

from __future__ import annotations

import unicodedata
from pathlib import Path

from reportgen.core.errors import OutputError

_LONGEST = 200  # bytes; file systems take 255, and a name is not alone in its path
_SEPARATORS = "/\\"
_SPECIAL = '<>:"|?*'
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"}
_DEVICES = {
    *("con", "prn", "aux", "nul", "conin$", "conout$"),
    *(f"{kind}{digit}" for kind in ("com", "lpt") for digit in "0123456789¹²³"),
}


def fault(name: str) -> str:
    """What keeps a name from being one folder's, the same everywhere; empty if nothing does."""
    if not name:
        return "is empty"
    if found := next((char for char in name if char in _SEPARATORS), ""):
        return f"holds {found}, which separates folders"
    if found := next((c for c in name if unicodedata.category(c) in _UNSEEN and c != " "), ""):
        return f"holds the character U+{ord(found):04X}, which nobody sees"
    if found := next((char for char in name if char in _SPECIAL), ""):
        return f"holds {found}, which Windows does not take"
    if name[0] in ".- ":
        return f"begins with {name[0]!r}"
    if name[-1] in ". ":
        return f"ends with {name[-1]!r}, which Windows leaves out"
    if name.partition(".")[0].rstrip().casefold() in _DEVICES:
        return "is the name of a device on Windows"
    if len(name.encode()) > _LONGEST:
        return f"has {len(name.encode())} bytes, more than {_LONGEST}"
    if unicodedata.normalize("NFC", name) != name:
        return "is not in Unicode's composed form (NFC), so that another name looks the same"
    return ""


def twin(folder: Path, name: str) -> str:
    """A name in the folder that some file systems take for this one (``V1`` for ``v1``)."""
    if not folder.is_dir():
        return ""
    others = (path.name for path in folder.iterdir())
    return next((o for o in others if o != name and o.casefold() == name.casefold()), "")


def check_inside(archive: Path, path: Path) -> None:
    """Refuse a place in an archive that a symbolic link leads out of it.

    Raises:
      OutputError: naming the link.
    """
    root = archive.resolve()
    part = archive
    for name in path.relative_to(archive).parts:
        part = part / name
        if part.is_symlink() and not part.resolve().is_relative_to(root):
            raise OutputError(
                f"{part} is a link that leads out of the archive, to {part.resolve()}.",
                "Nothing is written or removed there. Put a folder or file in its place.",
            )
