"""Images that are decoded behind one's back: order, waiting, errors, memory."""

from __future__ import annotations

import gc
import hashlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from reportgen.core.errors import DataError
from reportgen.data.store import make_store
from reportgen.data.stream import DecodedPixels, Job

SHAPE = (2, 3, 1)


def image(number: int) -> np.ndarray:
    return np.full(SHAPE, number, np.uint8)


def stream(
    reads: list[Callable[[], np.ndarray]], threads: int = 3, labels: list[int] | None = None
) -> DecodedPixels:
    jobs = [
        Job(f"i{k}", read, None if labels is None else labels[k]) for k, read in enumerate(reads)
    ]
    dtype = np.dtype(np.uint8)
    store = make_store((len(jobs), *SHAPE), dtype)
    return DecodedPixels(jobs, SHAPE, store, "here", dtype, threads)


def good(number: int, wait: float = 0.0) -> Callable[[], np.ndarray]:
    def read() -> np.ndarray:
        time.sleep(wait)
        return image(number)

    return read


def bad(reason: str) -> Callable[[], np.ndarray]:
    def read() -> np.ndarray:
        raise DataError(reason)

    return read


def gated(number: int, gate: threading.Event) -> Callable[[], np.ndarray]:
    def read() -> np.ndarray:
        assert gate.wait(60)
        return image(number)

    return read


def test_every_kind_of_index() -> None:
    pixels = stream([good(k) for k in range(9)])
    whole = np.stack([image(k) for k in range(9)]).astype(np.float32)
    assert pixels.shape == (9, *SHAPE)
    assert len(pixels) == 9
    for index in (
        0,
        8,
        -1,
        -9,
        np.int64(4),
        slice(2, 5),
        slice(None),
        slice(-3, None),
        slice(5, 99),
    ):
        np.testing.assert_array_equal(pixels[index], whole[index])
        assert pixels[index].dtype == np.float32
    for index in (slice(None, None, 2), slice(7, 2, -2), slice(6, 3), [5, 1, 1], np.array([3, -2])):
        np.testing.assert_array_equal(pixels[index], whole[index])
    assert pixels[[]].shape == (0, *SHAPE)
    np.testing.assert_array_equal(np.stack(list(pixels)), whole)
    for index in (9, -10):
        with pytest.raises(IndexError, match=f"image {index} of 9"):
            pixels[index]
    with pytest.raises(TypeError, match="picked by whole numbers, not bool"):
        pixels[np.ones(9, bool)]


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_the_same_whatever_the_number_of_threads(threads: int) -> None:
    """Later images are ready before earlier ones; some are bad."""
    delays = np.random.default_rng(threads).uniform(0, 0.004, 60)
    reads = [bad("torn") if k % 7 == 3 else good(k, delays[k]) for k in range(60)]
    labels = [k % 5 for k in range(60)]
    pixels = stream(reads, threads, labels)
    facts = pixels.facts()
    kept = [k for k in range(60) if k % 7 != 3]
    assert facts.names == tuple(f"i{k}" for k in kept)
    assert pixels[:][:, 0, 0, 0].tolist() == kept
    assert facts.labels is not None
    assert facts.labels.tolist() == [k % 5 for k in kept]
    assert [(item.name, item.reason) for item in facts.skipped] == [
        (f"i{k}", "torn") for k in range(3, 60, 7)
    ]
    content = b"uint8 (2, 3, 1)\n" + b"".join(
        f"i{k}\0".encode() + bytes([k] * 6) + bytes([k % 5, 0, 0, 0]) for k in kept
    )
    assert facts.sha256 == hashlib.sha256(content).hexdigest()


def test_the_first_are_there_before_the_last() -> None:
    gate = threading.Event()
    pixels = stream([good(0), bad("torn"), good(2), gated(3, gate)], threads=2)
    assert pixels[0:2][:, 0, 0, 0].tolist() == [0, 2]
    assert pixels[1][0, 0, 0] == 2
    assert pixels.wait(2) == 2
    ended = threading.Event()

    def count() -> None:
        assert len(pixels) == 3
        ended.set()

    waiter = threading.Thread(target=count)
    waiter.start()
    assert not ended.wait(0.05)
    gate.set()
    waiter.join(60)
    assert ended.is_set()
    assert pixels[0:9].shape[0] == 3
    assert pixels.wait(9) == 3


def test_no_more_than_a_few_are_decoded_ahead_of_a_slow_one() -> None:
    gate, started = threading.Event(), []

    def counted(number: int) -> Callable[[], np.ndarray]:
        def read() -> np.ndarray:
            started.append(number)
            return image(number)

        return read

    pixels = stream([gated(0, gate), *(counted(k) for k in range(1, 100))], threads=2)
    while len(started) < 7:
        time.sleep(0.001)
    time.sleep(0.02)
    assert started == list(range(1, 8))
    gate.set()
    assert len(pixels) == 100


def test_an_error_in_a_thread_reaches_whoever_waits() -> None:
    def broken() -> np.ndarray:
        raise ZeroDivisionError("a bug")

    pixels = stream([good(0), broken, *(good(k) for k in range(2, 50))], threads=2)
    for look in (lambda: pixels[3:9], lambda: len(pixels), pixels.facts, lambda: pixels[49]):
        with pytest.raises(ZeroDivisionError, match="a bug"):
            look()


def test_no_image_left() -> None:
    pixels = stream([bad(f"torn {k}") for k in range(7)])
    with pytest.raises(DataError) as caught:
        pixels[0:3]
    reasons = "".join(f"\n  i{k}: torn {k}" for k in range(5))
    assert str(caught.value) == f"None of the 7 images in here can be used:{reasons}"


def test_threads_end_with_the_images() -> None:
    gate = threading.Event()
    pixels = stream([gated(0, gate), *(good(k) for k in range(1, 100_000))], threads=2)
    mine = [thread for thread in threading.enumerate() if thread.name.startswith("decode-")]
    assert len(mine) == 2
    del pixels
    gc.collect()
    gate.set()
    for thread in mine:
        thread.join(60)
        assert not thread.is_alive()


INTERRUPTED = """
import os, signal, sys, threading, time
import numpy as np
from reportgen.data.store import make_store
from reportgen.data.stream import DecodedPixels, Job

def read():
    time.sleep(3600)

store = make_store((50, 2, 3, 1), np.dtype(np.uint8))
jobs = [Job(str(i), read, None) for i in range(50)]
pixels = DecodedPixels(jobs, (2, 3, 1), store, "here", np.dtype(np.uint8), 4)
threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
try:
    pixels[0:3]
except KeyboardInterrupt:
    sys.exit(42)
"""


def test_an_interruption_does_not_wait_for_threads(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], cwd=tmp_path, timeout=60)
    assert done.returncode == 42
