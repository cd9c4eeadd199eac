"""All benchmarks, one after another: ``python -m tests.bench [--json FILE] [NAME …]``.

Each is a process of its own, prints its table, and has options of its own: ``python -m
tests.bench.NAME --help``. The extra ``bench`` installs the peers. Leave the machine alone while it
runs: with the classic jobs it takes hours on a small CPU.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

NAMES = (
    *("classic", "montage", "attribution", "class_activation", "streaming"),
    *("default_report", "page", "sweep", "scaling", "lowerings", "archive"),
)


def main() -> None:
    """Run them and put what they measured into one file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], metavar="NAME", default=[])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    measured = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name in arguments.names or NAMES:
            file = Path(scratch) / f"{name}.json"
            print(f"== {name}", flush=True)
            command = [sys.executable, "-m", f"tests.bench.{name}", "--json", str(file)]
            subprocess.run(command, check=True)
            measured[name] = json.loads(file.read_text())
            print()
    if arguments.json:
        arguments.json.write_text(json.dumps(measured, indent=1) + "\n")


if __name__ == "__main__":
    main()
