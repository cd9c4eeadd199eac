"""The command line: sub-commands and exit codes. Nothing here imports JAX before it is needed.

Exit codes: 0 done · 1 internal error (a bug) · 2 the user's config, data, weights or folder are
wrong, or the run was interrupted · 3 the report was written and an audit check failed. Where one of
several methods fails, the report is written without it, and the code is 1 or 2 all the same.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import reportgen
from reportgen import interrupts
from reportgen.core.errors import ConfigError, OutputError, UserError, did_you_mean

USAGE = {
    "layers": "reportgen layers [OVERRIDES…]   list layer paths, kinds, shapes, parameters, cost",
    "render": "reportgen render DIR            draw HTML and PDF again from DIR's results",
    "compare": "reportgen compare BASE CANDIDATE [OVERRIDES…]   what changed between two reports",
    "verify": "reportgen verify DIR            checksums, schema, and the same bytes drawn again;\n"
    "                                of an archive, every report against its history",
    "index": "reportgen index ARCHIVE         mend an archive's history, draw its index page",
    "archive": "reportgen archive prune ARCHIVE [keep=30] [--yes]\n"
    "                                what of old nightly reports would go; --yes removes it",
    "doctor": "reportgen doctor                versions, devices, fonts, caches, what is missing",
}


_GROUPS = (
    *("model", "preprocessing", "weights", "score", "data", "method", "colormap", "report"),
    "archive",
)
# Hydra's flags that a sweep cannot have.
_ONE = {"--cfg", "-c", "--info", "-i", "--run", "-r"}


def main() -> None:
    """Entry point of the command ``reportgen``."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    try:
        with interrupts.ending_a_run():
            return _dispatch(list(arguments))
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted: nothing was written\n")
        return 2
    except Exception as error:  # noqa: BLE001 (the one place where every error ends)
        return _failed(error)


def _failed(error: Exception) -> int:
    from reportgen import terminal
    from reportgen.compose import explain

    known = error if isinstance(error, UserError) else explain(error)
    if known is not None:
        terminal.show_error(known)
        return known.exit_code
    terminal.show_crash(error, _write_traceback(error))
    return 1


def _write_traceback(error: BaseException) -> Path | None:
    import platformdirs

    try:
        folder = Path(platformdirs.user_log_dir("reportgen"))
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"error-{datetime.now():%Y-%m-%d_%H-%M-%S}-{os.getpid()}.log"
        path.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    except OSError:
        return None
    return path


def _dispatch(arguments: list[str]) -> int:
    command = arguments[0] if arguments else ""
    if command == "--version":
        sys.stdout.write(f"reportgen {reportgen.__version__}\n")
        return 0
    if command == "render":
        return _render(_folder(arguments))
    if command == "verify":
        from reportgen import archiving

        return archiving.verify(_folder(arguments))
    if command == "index":
        from reportgen import archiving

        return archiving.index(_folder(arguments))
    if command == "archive":
        from reportgen import archiving

        return archiving.archive(arguments[1:], USAGE["archive"])
    if command == "compare":
        return _compare(arguments[1:])
    if command == "doctor":
        return _doctor()
    if command == "layers":
        return _hydra(arguments[1:], _layers)
    if command and command.isidentifier() and "=" not in command:
        known = "\n".join(f"  {line}" for line in USAGE.values())
        raise ConfigError(
            f"There is no command {command!r}.",
            f"{did_you_mean(command, USAGE)}\nCommands:\n{known}\nAll else: reportgen --help",
        )
    return _hydra(arguments, _report)


def _folder(arguments: list[str]) -> Path:
    if len(arguments) != 2:
        raise OutputError(
            f"One folder is expected, found {len(arguments) - 1}.", USAGE[arguments[0]]
        )
    return Path(arguments[1])


def _hydra(arguments: list[str], task: Callable[[Any], int]) -> int:
    """Compose the configuration with Hydra and run the task on it, once or as a sweep."""
    import hydra

    from reportgen.compose import composing_once, conf_dir, no_option, prefer_own_launchers

    for override in arguments:
        group, _, value = override.partition("=")
        # No experiment is what the configuration starts from.
        if value in ("null", "~") and group in _GROUPS:
            raise no_option(group)
    # Factories and methods of the user's own are importable from where the command is run; last,
    # so that a file there cannot stand in for a library.
    sys.path.append(str(Path.cwd()))
    # Hydra then raises its errors in place of printing them; run() prints them.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    if not {"--help", "-h"} & set(arguments):
        _register_colormaps()
    prefer_own_launchers()
    multirun = bool({"-m", "--multirun"} & set(arguments))
    if multirun and (other := _ONE & {argument.partition("=")[0] for argument in arguments}):
        flag = min(other)
        raise ConfigError(
            f"{flag} is of one configuration, and -m of several.",
            f"Leave out -m and choose one value of each key: reportgen {flag} …",
        )
    if multirun:
        from reportgen import sweep

        sweep.register()
    codes: list[int] = []

    def remember(node: Any) -> None:
        # Caught here, since Hydra prints a line of its own for a task that raises.
        try:
            codes.append(task(node))
        except Exception as error:  # noqa: BLE001 (told and turned into an exit code)
            codes.append(_failed(error))

    decorated = hydra.main(str(conf_dir()), "config", version_base="1.3")(remember)
    saved, sys.argv = sys.argv, ["reportgen", *arguments]
    try:
        with composing_once(arguments):
            decorated()
    finally:
        sys.argv = saved
    if multirun:
        codes += [job.exit_code for job in sweep.Sweeper.finished]
    return _worst(codes)


