"""What a person sees while a report is made: progress, the table at the end, errors."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.table import Table

from reportgen.core.errors import UserError

if TYPE_CHECKING:
    from reportgen.core.blocks import Table as LayerTable
    from reportgen.pipeline import Outcome

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


class TerminalProgress:
    """A bar for each stage with the time left; plain lines when the output is not a terminal."""

    def __init__(self) -> None:
        self._bars = Bars(
            TextColumn("{task.description:<18}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=err,
        )
        self._task: TaskID | None = None
        self._stage = ""
        self._total = 0
        self._began = 0.0

    def __enter__(self) -> TerminalProgress:
        if err.is_terminal:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        # Stopping bars that never started would still print an empty line.
        if self._bars.live.is_started:
            self._bars.stop()

    def start(self, stage: str, total: int) -> None:
        """A stage of so many units begins."""
        self._stage, self._total, self._began = stage, total, time.perf_counter()
        if err.is_terminal:
            self._task = self._bars.add_task(escape(stage), total=total)

    def advance(self, count: int) -> None:
        """So many units of it are finished."""
        if self._task is not None:
            self._bars.advance(self._task, count)

    def finish(self) -> None:
        """The stage is over."""
        seconds = time.perf_counter() - self._began
        if self._task is not None:
            self._bars.update(self._task, completed=self._total)
            self._task = None
        else:
            err.print(f"{self._stage}: {self._total} done in {seconds:.1f} s", markup=False)


def show_outcome(outcome: Outcome) -> None:
    """What was made, where, and how long it took."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("stage")
    table.add_column("made")
    table.add_column("seconds", justify="right")
    for stage in outcome.stages:
        table.add_row(escape(stage.name), escape(stage.made), f"{stage.seconds:.1f}")
    out.print(table)
    report = outcome.report
    numbers = [f"{name} {value:.4f}" for name, value in report.metrics.items()]
    counts = {s: sum(f.severity == s for f in report.findings) for s in ("fail", "warn", "info")}
    numbers += [f"{count} {severity}" for severity, count in counts.items() if count]
    line = f"{report.title}: " + ", ".join(numbers) if numbers else report.title
    out.print(line, markup=False, soft_wrap=True)
    for finding in report.findings:
        out.print(
            f"  {finding.severity}  {finding.message} {finding.advice}".rstrip(),
            markup=False,
            soft_wrap=True,
        )
    size = sum(path.stat().st_size for path in outcome.folder.rglob("*") if path.is_file())
    page = outcome.folder / "report.html"
    out.print(
        f"{page}  ({size / 1e6:.1f} MB, {outcome.seconds:.1f} s)", markup=False, soft_wrap=True
    )


def show_layers(name: str, table: LayerTable, notes: Sequence[str]) -> None:
    """The table of layers, and what else is to be known of the network."""
    shown = Table(title=escape(name), title_justify="left", box=None, padding=(0, 2, 0, 0))
    for column in table.columns:
        right = column in ("parameters", "FLOPs")
        # A path must survive being copied from the screen; shapes may break.
        whole = column != "parameter shapes"
        shown.add_column(
            column, justify="right" if right else "left", overflow="fold", no_wrap=whole
        )
    for row in (*table.rows, table.totals):
        cells = [f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row]
        shown.add_row(*(escape(cell) for cell in cells))
    out.print(shown)
    for note in (table.caption, *notes):
        out.print(note, markup=False, soft_wrap=True)


def show_error(error: UserError) -> None:
    """One clear message on the error stream."""
    err.print(f"[bold red]error:[/] {escape(error.message)}", soft_wrap=True)
    if error.hint:
        err.print(escape(error.hint), soft_wrap=True)


def show_crash(error: BaseException, log: Path | None) -> None:
    """One line for a bug, and where its traceback was written."""
    where = f" The traceback is in {log}." if log is not None else ""
    text = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    err.print(f"internal error (this is a bug): {text}.{where}", markup=False, soft_wrap=True)


def say(text: str) -> None:
    """One plain line."""
    out.print(text, markup=False, soft_wrap=True)


def flush() -> None:
    """Nothing is left in the buffers when the process ends."""
    sys.stdout.flush()
    sys.stderr.flush()
