"""The index page of a sweep: every combination beside the others, failed ones with their reason."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from reportgen.core.sweep import SweepJob
from reportgen.render import numbers, templating
from reportgen.render.templating import environment
from reportgen.render.text import printable
from reportgen.render.view import metrics_view

_OUTCOMES = {
    0: ("good", "done"),
    1: ("fail", "internal error"),
    2: ("fail", "wrong input"),
    3: ("warn", "audit failed"),
}


def render_sweep(jobs: Sequence[SweepJob], folder: Path, title: str) -> None:
    """Writes index.html, assets/style.css and assets/report.js into the sweep's folder.

    Args:
      jobs: in the order of the page.
      folder: which the jobs' folders and thumbnails are relative to; made if it is missing.
    """
    failed = sum(not job.folder for job in jobs)
    page = (
        environment()
        .get_template("sweep.html.j2")
        .render(
            title=printable(title),
            jobs=[_job(job) for job in jobs],
            metrics=list(dict.fromkeys(printable(name) for job in jobs for name in job.metrics)),
            count=numbers.counted(len(jobs), "job"),
            failed=numbers.integer(failed) if failed else "",
        )
    )
    (folder / "assets").mkdir(parents=True, exist_ok=True)
    (folder / "assets" / "style.css").write_bytes(templating.stylesheet())
    (folder / "assets" / "report.js").write_bytes(templating.script())
    (folder / "index.html").write_bytes(page.encode())


def _job(job: SweepJob) -> dict[str, Any]:
    severity, outcome = _OUTCOMES.get(job.exit_code, ("fail", "failed"))
    return {
        "number": job.number,
        "title": printable(job.title or f"Job {job.number}"),
        "overrides": [printable(override) for override in job.overrides],
        "severity": severity,
        "outcome": outcome,
        "exit_code": job.exit_code,
        "message": printable(job.message),
        "report": quote(f"{Path(job.folder).as_posix()}/report.html", errors="surrogateescape")
        if job.folder
        else "",
        "thumbnail": quote(Path(job.thumbnail).as_posix(), errors="surrogateescape")
        if job.thumbnail
        else "",
        "metrics": {printable(m["name"]): m["value"] for m in metrics_view(job.metrics)},
    }
