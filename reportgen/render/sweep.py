"""The index page of a sweep: every combination beside the others, failed ones with their reason."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from reportgen.core.sweep import SweepJob
from reportgen.render import numbers, templating
from reportgen.render.sweep_matrix import axes, common, matrix, swept
from reportgen.render.sweep_numbers import compared
from reportgen.render.templating import environment
from reportgen.render.text import printable

_OUTCOMES = {
    0: ("good", "done"),
    1: ("fail", "internal error"),
    2: ("fail", "wrong input"),
    3: ("warn", "audit failed"),
}
_IN_CELL = 4  # numbers of a cell; all are in the table
_LONG = 280  # letters of a message above which it scrolls


def render_sweep(jobs: Sequence[SweepJob], folder: Path, title: str) -> None:
    """Writes index.html, assets/style.css and assets/report.js into the sweep's folder.

    Args:
      jobs: in the order of the page.
      folder: which the jobs' folders and thumbnails are relative to; made if it is missing.
    """
    page = environment().get_template("sweep.html.j2").render(sweep=_view(jobs, title))
    (folder / "assets").mkdir(parents=True, exist_ok=True)
    (folder / "assets" / "style.css").write_bytes(templating.stylesheet())
    (folder / "assets" / "report.js").write_bytes(templating.script())
    (folder / "index.html").write_bytes(page.encode())


def _view(jobs: Sequence[SweepJob], title: str) -> dict[str, Any]:
    values = compared(jobs)
    keys = list(axes(jobs).values)
    shown = {job.shown for job in jobs if job.thumbnail}
    return {
        "title": printable(title),
        "verdict": _verdict(jobs),
        "common": common(jobs),
        "swept": [printable(key) for key in keys],
        "matrix": matrix(jobs),
        "jobs": {job.number: _job(job, keys, values, len(shown) > 1) for job in jobs},
        "numbers": values["names"],
        "shared": values["shared"],
        "more": max(0, len(values["differing"]) - _IN_CELL),
        "marked": values["marked"],
        "reference": values["reference"],
        "shown": printable(shown.pop()) if len(shown) == 1 else "",
    }


def _verdict(jobs: Sequence[SweepJob]) -> dict[str, str]:
    failed = sum(job.exit_code in (1, 2) for job in jobs)
    audits = sum(job.exit_code == 3 for job in jobs)
    words = [numbers.counted(len(jobs), "job")]
    if failed:
        words.append(f"{numbers.integer(failed)} failed")
    if audits:
        words.append(f"{numbers.counted(audits, 'audit')} failed")
    severity = "fail" if failed else "warn" if audits else "good"
    return {"severity": severity, "text": ", ".join(words)}


def _job(job: SweepJob, keys: Sequence[str], values: dict[str, Any], tell: bool) -> dict[str, Any]:
    severity, outcome = _OUTCOMES.get(job.exit_code, ("fail", "failed"))
    if job.folder and job.exit_code in (1, 2):
        outcome = "a method failed"
    own = values["jobs"][job.number]
    differing = [name for name in values["differing"] if name in own]
    return {
        "number": job.number,
        "title": printable(job.title or f"Job {job.number}"),
        "settings": swept(job, keys),
        "severity": severity,
        "outcome": outcome,
        "exit_code": job.exit_code,
        "message": printable(job.message),
        "long": len(job.message) > _LONG,
        "report": quote(f"{Path(job.folder).as_posix()}/report.html", errors="surrogateescape")
        if job.folder
        else "",
        "thumbnail": quote(Path(job.thumbnail).as_posix(), errors="surrogateescape")
        if job.thumbnail
        else "",
        "shown": printable(job.shown),
        "tell": tell,
        "sections": json.dumps({own: printable(title) for own, title in job.sections.items()}),
        "numbers": own,
        "headline": [{"name": name, **own[name]} for name in differing[:_IN_CELL]],
    }
