"""The archive's own page, drawn from its history alone."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from reportgen.archive import lock
from reportgen.archive.folder import writing
from reportgen.archive.names import check_inside
from reportgen.archive.standing import Standing, is_archive, mended
from reportgen.core.errors import OutputError
from reportgen.render.archive_page import render_archive
from reportgen.render.templating import script, stylesheet

PAGE = "index.html"
ASSETS = "assets"


def rebuild(archive: Path) -> Standing:
    """Mend the history and draw the page.

    Returns:
      What the archive holds; its notes say what was mended.

    Raises:
      OutputError: if the folder is no archive, or cannot be written.
    """
    if not archive.is_dir():
        raise OutputError(f"There is no folder {archive}.", "Give the folder of an archive.")
    if not is_archive(archive):
        raise OutputError(
            f"{archive} is no archive: it holds no report as MODEL/RELEASE/CONFIG.",
            "Archive one: reportgen archive.release=v1 archive.dir=…",
        )
    with lock.changing(archive):
        standing = mended(archive)
        draw(archive, standing)
    return standing


def draw(archive: Path, standing: Standing) -> None:
    """Write the page; whoever reads it finds the former or the new one. The archive is locked.

    Raises:
      OutputError: if it cannot be written.
    """
    title = archive.resolve().name
    page = render_archive(list(standing.live.values()), standing.removed, title)
    with writing(archive / PAGE, "archive.dir"):
        check_inside(archive, archive / ASSETS)
        (archive / ASSETS).mkdir(exist_ok=True)
        _put(archive / ASSETS / "style.css", stylesheet())
        _put(archive / ASSETS / "report.js", script())
        _put(archive / PAGE, page)


def _put(path: Path, content: bytes) -> None:
    if path.is_file() and not path.is_symlink() and path.read_bytes() == content:
        return
    file, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(file, "wb") as written:
            written.write(content)
        mask = os.umask(0)
        os.umask(mask)
        Path(name).chmod(0o666 & ~mask)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
