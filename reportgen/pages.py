"""A report's files: results, arrays and pages, and the pages once more with what a check says."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from reportgen.archive.folder import write_results
from reportgen.core.report import Report
from reportgen.render.assets import FOLDER as ASSETS
from reportgen.render.budget import Ledger
from reportgen.render.painter import Painter
from reportgen.render.report import render_report


def draw(report: Report, folder: Path, painter: Painter) -> Ledger:
    """Writes results.json, arrays/ and the pages, side by side."""
    with ThreadPoolExecutor(1) as beside:
        stored = beside.submit(write_results, report, folder)
        if report.rendering.pdf == "a-3":
            stored.result()  # which the PDF carries
        ledger = render_report(report, folder, painter)
        stored.result()
    return ledger


def draw_again(report: Report, folder: Path, painter: Painter) -> Ledger:
    """Writes results.json and the pages anew; the arrays are there, the painter knows pictures."""
    # To keep within its budget the page may have fewer pictures now.
    shutil.rmtree(folder / ASSETS, ignore_errors=True)
    write_results(report, folder, arrays=False)
    return render_report(report, folder, painter)


def sizes_of(folder: Path) -> dict[str, int]:
    """Bytes of a report's pages: report.html, all of assets/, and report.pdf."""
    assets = (path for path in (folder / ASSETS).rglob("*") if path.is_file())
    return {
        "report.html": (folder / "report.html").stat().st_size,
        f"{ASSETS}/": sum(path.stat().st_size for path in assets),
        "report.pdf": (folder / "report.pdf").stat().st_size,
    }
