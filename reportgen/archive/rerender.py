"""Drawing a report's pages again from its results."""

from __future__ import annotations

import shutil
from pathlib import Path

from reportgen.archive.folder import ARRAYS, LOG, RESULTS, read_report, staged
from reportgen.render.report import render_report


def rerender(folder: Path) -> None:
    """Replace a report's pages and pictures by newly drawn ones; results and arrays stay.

    Raises:
      OutputError: if the folder is no report, or cannot be written.
    """
    report = read_report(folder)
    with staged(folder) as fresh:
        for name in (RESULTS, "config.yaml", LOG):
            if (folder / name).is_file():
                shutil.copy2(folder / name, fresh / name)
        if (folder / ARRAYS).is_dir():
            shutil.copytree(folder / ARRAYS, fresh / ARRAYS)
        render_report(report, fresh)
