"""A Report as the files that people open."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

from reportgen.core.report import Report
from reportgen.render import house, thumbnail
from reportgen.render.assets import Assets
from reportgen.render.budget import SCRIPT, SHEET, Ledger, page_within
from reportgen.render.junit import render_junit
from reportgen.render.painter import Painter
from reportgen.render.pdf import render_pdf
from reportgen.render.summary import render_summary, render_summary_json
from reportgen.render.view import report_view


def render_report(
    report: Report, folder: Path, painter: Painter | None = None, source: Path | None = None
) -> Ledger:
    """Writes report.html, report.pdf, junit.xml, summary.md, summary.json and assets/.

    All else there is left alone. The same report gives the same bytes: no clock, host or random
    number takes part.

    Args:
      report: with its arrays loaded.
      folder: made if it is missing.
      painter: may have begun with the report's pictures; a new one if None.
      source: holds the house's templates and logo, and results.json where the PDF carries it; the
        folder itself if None.

    Returns:
      What the page takes, and what was left out to keep it within its budget.

    Raises:
      ConfigError: if a block names a colormap that Matplotlib does not have.
      OutputError: if the templates are missing or wrong, or the PDF cannot be typeset.
    """
    source = source or folder
    own = house.kept(report.rendering, source)
    with ExitStack() as stack:
        assets = Assets(painter or stack.enter_context(Painter()), own.templates())
        view = {**report_view(report, assets), "logo": own.logo(assets)}
        small = thumbnail.thumbnail(report)
        if small is not None:
            assets.keep(thumbnail.PATH, small.png())
        assets.keep(SHEET, assets.templates.stylesheet())
        assets.keep(SCRIPT, assets.templates.script())
        page = page_within(view, assets, report.rendering)
        pictures = folder
        if report.rendering.bundle == "single":
            # The PDF is typeset from files; the index page of a sweep shows the thumbnail.
            pictures = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            assets.write(folder, only=thumbnail.PATH)
        assets.write(pictures)
        attached = (source / "results.json").read_bytes() if report.rendering.pdf == "a-3" else None
        document = render_pdf(page.view, pictures, assets.templates, attached)
        (folder / "report.html").write_bytes(page.html)
        (folder / "report.pdf").write_bytes(document)
        (folder / "junit.xml").write_bytes(render_junit(report))
        (folder / "summary.md").write_bytes(render_summary(report))
        (folder / "summary.json").write_bytes(render_summary_json(report))
    return page.ledger
