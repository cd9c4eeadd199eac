"""Memory that programs on a CPU work in, kept by the process from one run to the next.

XLA asks for it and gives it back at every run. glibc hands large blocks back to the system at
once, which has to clear every page of it when it is next written to: up to a third of the time.
"""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # of mallopt(3)
_LARGEST = 2**31 - 1


def keep_memory() -> None:
    """Keep freed memory below 2 GiB; where the C library is another than glibc, nothing is done.

    Threads that have allocated before keep their ways, so this comes before all computation.
    """
    try:
        library = ctypes.CDLL(None)
        _, option = library.gnu_get_libc_version, library.mallopt
    except (AttributeError, OSError, TypeError):
        return
    option(_MMAP_THRESHOLD, _LARGEST)
    option(_TRIM_THRESHOLD, _LARGEST)
    option(_ARENA_MAX, 1)  # those of threads are too small for such blocks, and would map them
