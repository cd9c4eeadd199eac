"""How many bytes a computation may take on a device."""

from __future__ import annotations

import sys
from pathlib import Path

import jax
import psutil

from reportgen.core.errors import ResourceError

_SHARE = 0.5  # of a machine's memory: images, results and other programs need theirs
_DEVICE_SHARE = 0.8  # of an accelerator's: weights are there, and memory is in pieces
_ENOUGH = 2 << 30  # bytes that a program may take, wherever there is a choice


def affordable(devices: tuple[jax.Device, ...], weights: int) -> tuple[jax.Device, ...]:
    """Of a CPU's devices, so many as have memory for programs, and for a copy of the weights.

    They are the same cores and the same memory; fewer of them only leave cores idle at times.
    """
    if devices[0].platform != "cpu":
        return devices
    return devices[: max(1, int(_SHARE * _machine()) // (_ENOUGH + weights))]


def measured_budget(devices: tuple[jax.Device, ...]) -> int:
    """Bytes for one program on each device: a share of all its memory, not of what is free.

    What is free changes from run to run, and with it the size of chunks and the last bits of
    results.
    """
    stats = devices[0].memory_stats() if devices[0].platform != "cpu" else None
    if stats and "bytes_limit" in stats:
        return int(_DEVICE_SHARE * stats["bytes_limit"])
    return int(_SHARE * _machine() / len(devices))


def no_room(program: str, size: int, why: str) -> ResourceError:
    """What to raise where a program does not fit with ``size`` inputs at a time."""
    hint = "Take smaller pictures or a device with more memory, or raise engine.memory_budget."
    if size > 1:
        hint = f"Take fewer at once: method.{program}.batch={size // 2}"
    return ResourceError(
        f"{program} needs more memory than there is, with {size} at a time: {why}.", hint
    )


def _machine() -> int:
    """Memory of the machine, or of the container that this process lives in."""
    total = int(psutil.virtual_memory().total)
    for place in ("memory.max", "memory/memory.limit_in_bytes"):
        file = Path("/sys/fs/cgroup", place)
        text = file.read_text().strip() if file.is_file() else ""
        if text.isdigit():
            total = min(total, int(text))
    return total


def peak() -> int:
    """Bytes that this process has held at the most, since it began."""
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most
