"""Waiting for a page: Playwright's own evaluates text in the page, which its policy forbids."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Page


def until(page: Page, condition: str, arg: Any = None, seconds: float = 5) -> None:
    """Returns once the JavaScript expression or function is truthy; else fails with it."""
    end = time.monotonic() + seconds
    while not page.evaluate(condition, arg):
        assert time.monotonic() < end, f"never true: {condition}"
        page.wait_for_timeout(15)
