"""Drawing a report's pages again from its results."""

from __future__ import annotations

import shutil
from pathlib import Path

from reportgen.archive.folder import ARRAYS, CONFIG, LOG, RESULTS, read_report, staged
from reportgen.archive.statement import write_statement
from reportgen.render.budget import Ledger
from reportgen.render.report import render_report
from reportgen.render.templating import FOLDER as TEMPLATES


def rerender(folder: Path) -> Ledger:
    """Replace a report's pages and pictures by newly drawn ones; results and arrays stay.

    Returns:
      What the new page takes.

    Raises:
      OutputError: if the folder is no report, or cannot be written.
    """
    report = read_report(folder)
    with staged(folder) as fresh:
        for name in (RESULTS, CONFIG, LOG):
            if (folder / name).is_file():
                shutil.copy2(folder / name, fresh / name)
        for name in (ARRAYS, TEMPLATES):
            if (folder / name).is_dir():
                shutil.copytree(folder / name, fresh / name)
        ledger = render_report(report, fresh)
        write_statement(report, fresh)
    return ledger
