"""Whatever a file holds, the answer is weights or one message, never a traceback."""

from __future__ import annotations

import io
import pickle
import re
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax import nnx, serialization
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save, save_file

from reportgen.core.errors import WeightsError
from reportgen.models.weights import orbax
from reportgen.models.weights.load import place_file
from tests.models.weights.sample import OWN, build, shapes_of, values
from tests.models.weights.test_caffe import Writer
from tests.models.weights.test_formats import Evil

EXPECTED = values(build())
SHAPES = shapes_of(EXPECTED)
BEGINNINGS = [
    b"",
    b"\x89HDF\r\n\x1a\n",
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"\x80\x02",
    b"\x85",
    b"\xde",
    b"\n\x06",
    b"\x12\x04",
    b"\xa2\x06\x04",
    b"\x08\0\0\0\0\0\0\0{",
]


def _npz() -> bytes:
    file = io.BytesIO()
    np.savez(file, **EXPECTED)
    return file.getvalue()


def _msgpack() -> bytes:
    state = nnx.to_pure_dict(nnx.state(build(), nnx.Not(nnx.RngState)))
    return bytes(serialization.msgpack_serialize(state))


def _caffe() -> bytes:
    writer = Writer()
    writer.layer("conv", "Convolution", "data", "conv", np.ones((2, 2, 3, 3), np.float32))
    return bytes(writer.net.SerializeToString())


def _torch() -> bytes:
    import torch

    file = io.BytesIO()
    torch.save({name: torch.from_numpy(value.copy()) for name, value in EXPECTED.items()}, file)
    return file.getvalue()


def _keras() -> bytes:
    import h5py

    file = io.BytesIO()
    with h5py.File(file, "w") as root:
        root.attrs["layer_names"] = np.array([b"conv", b"fc"])
        for layer in ("conv", "fc"):
            group = root.create_group(layer)
            group.attrs["weight_names"] = np.array([f"{layer}/kernel:0".encode()])
            group[f"{layer}/kernel:0"] = EXPECTED[f"{layer}.kernel"]
    return file.getvalue()


def _archive() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", _keras())
    return file.getvalue()


def _safetensors() -> bytes:
    return save(EXPECTED)


PYTORCH = pytest.param(_torch, marks=pytest.mark.peer)
WHOLE = [_safetensors, _npz, _msgpack, _caffe, PYTORCH, _keras, _archive]


def _message(path: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        place_file(path, SHAPES, OWN, strict=True)
    return str(caught.value)


@given(begin=st.sampled_from(BEGINNINGS), rest=st.binary(max_size=200))
@example(begin=b"\x80", rest=b"")
@example(begin=b"\x08\0\0\0\0\0\0\0{", rest=b'"a":3}')
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_random_bytes_give_one_message(begin: bytes, rest: bytes, tmp_path: Path) -> None:
    (path := tmp_path / "w.bin").write_bytes(begin + rest)
    assert str(path) in _message(path)


@pytest.mark.parametrize("make", WHOLE)
def test_a_truncated_file_gives_one_message(make: Callable[[], bytes], tmp_path: Path) -> None:
    """Cut at every length near both ends, and at forty between."""
    whole = make()
    lengths = {*range(12), *np.linspace(12, len(whole) - 1, 40, dtype=int).tolist()}
    for length in sorted(lengths):
        (path := tmp_path / "w.bin").write_bytes(whole[:length])
        assert str(path) in _message(path), length


@pytest.mark.parametrize("make", [_safetensors, _npz, _msgpack, _caffe, PYTORCH])
@given(data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_changed_byte_gives_weights_or_one_message(
    make: Callable[[], bytes], data: Any, tmp_path: Path
) -> None:
    whole = bytearray(make())
    for _ in range(data.draw(st.integers(1, 4))):
        # Most of what can go wrong is in the first kilobyte, and at the end of a zip file.
        at = data.draw(st.integers(0, 1000) | st.integers(len(whole) - 1000, len(whole) - 1))
        whole[at % len(whole)] = data.draw(st.integers(0, 255))
    (path := tmp_path / "w.bin").write_bytes(whole)
    message = str(path)
    try:
        place_file(path, SHAPES, OWN, strict=True)
    except WeightsError as error:
        message = str(error)
    assert str(path) in message


# After its first failure Orbax goes on to open the other arrays, in a loop that is closed by then.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_damaged_orbax_folder_is_named(tmp_path: Path) -> None:
    state = nnx.to_pure_dict(nnx.state(build(), nnx.Not(nnx.RngState)))
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "w", state)
    for part in sorted((tmp_path / "w").rglob("d/*")):
        part.write_bytes(part.read_bytes()[:20])
    assert re.search(r"/w is not a whole Orbax folder: ", _message(tmp_path / "w"))
    (tmp_path / "w" / "_METADATA").write_text("{")
    assert "is not a whole Orbax folder" in _message(tmp_path / "w")


def test_threads_of_a_failed_orbax_reading_say_nothing_and_others_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", said.append)
    orbax._hush.cache_clear()
    test_a_damaged_orbax_folder_is_named(tmp_path)
    hook = sys.unraisablehook
    orbax._hush.cache_clear()  # so that the next reading hushes the hook that is there then
    assert said == []
    errors = (RuntimeError("Event loop is closed"), RuntimeError("other"), OSError("other"))
    given = [SimpleNamespace(exc_value=error, object=None) for error in errors]
    for one in given:
        hook(one)
    hook(own := SimpleNamespace(exc_value=errors[0], object=hook))
    assert said == [*given[1:], own]


@pytest.mark.parametrize("name", ["empty", "other"])
def test_a_folder_of_something_else_says_what_it_holds(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    if name == "other":
        save_file(EXPECTED, tmp_path / name / "model.safetensors")
    holds = {"empty": "it holds nothing", "other": "it holds model.safetensors"}[name]
    assert holds in _message(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "Run git lfs pull"),
        (b"<!DOCTYPE html>", "begins with b'<!DOCTYPE html>'"),
        (b"name: 'LeNet' layer {}", "Known formats: safetensors, Keras .h5"),
        (b"", "it is empty"),
    ],
)
def test_what_is_no_weights_file_is_told_by_its_beginning(
    content: bytes, message: str, tmp_path: Path
) -> None:
    (path := tmp_path / "weights").write_bytes(content)
    assert message in _message(path)


@pytest.mark.parametrize("ending", ["safetensors", "h5", "keras", "caffemodel", "npz", "pth"])
def test_a_known_ending_over_other_content_is_named(ending: str, tmp_path: Path) -> None:
    (path := tmp_path / f"w.{ending}").write_bytes(b"<html>")
    assert re.search(rf"w\.{ending} \(6 bytes\) is not a whole .+ file", _message(path))


def test_a_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    for protocol in (2, 5):
        (path := tmp_path / "w.pkl").write_bytes(
            pickle.dumps(Evil(tmp_path / "ran"), protocol=protocol)
        )
        assert "is a Python pickle" in _message(path)
    assert not (tmp_path / "ran").exists()


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    assert "w.npz cannot be read: No such file or directory." in _message(tmp_path / "w.npz")
