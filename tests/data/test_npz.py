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
     (-2.1, 2.6, "-2.1 to 2.6")],
)  # fmt: skip
def test_floats_of_another_scale_are_refused(
    low: float, high: float, found: str, npz: Any, load: Any
) -> None:
    values = np.zeros((2, 4, 5), np.float32)
    values[1, 2, 3], values[0, 1, 1] = low, high
    with pytest.raises(DataError, match=rf"the values of x go from {found}; .*\nUndo the norm"):
        load("npz", npz(x=values))


@pytest.mark.parametrize("order", ["C", "F"])
def test_values_that_are_not_finite_are_counted_and_placed(
    order: str, npz: Any, load: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reportgen.data.npz._CHUNK", 300)  # an image and a half
    values = np.asarray(BYTES / 255, np.float32, order=order)
    values[1, 0, 0, 0] = values[1, 2, 2, 1] = np.nan
    values[4, 3, 3, 2] = np.inf
    with pytest.raises(
        DataError, match=r"3 values of x are NaN or infinite, in 2 of 5 images: 1, 4\.\nLeave"
    ):
        load("npz", npz(x=values))
    values[:] = np.nan
    monkeypatch.setattr("reportgen.data.npz._NAMED", 2)
    with pytest.raises(DataError, match=r"240 values .* in 5 of 5 images: 0, 1, …\."):
        load("npz", npz(x=values))


@pytest.mark.parametrize(
    "labels",
    [LABELS[:3], LABELS.astype(float), LABELS.astype(bool), LABELS.astype(object),
     np.array([b"cat"] * 5), np.array(["cat", "dog"])],
    ids=str,
)  # fmt: skip
def test_labels_that_do_not_fit_are_not_passed_over(
    labels: np.ndarray, npz: Any, load: Any
) -> None:
    path = npz(x=BYTES, y=labels)
    with pytest.raises(
        DataError,
        match=rf"y \({len(labels)},\) .* is no array of labels, \(5,\) .* image of x.\n"
        r"Save .*data.labels=null goes on without",
    ):
        load("npz", path)
    assert load("npz", path, labels=None).labels is None


def test_what_is_not_meant_as_labels_is_passed_over(npz: Any, load: Any) -> None:
    path = npz(x=BYTES, mean=np.ones(3), std=np.float32(1), epochs=np.array(3))
    assert load("npz", path).labels is None
    path = npz(x=BYTES, y=LABELS, names=np.array(["cat", "dog"]))
    assert load("npz", path).labels.tolist() == LABELS.tolist()


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
        (np.zeros((5, 4, 4, 2), np.uint8),
         r"takes images \(N, H, W, 3\), and x is \(5, 4, 4, 2\).\n"
         r"Save the channels that the network takes"),
        (BYTES[0], r"x is \(4, 4, 3\): a single image, or 4 that are 3 pixels wide.\nSave .*None"),
        (np.zeros((0, 4, 4, 3), np.uint8), "holds no images"),
        (BYTES.astype(int), r"has no images, \(N, H, W\) .* It has: x \(5, 4, 4, 3\) int64.\n"
         r"Values 0..255 of another type: save array.astype\('uint8'\)"),
        (BYTES.astype(np.uint16), r"uint16.\nValues 0..65535: save \(array // 257\)"),
        (BYTES.astype(object), r"object.\nPython objects are never unpickled: save numpy.stack"),
        (BYTES.reshape(5, -1), r"x \(5, 48\) uint8.\nA single image .* array.reshape\(N, H, W\)"),
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
        hint = "Copy or save it again" if content[:1] == b"P" else r"numpy.savez\('FILE.npz'"
        with pytest.raises(DataError, match=rf"is no .npz file, or damaged: .*\n{hint}"):
            load("npz", path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "text")
    with pytest.raises(DataError, match=r"is no .npz file, or damaged"):
        load("npz", path)
    np.save(tmp_path / "one.npy", BYTES)
    with pytest.raises(DataError, match=r"is a single array \(.npy\).*\n.*savez\('one.npz', im"):
        load("npz", tmp_path / "one.npy")
    with pytest.raises(
        DataError, match=r"There is no file .*array.npz.\nDid you mean .*arrays.npz"
    ):
        load("npz", tmp_path / "array.npz")
    with pytest.raises(DataError, match=r" is a folder, and data=npz takes a file.\n.*data=folder"):
        load("npz", tmp_path)
