"""Experiments are run as a user runs them, and their reports read back from the folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from reportgen.core.blocks import Group
from reportgen.core.report import Report


class Made(NamedTuple):
    """A report and its folder."""

    folder: Path
    report: Report

    def section(self, method: str) -> Any:
        (found,) = (section for section in self.report.sections if section.method == method)
        return found

    def groups(self, method: str) -> dict[str, Any]:
        """Its blocks by the title of their group."""
        blocks = self.section(method).blocks
        return {block.title: block.blocks for block in blocks if isinstance(block, Group)}

    def picture(self, name: str) -> np.ndarray:
        """A picture of the report, (H, W, 3)."""
        return np.asarray(Image.open(self.folder / "assets" / name).convert("RGB"))

    def arrays(self, method: str) -> dict[str, np.ndarray]:
        return dict(np.load(self.folder / "arrays" / f"{method}.npz"))


@pytest.fixture(scope="session")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Made]:
    """The report of an experiment with some overrides."""
    from reportgen import cli
    from reportgen.archive.folder import read_report

    def run(experiment: str, *overrides: str) -> Made:
        folder = tmp_path_factory.mktemp(experiment) / "report"
        code = cli.run([f"experiment={experiment}", *overrides, f"report.dir={folder}"])
        assert code == 0
        return Made(folder, read_report(folder))

    return run
