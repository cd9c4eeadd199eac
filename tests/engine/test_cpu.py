"""A CPU as several devices: how many there are, how many are used, and what that costs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import jax
import pytest

from reportgen.core import cores as of_machine
from reportgen.core.cores import cores
from reportgen.core.errors import ConfigError
from reportgen.engine import memory
from reportgen.engine.cpu import divide_cpu
from reportgen.engine.rows import Engine

# Seven rows on three devices.
SEVERAL = """
import dataclasses, json
import jax, jax.numpy as jnp, numpy as np
from reportgen.engine.cpu import divide_cpu
from reportgen.engine.rows import Engine

divide_cpu(3)

@dataclasses.dataclass(frozen=True)
class Doubled:
    name: str = "doubled"
    def __call__(self, batch, model, x):
        return x * 2

@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Network:
    weights: object
    layers: tuple = dataclasses.field(default=(), metadata={"static": True})

engine = Engine.local(4)
x = np.arange(7, dtype=np.float32)[:, None]
told = []
chunks = [
    chunk.made[:, 0].tolist()
    for chunk in engine.map(Doubled(), Network(jnp.ones(3)), lambda a, b: (x[a:b],), 7, told.append)
]
few = [
    chunk.made[:, 0].tolist()
    for chunk in engine.map(Doubled(), Network(jnp.ones(3)), lambda a, b: (x[a:b],), 7, few=True)
]
used = [len(engine.among(count).devices) for count in (1, 2, 3, 99)]
print(json.dumps([len(engine.devices), used, chunks, few, told]))
"""


def test_rows_are_divided_among_few_devices_in_a_process_of_its_own() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", SEVERAL], capture_output=True, text=True, check=True
    )
    count, used, chunks, few, told = json.loads(ran.stdout)
    assert count == 3
    assert used == [1, 2, 3, 3]
    assert chunks == [[0, 2, 4, 6, 8, 10, 12]]  # three on each, two of them copies
    assert few == [[0, 2, 4], [6, 8, 10], [12]]
    assert told == [7]


@pytest.mark.parametrize(
    ("count", "chunks"), [(16, [16]), (40, [14, 14, 12]), (33, [11, 11, 11]), (17, [9, 8])]
)
def test_chunks_are_of_one_size(count: int, chunks: list[int]) -> None:
    """As many as are needed, filled alike, so that the last is not mostly copies."""
    engine = Engine(16, 1 << 40, tuple(jax.local_devices()[:1]))
    each = engine._size(16, count)
    assert [min(each, count - start) for start in range(0, count, each)] == chunks


def test_a_chunk_s_layers_stay_in_the_cache(lenet: Any) -> None:
    """Of a network whose largest output takes 3 MB, two rows at once."""

    class Large:
        layers = (type("Layer", (), {"shape": (1000, 786)})(),)

    engine = Engine.local(16)
    assert engine._limit(object(), lenet) == 16  # type: ignore[arg-type]
    assert engine._limit(object(), Large()) == 2  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("total", "weights", "count"),
    [(24 << 30, 0, 6), (24 << 30, 2 << 30, 3), (3 << 30, 0, 1), (64 << 30, 0, 8)],
)
def test_every_device_has_memory(
    total: int, weights: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the machine's, and of that 2 GiB beside a copy of the weights."""
    monkeypatch.setattr(memory, "_machine", lambda: total)
    eight = tuple(jax.local_devices()[:1]) * 8
    assert len(memory.affordable(eight, weights)) == count


def test_devices_cannot_be_changed_once_jax_has_started() -> None:
    found = jax.local_device_count("cpu")
    divide_cpu(None)
    divide_cpu(found)
    with pytest.raises(
        ConfigError, match=f"engine.cpu_devices is 77, .* {found} on the CPU"
    ) as error:
        divide_cpu(77)
    assert "leave engine.cpu_devices out" in error.value.hint


def test_so_many_cores_as_xla_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_machine, "available_cores", lambda: [0, 1, 5, 7])
    monkeypatch.delenv("NPROC", raising=False)
    assert cores() == 4
    for told, expected in (("2", 2), ("9", 4), ("0", 1), ("x", 4)):
        monkeypatch.setenv("NPROC", told)
        assert cores() == expected


def test_no_devices_are_refused(reportgen: Callable[..., tuple[int, str, str]]) -> None:
    code, _, said = reportgen("engine.cpu_devices=0")
    assert code == 2
    assert "engine.cpu_devices" in said
