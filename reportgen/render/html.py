"""report.html by Jinja2."""

from __future__ import annotations

from reportgen.render.block_views import View
from reportgen.render.templating import SHIPPED, Templates


def render_html(view: View, templates: Templates = SHIPPED) -> bytes:
    """The page of a report's view; it links only files below ``assets/``.

    Raises:
      OutputError: naming file and line, if a template of the house's goes wrong.
    """
    return _drawn("report.html.j2", templates, report=view)


def render_ledger(ledger: View, templates: Templates = SHIPPED) -> bytes:
    """What each section takes, for the place that the page marks for it."""
    return _drawn("ledger.html.j2", templates, ledger=ledger)


def _drawn(name: str, templates: Templates, **given: View) -> bytes:
    try:
        return templates.environment.get_template(name).render(given).encode()
    except Exception as error:
        fault = templates.fault(error)
        if fault is None:
            raise
        raise fault from error
