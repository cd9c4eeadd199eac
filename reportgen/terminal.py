"""What a person sees while a report is made: progress, the table at the end, errors."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.text import Text

from reportgen import interrupts
from reportgen.core.errors import UserError

if TYPE_CHECKING:
    from reportgen.core.blocks import Table as LayerTable
    from reportgen.outcome import Outcome

# Text is printed as it is: a path may hold [brackets], and a message :colons:.
out = Console(highlight=False, markup=False, emoji=False)
err = Console(stderr=True, highlight=False, markup=False, emoji=False)

_SILENCE = 5.0  # seconds after which a stage tells how far it is, where there is no bar


class TerminalProgress:
    """A bar for each stage with the time left.

    Where the output is not a terminal, a line when a stage begins, when it is over, and now and
    then between.
    """

    def __init__(self) -> None:
        self._bars = Bars(
            TextColumn("{task.description:<18}", markup=False),
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
        self._done = 0
        self._began = self._told = 0.0

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
        interrupts.check()
        self._stage, self._total, self._done = stage, total, 0
        self._began = self._told = time.perf_counter()
        if err.is_terminal:
            self._task = self._bars.add_task(stage, total=total)
        else:
            self._say("…")

    def advance(self, count: int) -> None:
        """So many units of it are finished."""
        interrupts.check()
        self._done += count
        now = time.perf_counter()
        if self._task is not None:
            self._bars.advance(self._task, count)
        elif now - self._told > _SILENCE and self._done < self._total:
            self._told = now
            self._say(f"{self._done} of {self._total}")

    def finish(self, made: str) -> None:
        """The stage is over; what it made, in words."""
        interrupts.check()
        seconds = time.perf_counter() - self._began
        if self._task is not None:
            self._bars.update(self._task, completed=self._total)
            self._task = None
        else:
            self._say(f"{made} in {seconds:.1f} s")

    def _say(self, words: str) -> None:
        err.print(f"{self._stage}: {words}", soft_wrap=True)


def show_outcome(outcome: Outcome) -> None:
    """What was made, where, and how long it took."""
    from reportgen.core.report import headline

    if not outcome.written:
        say("This host's part is done; the first host writes the report.")
        return

    rows = [(stage.name, stage.made, f"{stage.seconds:.1f}") for stage in outcome.stages]
    for text in _aligned([("stage", "made", "seconds"), *rows], right={2}):
        say(text)
    report = outcome.report
    alone, maps = headline(report.metrics)
    if maps:
        told = [
            [f"{c:.4g}" if isinstance(c, float) else str(c or "–") for c in row]
            for row in maps.rows
        ]
        for text in _aligned([maps.columns, *told], right=range(1, len(maps.columns))):
            say(text)
    numbers = [f"{name} {value:.4f}" for name, value in alone.items()]
    counts = {s: sum(f.severity == s for f in report.findings) for s in ("fail", "warn", "info")}
    numbers += [f"{count} {severity}" for severity, count in counts.items() if count]
    say(f"{report.title}: " + ", ".join(numbers) if numbers else report.title)
    for finding in report.findings:
        say(f"  {finding.severity}  {finding.message} {finding.advice}".rstrip())
    for note in outcome.notes:
        say(f"  warn  {note}")
    size = sum(path.stat().st_size for path in outcome.folder.rglob("*") if path.is_file())
    page = outcome.folder / "report.html"
    say(f"{page}  ({size / 1e6:.1f} MB, {outcome.seconds:.1f} s)")


def show_layers(name: str, table: LayerTable, notes: Sequence[str]) -> None:
    """The table of layers, and what else is to be known of the network.

    One line a layer, whole: paths and numbers must survive being copied. On a screen that is too
    narrow the shapes of parameters are left out, and said to be.
    """
    rows = [
        [f"{cell:,}" if isinstance(cell, int) else str(cell or "") for cell in row]
        for row in (table.columns, *table.rows, table.totals)
    ]
    right = {i for i, cell in enumerate(table.totals) if isinstance(cell, int)}
    lines = _aligned(rows, right)
    notes = (table.caption, *notes)
    if out.is_terminal and max(map(len, lines)) > out.width:
        dropped = table.columns.index("parameter shapes")
        rows = [row[:dropped] + row[dropped + 1 :] for row in rows]
        lines = _aligned(rows, {i - (i > dropped) for i in right})
        notes = (*notes, "Parameter shapes need a wider screen, or a file: reportgen layers … > F")
    for text in (name, *lines, *notes):
        say(text)


def _aligned(rows: Sequence[Sequence[str]], right: Collection[int]) -> list[str]:
    """Rows of cells as lines with aligned columns, some of them at their right ends."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def show_table(rows: Sequence[Sequence[str]]) -> None:
    """Rows with aligned columns."""
    for text in _aligned(rows, ()):
        say(text)


def show_error(error: UserError) -> None:
    """One clear message on the error stream."""
    err.print(Text.assemble(("error:", "bold red"), f" {error.message}"), soft_wrap=True)
    if error.hint:
        err.print(error.hint, soft_wrap=True)


def show_crash(error: BaseException, log: Path | None) -> None:
    """One line for a bug, and where its traceback was written."""
    where = f" The traceback is in {log}." if log is not None else ""
    text = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    err.print(f"internal error (this is a bug): {text}.{where}", soft_wrap=True)


def say(text: str) -> None:
    """One plain line."""
    out.print(text, soft_wrap=True)


def flush() -> None:
    """Nothing is left in the buffers when the process ends."""
    sys.stdout.flush()
    sys.stderr.flush()
