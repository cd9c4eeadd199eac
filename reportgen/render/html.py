"""report.html by Jinja2."""

from __future__ import annotations

from reportgen.render.block_views import View
from reportgen.render.templating import environment


def render_html(view: View) -> bytes:
    """The page of a report's view; it links only files below ``assets/``."""
    page = environment().get_template("report.html.j2").render(report=view)
    return page.encode()
