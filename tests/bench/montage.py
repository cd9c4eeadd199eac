"""The classic montage beside its peers: ``python -m tests.bench.montage [--json FILE]``.

The best 64 of 512 filters of the classic job, end to end with compilation, by early ranking. The
peers climb all of them to the end, one after another; one is timed, and counted 512 times.
``--agreement`` climbs all of ours too, and tells how many of the 64 are the same. It takes hours
on a small CPU; ``--side``, ``--units`` and ``--keep`` make the job smaller.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

from tests.bench.alternating import head, measure, write
from tests.bench.classic import LAYER, PEERS, STEPS, drawn, ours

TARGET = 5.0


def main() -> None:
    """Measure, print a table, write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--side", type=int, default=412)
    parser.add_argument("--scales", type=int, default=9)
    parser.add_argument("--units", type=int, default=512)
    parser.add_argument("--keep", type=int, default=64)
    parser.add_argument("--peer", choices=PEERS, default="keras")
    parser.add_argument("--agreement", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    weights, job = drawn(), (arguments.side, arguments.scales)
    units, keep = list(range(arguments.units)), f"method.filters.keep={arguments.keep}"
    size = f"{job[0]} × {job[0]}, {job[1]} × {STEPS} steps"
    head(f"VGG16 {LAYER}, {size}, best {arguments.keep} of {arguments.units} filters")
    peer, name = PEERS[arguments.peer]
    mine = ours(weights, *job, units, keep)
    row = measure(
        "classic montage", mine, peer(weights, *job, 7), against=name, runs=1, target=TARGET,
        times=arguments.units, cold=True,
    )  # fmt: skip
    told = list(mine.engine.told)
    if arguments.agreement:
        checked = ours(weights, *job, units, keep, "engine.early_ranking=check")
        began = time.perf_counter()
        checked()
        told += [*checked.engine.told, f"all to the end: {time.perf_counter() - began:.1f} s"]
    print("\n".join(told))
    write(arguments.json, [row], told)


if __name__ == "__main__":
    main()
