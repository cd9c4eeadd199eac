"""Arrays of images: shapes, types, scales, keys."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reportgen.core.errors import DataError
from reportgen.core.spec import InputSpec

RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (5, 4, 4, 3), np.uint8)
LABELS = np.array([0, 1, 1, 0, 1])


@pytest.fixture
def npz(tmp_path: Path) -> Any:
    def write(compressed: bool = False, **arrays: Any) -> Path:
        path = tmp_path / "arrays.npz"
        (np.savez_compressed if compressed else np.savez)(path, **arrays)
        return path

    return write


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("in_memory", [0, 10**6])
def test_bytes_with_labels(
    compressed: bool, in_memory: int, npz: Any, load: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reportgen.data.store.IN_MEMORY", in_memory)
    monkeypatch.setattr("reportgen.data.npz._CHUNK", 100)
    images = load("npz", npz(compressed, x=BYTES, y=LABELS))
    assert images.names == ("x-0", "x-1", "x-2", "x-3", "x-4")
    assert images.labels.tolist() == LABELS.tolist()
    np.testing.assert_array_equal(images.pixels[:], BYTES)
    assert images.pixels[:].dtype == np.float32


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4"])
def test_floats_are_exact_and_their_scale_is_told_by_their_range(
    dtype: str, npz: Any, load: Any
) -> None:
    values = (BYTES * 0.9 + 0.3).astype(dtype)
    images = load("npz", npz(x=values))
    np.testing.assert_array_equal(images.pixels[:], values.astype(np.float32))
    assert (images.pixels[:] % 1 != 0).any()
    unit = (BYTES / 255).astype(dtype)
    expected = unit.astype(np.float32) * np.float32(255)
    np.testing.assert_array_equal(load("npz", npz(x=unit)).pixels[:], expected)


@pytest.mark.parametrize(
    ("low", "high", "found"),
    [(-1, 1, "-1 to 1"), (0, 2, "0 to 2"), (0, 300, "0 to 300"), (0, 100, "0 to 100"),
     (-2.1, 2.6, "-2.1 to 2.6"), (np.nan, 1, "nan to nan"), (0, np.inf, "0 to inf")],
)  # fmt: skip
def test_floats_of_another_scale_are_refused(
    low: float, high: float, found: str, npz: Any, load: Any
) -> None:
    values = np.zeros((2, 4, 5), np.float32)
    values[1, 2, 3], values[0, 1, 1] = low, high
    with pytest.raises(DataError, match=rf"the values of x go from {found}; .*\nUndo the norm"):
        load("npz", npz(x=values))


def test_grey_arrays_and_fortran_order(npz: Any, load: Any) -> None:
    grey = np.asfortranarray(RNG.integers(0, 256, (3, 5, 5), np.uint8))
    assert not grey.flags.c_contiguous
    one, three = (InputSpec(height=5, width=5, channels=c) for c in (1, 3))
    found = load("npz", npz(x=grey), spec=one).pixels[:]
    np.testing.assert_array_equal(found[..., 0], grey)
    found = load("npz", npz(x=grey), spec=three).pixels[:]
    np.testing.assert_array_equal(found[..., 2], grey)


def test_labels_as_text_and_in_a_column(npz: Any, load: Any) -> None:
    words = np.array(["cat", "dog", "dog", "cat", "dog"])
    assert load("npz", npz(x=BYTES, y=words)).labels.tolist() == LABELS.tolist()
    assert load("npz", npz(x=BYTES, y=LABELS[:, None])).labels.tolist() == LABELS.tolist()
    assert load("npz", npz(x=BYTES, y=LABELS), labels=None).labels is None
    with pytest.raises(
        DataError, match=r"npz: y\[0\] 'cta' is none of the network's 2 classes.\nDid you mean cat"
    ):
        load("npz", npz(x=BYTES, y=np.array(["cta"] * 5)))
    with pytest.raises(DataError, match=r"y\[0\] '2' is none of the network's 2 classes"):
        load("npz", npz(x=BYTES, y=LABELS + 2))


def test_keys(npz: Any, load: Any) -> None:
    path = npz(x_train=BYTES, x_test=BYTES[:2], y_train=LABELS, y_test=LABELS[:2])
    with pytest.raises(
        DataError,
        match=r"several arrays that may be the images: x_train \(5, 4, 4, 3\) uint8; "
        r"x_test \(2, 4, 4, 3\) uint8.\nName one: data.images=x_train",
    ):
        load("npz", path)
    images = load("npz", path, images="x_test")
    assert images.labels.tolist() == [0, 1]
    with pytest.raises(
        DataError, match=r"no array 'x_tset' \(data.images\). It has: .*\nDid you m"
    ):
        load("npz", path, images="x_tset")
    with pytest.raises(DataError, match=r"y_train .* is no array of labels, \(2,\) whole numbers"):
        load("npz", path, images="x_test", labels="y_train")
    path = npz(x=BYTES, y=LABELS, place=LABELS)
    with pytest.raises(
        DataError, match=r"several .* labels: y .*; place .*\nName one: data.labels="
    ):
        load("npz", path)
    assert load("npz", path, labels="y").labels.tolist() == LABELS.tolist()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (BYTES.transpose(0, 3, 1, 2), r"takes images \(N, H, W, 3\), and x is \(5, 3, 4, 4\).\nIts "
         r"channels come first"),
        (np.zeros((5, 4, 4, 2), np.uint8), r"takes images \(N, H, W, 3\), and x is \(5, 4, 4, 2\)"),
        (BYTES[0], r"x is \(4, 4, 3\): a single image, or 4 that are 3 pixels wide.\nSave .*None"),
        (np.zeros((0, 4, 4, 3), np.uint8), "holds no images"),
        (BYTES.astype(int), r"has no images, \(N, H, W\) .* It has: x \(5, 4, 4, 3\) int64"),
    ],
)  # fmt: skip
def test_shapes_that_are_refused(array: np.ndarray, message: str, npz: Any, load: Any) -> None:
    with pytest.raises(DataError, match=message):
        load("npz", npz(x=array))


def test_networks_of_other_channels(npz: Any, load: Any) -> None:
    spec = InputSpec(height=4, width=4, channels=5)
    with pytest.raises(DataError, match=r"takes images \(N, H, W, 5\), and x is \(5, 4, 4, 3\)"):
        load("npz", npz(x=BYTES), spec=spec)
    many = RNG.integers(0, 256, (3, 4, 4, 5), np.uint8)
    np.testing.assert_array_equal(load("npz", npz(x=many), spec=spec).pixels[:], many)


def test_resized_to_the_network(npz: Any, load: Any) -> None:
    spec = InputSpec(height=2, width=2, channels=3, interpolation="box")
    images = load("npz", npz(x=BYTES / 255.0), spec=spec)
    expected = BYTES.reshape(5, 2, 2, 2, 2, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(images.pixels[:], expected, rtol=1e-4)


def test_nothing_is_unpickled(npz: Any, load: Any, tmp_path: Path) -> None:
    path = npz(x=np.array([print, print], object))
    with pytest.raises(DataError, match="x holds Python objects, which are never unpickled"):
        load("npz", path, images="x")
    with pytest.raises(DataError, match="has no images"):
        load("npz", path)
    path = npz(x=BYTES, y=np.array([print] * 5, object))
    with pytest.raises(DataError, match="y holds Python objects, which are never unpickled"):
        load("npz", path, labels="y")


def test_damage(npz: Any, load: Any, tmp_path: Path) -> None:
    path = npz(True, x=BYTES)
    whole = path.read_bytes()
    for content in (b"", b"text", whole[: len(whole) // 2], whole[:150] + b"\xff\0" + whole[152:]):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"is no .npz file, or damaged"):
            load("npz", path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "text")
    with pytest.raises(DataError, match=r"is no .npz file, or damaged"):
        load("npz", path)
    with pytest.raises(DataError, match=r"There is no file .*lost.npz.\nDid you mean .*arrays.npz"):
        load("npz", tmp_path / "lost.npz")
