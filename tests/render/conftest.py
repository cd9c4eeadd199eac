"""Reports that are drawn once for all tests that only read them."""

from __future__ import annotations

from pathlib import Path

import pytest

from reportgen.render.report import render_report

from .sample import report


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a report with every type of block."""
    folder = tmp_path_factory.mktemp("drawn")
    render_report(report(), folder)
    return folder
