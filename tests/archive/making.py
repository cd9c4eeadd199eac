"""Archives of small reports, made without JAX and without pages."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from reportgen.archive.folder import LOG, write_results
from reportgen.archive.release import Release
from reportgen.archive.statement import write_statement
from reportgen.core import blocks
from reportgen.core.checks import Check
from reportgen.core.report import Report, Section
from reportgen.render.summary import render_summary_json

from ..render import sample


def report(
    accuracy: float = 0.97, dead: float = 0.05, model: str = "lenet", config: str = "a", **more: Any
) -> Report:
    """A report with two checks; dead units above 0.5 are a failure."""
    whole = sample.report(
        Section(method="weights", title="W", blocks=(blocks.Text(text="t"),)), name=model
    )
    failed = dead > 0.5
    checks = (
        Check(
            name="dead_units",
            title="Dead units",
            outcome="fail" if failed else "passed",
            message="conv1",
            value=dead,
            warn=0.3,
            fail=0.5,
            measured=4,
        ),
        Check(
            name="calibration", title="Calibration error", outcome="skipped", message="no labels"
        ),
    )
    found = (
        blocks.Finding(severity="fail", check="dead_units", message="dead units", where="conv1"),
    )
    return replace(
        whole,
        metrics={"accuracy": accuracy, "loss": 1 - accuracy, "gradcam: deletion ↓": 0.25},
        findings=found if failed else (),
        checks=checks,
        provenance=replace(whole.provenance, config_sha256=digest(config)),
        **more,
    )


def digest(config: str) -> str:
    return hashlib.sha256(config.encode()).hexdigest()


def write(made: Report, folder: Path) -> None:
    """All files of a report but those that people look at, of which there is one."""
    write_results(made, folder)
    (folder / "report.html").write_text(f"<h1>{made.title}</h1>")
    (folder / "summary.json").write_bytes(render_summary_json(made))
    (folder / "config.yaml").write_text("seed: 0\nmodel:\n  name: lenet\n")
    (folder / LOG).write_text("finished at some time\n")
    write_statement(made, folder)


def release(
    archive: Path, tag: str, model: str = "lenet", config: str = "a", force: bool = False
) -> Release:
    return Release(
        archive=archive, model=model, release=tag, config=digest(config)[:12], force=force
    )


def archived(
    archive: Path,
    tag: str,
    *,
    model: str = "lenet",
    config: str = "a",
    force: bool = False,
    **changes: Any,
) -> Path:
    """Archive a report as the pipeline does; returns its folder."""
    with release(archive, tag, model, config, force).placed() as place:
        write(report(model=model, config=config, **changes), place.folder)
    return place.target
