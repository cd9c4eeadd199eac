"""Memory is kept between runs: the system is asked for no new pages."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import sys, threading
import resource
import numpy as np
from reportgen.models.heap import keep_memory

if sys.argv[1] == "keep":
    keep_memory()

def work():
    for _ in range(4):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        block = np.ones(40_000_000)
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
        del block
    print(faults)

thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


def faults(how: str) -> int:
    """Pages that the system gave to the last of four blocks of 320 MB."""
    command = [sys.executable, "-c", PROGRAM, how]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's alone")
def test_freed_memory_is_used_again() -> None:
    assert faults("keep") < 50
    assert faults("leave") > 100  # huge pages or not
