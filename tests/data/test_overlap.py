"""Methods begin with the first images while later ones are still being decoded."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from reportgen.core.errors import DataError
from reportgen.core.images import ImageBatch
from reportgen.data.store import make_store
from reportgen.data.stream import DecodedPixels, Job
from reportgen.engine.rows import Engine
from reportgen.methods.targets import predict


def streamed(pixels: np.ndarray, gate: threading.Event, bad: tuple[int, ...]) -> ImageBatch:
    """The first five images at once, the others when the gate opens: two chunks are asked for."""

    def reader(k: int) -> Callable[[], np.ndarray]:
        def read() -> np.ndarray:
            assert k < 5 or gate.wait(60)
            if k in bad:
                raise DataError("torn")
            return np.asarray(pixels[k].astype(np.uint8))

        return read

    jobs = [Job(f"i{k}", reader(k), None) for k in range(len(pixels))]
    shape, dtype = pixels.shape[1:], np.dtype(np.uint8)
    store = make_store(pixels.shape, dtype)
    decoded = DecodedPixels(jobs, shape, store, "here", dtype, 2)
    return ImageBatch(pixels=decoded, listed=len(jobs), source="here", facts=decoded.facts)


def test_predictions_begin_before_the_last_image(lenet: Any, digits: Any) -> None:
    pixels, gate, heard = digits.pixels[:11], threading.Event(), []

    def advance(done: int) -> None:
        heard.append((done, gate.is_set()))
        gate.set()

    images = streamed(pixels, gate, bad=(1, 5))
    logits = predict(Engine.local(2), lenet, images, images.listed, advance)
    assert heard[0] == (2, False)
    assert [done for done, _ in heard] == [2, 2, 2, 2, 1]
    good = [k for k in range(11) if k not in (1, 5)]
    expected = predict(Engine.local(11), lenet, digits, 11)[good]
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-5)


def test_a_few_first_images_wait_for_no_more(digits: Any) -> None:
    gate = threading.Event()
    images = streamed(digits.pixels[:8], gate, bad=(1, 7))
    assert images.first(2) == 2
    gate.set()
    assert images.first(99) == len(images) == 6