def _worst(codes: Sequence[int]) -> int:
    """A bug outweighs wrong input, wrong input a failed check."""
    return next((code for code in (1, 2, 3) if code in codes), 0)


def _register_colormaps() -> None:
    """Every colormap is an option of the group: colormap=jet means jet for everything."""
    from hydra.core.config_store import ConfigStore

    from reportgen.render.colour import colormaps

    store = ConfigStore.instance()
    for name in colormaps():
        node = dict.fromkeys(("weights", "activations", "heatmap", "signed", "matrix"), name)
        store.store(name=name, group="colormap", node=node, package="colormap")


def _report(node: Any) -> int:
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    settings = HydraConfig.get()
    if settings.mode == RunMode.MULTIRUN:
        return _sweep_job(node, Path(settings.sweep.dir), list(settings.overrides.task))
    stamp = f"{datetime.now():%Y-%m-%d_%H-%M-%S}"
    target = node.report.dir or f"outputs/{node.model.name}-{stamp}"
    outcome = _make(node, Path(str(target)), list(settings.overrides.task))
    return int(outcome.report.exit_code)


def _make(node: Any, target: Path, overrides: Sequence[str]) -> Any:
    from reportgen import pipeline, terminal

    with terminal.TerminalProgress() as progress:
        outcome = pipeline.run(node, target=target, overrides=overrides, progress=progress)
    terminal.show_outcome(outcome)
    return outcome


def _sweep_job(node: Any, folder: Path, overrides: list[str]) -> int:
    """One job; its failure is recorded, never raised, since Hydra would drop the rest."""
    from reportgen import jobs, terminal, workers
    from reportgen.core.sweep import headline_numbers
    from reportgen.render import thumbnail
    from reportgen.render.view import section_titles

    target = jobs.report_folder(folder, overrides)
    with workers.at_work(folder, jobs.number_of(folder, overrides)):
        terminal.say(f"\n{target.name}")
        try:
            outcome = _make(node, target, overrides)
        except Exception as raised:  # noqa: BLE001 (recorded on the index page, and in the exit code)
            error = workers.in_words(raised)
            code = _failed(error)
            known = isinstance(error, UserError)
            message = str(error) if known else f"{type(error).__name__}: {error}"
            jobs.record(folder, overrides, exit_code=code, message=message)
            return code
        small = thumbnail.thumbnail(outcome.report)
        jobs.record(
            folder,
            overrides,
            exit_code=outcome.report.exit_code,
            message="\n".join(filter(None, (part.failed for part in outcome.report.sections))),
            folder=os.path.relpath(outcome.folder, folder),
            title=outcome.report.title,
            thumbnail=os.path.relpath(outcome.folder / thumbnail.PATH, folder) if small else "",
            shown=small.shown if small else "",
            sections=section_titles(outcome.report),
            metrics=headline_numbers(outcome.report),
        )
        return int(outcome.report.exit_code)


def _layers(node: Any) -> int:
    from reportgen import pipeline, terminal
    from reportgen.methods.summary import layer_table

    network = pipeline.list_layers(node)
    seen = network.outline
    adapted = network.adapted
    table = layer_table(seen.layers, adapted.shapes, adapted.statistics, seen.flops)
    terminal.show_layers(network.name, table, network.notes)
    return 0


def _render(folder: Path) -> int:
    from reportgen import terminal
    from reportgen.archive.rerender import rerender

    ledger = rerender(folder)
    for note in ledger.notes:
        terminal.say(f"  warn  {note}")
    terminal.say(str(folder / "report.html"))
    return 0


def _compare(arguments: list[str]) -> int:
    if {"--help", "-h"} & set(arguments):
        sys.stdout.write(
            f"{USAGE['compare']}\nBASE and CANDIDATE are folders, or names in the archive; of the "
            "configuration it takes audit, report and archive.dir.\n"
        )
        return 0
    if len(arguments) < 2:
        raise OutputError(f"Two folders are expected, found {len(arguments)}.", USAGE["compare"])
    from reportgen import comparison, terminal

    base, candidate, *overrides = arguments
    with terminal.TerminalProgress() as progress:
        outcome = comparison.run(base, candidate, overrides, progress)
    terminal.show_outcome(outcome)
    return int(outcome.report.exit_code)


def _doctor() -> int:
    from reportgen import doctor

    return doctor.show()
