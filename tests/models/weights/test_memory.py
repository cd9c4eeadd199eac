"""A large file costs its parameters and little more: tensors are converted one at a time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flax import serialization
from safetensors.numpy import save_file

from tests.models.weights.test_caffe import Writer

COUNT, SIDE = 8, 2200  # eight kernels of 19 MB
PROGRAM = """
import importlib.util, sys
from pathlib import Path
import h5py, jax, jax.numpy as jnp  # libraries are no part of what a file costs
if importlib.util.find_spec("torch"):
    import torch
from reportgen.models.weights import caffemodel, flax_msgpack, npz, safetensors
from reportgen.models.weights.load import Naming, place_file

count, side = int(sys.argv[2]), int(sys.argv[3])
shape = jax.ShapeDtypeStruct((side, side), jnp.float32)
def peak():
    # Not getrusage: its peak is inherited from the process that started this one.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

jnp.array(jnp.zeros(3)).block_until_ready()
before = peak()
shapes = {f"layer{i}.kernel": shape for i in range(count)}
placed = place_file(Path(sys.argv[1]), shapes, Naming({}, {}, ()), strict=True)
assert len(placed.parameters) == count
print((peak() - before) * 1024)
"""


def _safetensors(path: Path, tensors: dict[str, np.ndarray]) -> None:
    save_file({name.replace("kernel", "weight"): v for name, v in tensors.items()}, path)


def _npz(path: Path, tensors: dict[str, np.ndarray]) -> None:
    with path.open("wb") as file:
        np.savez(file, **tensors)


def _msgpack(path: Path, tensors: dict[str, np.ndarray]) -> None:
    path.write_bytes(serialization.msgpack_serialize(tensors))


def _keras(path: Path, tensors: dict[str, np.ndarray]) -> None:
    import h5py

    with h5py.File(path, "w") as root:
        root.attrs["layer_names"] = np.array([name.partition(".")[0].encode() for name in tensors])
        for name, value in tensors.items():
            layer = root.create_group(name.partition(".")[0])
            layer.attrs["weight_names"] = np.array([b"kernel:0"])
            layer["kernel:0"] = value


def _caffe(path: Path, tensors: dict[str, np.ndarray]) -> None:
    writer = Writer()
    for name, value in tensors.items():
        writer.layer(name.partition(".")[0], "InnerProduct", "data", "ip", value[:1, :1])
        blob = writer.net.layer[-1].blobs[0]
        blob.shape.dim[:] = value.shape
        blob.ClearField("diff")
        blob.data[:] = value.ravel()
    writer.save(path)


def _torch(path: Path, tensors: dict[str, np.ndarray]) -> None:
    import torch

    torch.save({name: torch.from_numpy(value) for name, value in tensors.items()}, path)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(
    ("save", "times"),
    [
        (_safetensors, 2.2),
        (_npz, 2.2),
        (_msgpack, 3.4),
        (_keras, 2.2),
        (_caffe, 3.2),
        pytest.param(_torch, 2.6, marks=pytest.mark.peer),
    ],
)
def test_loading_takes_little_more_memory_than_the_parameters(
    save: Callable[[Path, Any], None], times: float, tmp_path: Path
) -> None:
    """Growth of the peak by the size of the file, which is that of the parameters.

    What maps its file counts the file's pages too, though the system may take them back.
    """
    zeros = np.zeros((SIDE, SIDE), np.float32)
    save(tmp_path / "w", {f"layer{i}.kernel": zeros for i in range(COUNT)})
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "w"), str(COUNT), str(SIDE)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(run.stdout) < times * COUNT * zeros.nbytes
