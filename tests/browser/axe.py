"""axe-core on a page: what people with other eyes and hands would stumble over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Page


def violations(page: Page, **options: Any) -> str:
    """What axe finds, as text; empty if that is nothing.

    Args:
      options: of axe's own; it loads nothing ahead, which the page's policy forbids.
    """
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, options={"preload": False, **options})
    return str(found.generate_report()) if found.violations_count else ""
