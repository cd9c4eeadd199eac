"""Finished work is found again as it was, and what is torn, old or of something else is not."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reportgen.engine import digest as digests
from reportgen.engine.digest import digest
from reportgen.engine.kept import Kept
from reportgen.engine.rows import Engine
from reportgen.methods.streamed import BLOCK, streamed

MADE = {
    "z": np.arange(6, dtype=np.float32).reshape(2, 3),
    "a": {"flag": np.array([True, False]), "none": {}, "one": np.float64(0.1)},
    "b": np.zeros((0, 4), np.int32),
}


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path / "work", 1 << 20, "scope")


def only(kept: Kept) -> Path:
    """The only file."""
    (path,) = (path for path in kept.folder.rglob("*") if path.is_file())
    return path


def test_what_is_kept_is_found_as_it_was(kept: Kept) -> None:
    name = kept.name("filters", 3)
    assert kept.find(name) is None
    kept.keep(name, MADE)
    found = Kept(kept.folder, kept.limit, "scope").find(kept.name("filters", 3))
    assert found is not None
    assert list(found) == ["z", "a", "b"]
    assert list(found["a"]) == ["flag", "none", "one"]
    assert found["a"]["none"] == {}
    assert found["a"]["one"].shape == ()
    for one, other in ((found["z"], MADE["z"]), (found["b"], MADE["b"])):
        assert (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
    assert replace(kept, scope="another").name("filters", 3) != name
    assert replace(kept, reads=False).find(name) is None


@pytest.mark.parametrize(
    "harm",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:90] + b"?" + path.read_bytes()[91:]),
    ],
)
def test_what_is_torn_counts_as_nothing(kept: Kept, harm: Callable[[Path], Any]) -> None:
    name = kept.name(1)
    kept.keep(name, MADE)
    harm(only(kept))
    assert kept.find(name) is None
    kept.keep(name, MADE)
    assert kept.find(name) is not None


def test_the_longest_unused_goes_first(kept: Kept) -> None:
    large = {"x": np.zeros(25_000)}  # 200 kB: five fit into a MiB
    names = [kept.name(i) for i in range(7)]
    for i, name in enumerate(names[:5]):
        kept.keep(name, large)
        os.utime(kept._path(name), (i, i))
    assert kept.find(names[0]) is not None  # which makes it the last used
    for name in names[5:]:
        kept.keep(name, large)
    there = [i for i, name in enumerate(names) if kept._path(name).exists()]
    assert {0, 5, 6} <= set(there)
    assert 1 not in there
    assert sum(kept._path(names[i]).stat().st_size for i in there) <= kept.limit


def test_a_disk_that_is_full_does_not_end_a_run(kept: Kept, monkeypatch: Any) -> None:
    def full(self: Path, other: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    kept.keep(kept.name(1), MADE)
    kept.keep(kept.name(2), MADE)
    assert len(kept.told) == 1
    assert "No space left on device" in kept.told[0]
    assert [path for path in kept.folder.rglob("*") if path.is_file()] == []


@dataclass(frozen=True)
class Twice:
    """A program, and how often it was traced."""

    factor: float = 2.0
    name: str = "twice"

    def __call__(self, batch: int, model: Any, x: jax.Array) -> dict[str, jax.Array]:
        return {"double": self.factor * x, "sum": x.sum(axis=1)}


def test_digests_tell_apart_what_differs() -> None:
    def closed(value: int) -> Callable[[], int]:
        return lambda: value

    values: list[Any] = [
        *(None, 0, 1, 1.0, True, "1", b"1", (1,), (1, 1), [1], {"a": 1}, {"a": 2}, {"b": 1}),
        *(np.arange(3), np.arange(3.0), np.arange(3)[None], np.float32(0), np.float64(0)),
        *(jax.random.key(0), jax.random.key(1), jnp.zeros(2), frozenset("ab")),
        *(Twice(), Twice(3.0), Twice, closed(1), closed(2), partial(closed, 1), Path("a")),
        *(("ab", "c"), ("a", "bc"), np.dtype(np.int8)),
    ]
    found = [digest(value) for value in values]
    assert len(set(found)) == len(found)
    assert digest(Twice(2.0), np.arange(3), {"a": 1, "b": 2}) == digest(
        Twice(), np.arange(3), {"b": 2, "a": 1}
    )
    with pytest.raises(TypeError, match=r"types\.SimpleNamespace has no digest"):
        digest(SimpleNamespace())


def test_networks_have_the_digest_of_weights_and_program(lenet: Any, opened: Any) -> None:
    same = digest(lenet)
    assert digest(replace(lenet, name="other")) == same
    assert digest(opened("model=lenet")) == same
    moved = lenet.with_parameters(
        {**lenet.parameters, "ip2.bias": lenet.parameters["ip2.bias"].at[0].add(1e-6)}
    )
    assert digest(moved) != same
    assert digest(replace(lenet, spec=replace(lenet.spec, mean=(1.0,)))) != same
    assert digest(replace(lenet, kernels=None, prepared=())) != same


def test_code_of_ones_own_counts(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    found = []
    for text in ("1", "2", "1"):
        (tmp_path / "own_code.py").write_text(
            f"def method(x):\n    return helper(x)\nhelper = {text}"
        )
        digests._source_of.cache_clear()
        module = __import__("own_code")
        found.append(digest(module.method))
    assert found[0] == found[2] != found[1]


def test_rows_are_computed_once(kept: Kept, lenet: Any, monkeypatch: Any) -> None:
    rows = (np.arange(40, dtype=np.float32).reshape(10, 4),)
    first = Engine.local(2, kept=kept)
    made = first.whole(Twice(), lenet, rows)
    monkeypatch.setattr(Engine, "_asked", None)  # which would compile and run
    again = Engine.local(2, kept=kept)
    found = again.whole(Twice(), lenet, rows)
    assert {name: part.tobytes() for name, part in made.items()} == {
        name: part.tobytes() for name, part in found.items()
    }
    assert again.compiled == first.compiled
    assert again.programs == 1
    with pytest.raises(TypeError):
        again.whole(Twice(3.0), lenet, rows)
    with pytest.raises(TypeError):
        again.whole(Twice(), lenet, (rows[0] + 1,))


def test_programs_and_lines_count_again(kept: Kept, lenet: Any) -> None:
    engine = Engine.local(2, kept=kept)
    rows = (np.ones((2, 3), np.float32),)

    def make() -> dict[str, Any]:
        engine.told.append("measured")
        made = engine.run(Twice(), 2 // len(engine.devices) or 1, engine.everywhere(lenet), rows)
        return {"sum": np.asarray(made["sum"])}

    engine.recalled(("a",), make)
    # Used before, and so nothing new; yet another run that has this alone must count it.
    engine.recalled(("b",), make)
    other = Engine.local(2, kept=kept)
    assert other.recalled(("b",), dict)["sum"].tolist() == [3, 3]
    assert other.compiled == engine.compiled
    assert other.told == ["measured"]


@dataclass
class Sum:
    total: np.ndarray
    images: int = 0


def test_a_stream_goes_on_where_it_was(kept: Kept, lenet: Any) -> None:
    count = 2 * BLOCK + 10
    rows = np.random.default_rng(0).random((count, 3), np.float32)

    def run(kept: Kept | None, die: int = count) -> tuple[Sum, np.ndarray, int, int]:
        sums, seen, told = Sum(np.zeros(3)), [0], [0]

        def take(chunk: Any) -> np.ndarray:
            if chunk.start >= die:
                raise KeyboardInterrupt
            seen[0] += chunk.count
            assert (chunk.made["double"] == 2 * rows[chunk.start :][: chunk.count]).all()
            sums.total += chunk.made["double"].sum(axis=0, dtype=np.float64)
            sums.images += chunk.count
            return np.asarray(chunk.made["sum"])

        found = streamed(
            Engine.local(16, kept=kept), Twice(), lenet, lambda a, b: (rows[a:b],), count,
            lambda done: told.__setitem__(0, told[0] + done), take, {"one": {"sum": sums}},
        )  # fmt: skip
        return sums, np.concatenate(found), seen[0], told[0]

    plain, wanted, _, _ = run(None)
    with pytest.raises(KeyboardInterrupt):
        run(kept, die=BLOCK + 1)
    resumed, found, seen, told = run(kept)
    assert seen == count - BLOCK
    assert told == count
    assert (resumed.images, resumed.total.tobytes()) == (plain.images, plain.total.tobytes())
    assert found.tobytes() == wanted.tobytes()
    assert run(kept)[2] == 0
    rows[BLOCK + 3] += 1  # of the second block: the first is as it was
    assert run(kept)[2] == count - BLOCK
