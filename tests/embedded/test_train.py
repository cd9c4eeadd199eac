"""The shipped images and weights are what the script makes, and the script can be run again."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors import safe_open

from reportgen.embedded import DIGITS, FOLDER, train
from reportgen.models import nnx as adapter


def test_the_shipped_images_are_the_held_out_ones() -> None:
    pixels, labels = train.load_digits()
    kept, held_out = train.split(labels, train.HELD_OUT, train.SEED)
    assert not set(kept) & set(held_out)
    assert len(kept) + len(held_out) == 1797
    with np.load(DIGITS, allow_pickle=False) as shipped:
        np.testing.assert_array_equal(shipped["indices"], held_out)
        np.testing.assert_array_equal(shipped["pixels"], pixels[held_out])
        np.testing.assert_array_equal(shipped["labels"], labels[held_out])


@pytest.mark.slow
def test_training_is_repeatable_and_learns() -> None:
    """Two epochs of the thirty, on some images: the same weights twice, and better than chance."""
    pixels, labels = train.load_digits()
    kept, held_out = train.split(labels, train.HELD_OUT, train.SEED)
    some = kept[:600]

    def weights() -> dict[str, np.ndarray]:
        module = train.train("lenet", pixels[some], labels[some], epochs=2)
        return {k: np.asarray(value) for k, value in adapter.parameters_of(module).items()}

    first, second = weights(), weights()
    program = adapter.adapt(lambda seed: train.build("lenet", seed)).program
    logits = program(first, pixels[held_out] / np.float32(256))
    assert (np.argmax(logits, -1) == labels[held_out]).mean() > 0.7
    assert first.keys() == second.keys()
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name])


def test_the_files_say_how_good_they_are_and_are_small() -> None:
    for name in train.NETWORKS:
        path = FOLDER / f"{name}.safetensors"
        assert path.stat().st_size < 3_000_000
        with safe_open(path, framework="numpy") as file:
            assert float(file.metadata()["held_out_accuracy"]) >= 0.97
            assert {file.get_tensor(key).dtype for key in file.keys()} == {np.dtype("f2")}  # noqa: SIM118
