"""A Report as the files that people open."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from reportgen.core.report import Report
from reportgen.render import templating, thumbnail
from reportgen.render.assets import Assets
from reportgen.render.html import render_html
from reportgen.render.junit import render_junit
from reportgen.render.painter import Painter
from reportgen.render.pdf import render_pdf
from reportgen.render.summary import render_summary
from reportgen.render.view import report_view


def render_report(report: Report, folder: Path, painter: Painter | None = None) -> None:
    """Writes report.html, report.pdf, junit.xml, summary.md and assets/ into the folder.

    All else there is left alone. The same report gives the same bytes: no clock, host or random
    number takes part.

    Args:
      report: with its arrays loaded.
      folder: made if it is missing.
      painter: may have begun with the report's pictures; a new one if None.

    Raises:
      ConfigError: if a block names a colormap that Matplotlib does not have.
      OutputError: if the templates are missing or the PDF cannot be typeset.
    """
    with ExitStack() as stack:
        assets = Assets(painter or stack.enter_context(Painter()))
        view = report_view(report, assets)
        small = thumbnail.thumbnail(report)
        if small is not None:
            assets.keep(thumbnail.PATH, small)
        assets.keep("assets/style.css", templating.stylesheet())
        assets.keep("assets/report.js", templating.script())
        assets.write(folder)
        (folder / "report.html").write_bytes(render_html(view))
        (folder / "report.pdf").write_bytes(render_pdf(view, folder))
        (folder / "junit.xml").write_bytes(render_junit(report))
        (folder / "summary.md").write_bytes(render_summary(report))
