"""Rows in chunks: any size gives the same, memory bounds it, one compilation serves all."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reportgen.core.errors import ResourceError
from reportgen.engine import rows as engine_rows
from reportgen.engine.programs import compilations
from reportgen.engine.replayed import Replayed
from reportgen.engine.rows import Engine


@dataclass(frozen=True)
class Squares:
    """Σ over a table of (row · place)², whose table is as large as ``wide`` numbers a row."""

    wide: int = 8
    name: str = "squares"

    def __call__(self, batch: int, model: Any, x: jax.Array, keys: jax.Array) -> dict[str, Any]:
        table = jnp.sin(x[:, :1] * jnp.arange(self.wide))
        drawn = jax.vmap(lambda key: jax.random.normal(key, ()))(keys)
        return {"sum": jnp.sort(table, axis=1)[:, -3:], "drawn": drawn}


def source(count: int) -> Any:
    x = np.arange(2 * count, dtype=np.float32).reshape(count, 2)
    keys = jax.vmap(lambda k: jax.random.fold_in(jax.random.key(1), k))(jnp.arange(count))
    return lambda start, stop: (x[start:stop], keys[start:stop])


def joined(chunks: Any) -> dict[str, np.ndarray]:
    found = list(chunks)
    starts = [chunk.start for chunk in found]
    assert starts == list(np.cumsum([0, *(chunk.count for chunk in found)]))[:-1]
    return {k: np.concatenate([chunk.made[k] for chunk in found]) for k in ("sum", "drawn")}


@pytest.mark.parametrize("batch", [1, 3, 4, 11, 50])
def test_results_do_not_depend_on_the_chunks(lenet: Any, batch: int) -> None:
    told: list[int] = []
    made = joined(Engine.local(batch).map(Squares(), lenet, source(11), 11, told.append))
    x = 2 * np.arange(11)[:, None] * np.arange(8)
    np.testing.assert_allclose(made["sum"], np.sort(np.sin(x))[:, -3:], atol=1e-5)
    whole = joined(Engine.local(11).map(Squares(), lenet, source(11), 11))
    np.testing.assert_array_equal(made["drawn"], whole["drawn"])
    assert sum(told) == 11
    assert max(told) <= batch


def test_a_row_alone_runs_a_batch_of_inputs(lenet: Any) -> None:
    seen: list[tuple[int, int]] = []

    @dataclass(frozen=True)
    class Seen(Squares):
        def __call__(self, batch: int, model: Any, x: jax.Array, keys: jax.Array) -> Any:
            seen.append((batch, len(x)))
            return super().__call__(batch, model, x, keys)

    told: list[int] = []
    engine = Engine.local(5)
    joined(engine.map(Seen(), lenet, source(3), 3, told.append, few=True))
    across = len(engine.devices)
    assert seen == [(5, 1)]
    assert max(told) == across


def test_a_source_may_end_early(lenet: Any) -> None:
    made = joined(Engine.local(4).map(Squares(), lenet, source(6), 100))
    assert made["sum"].shape == (6, 3)
    assert list(Engine.local(4).map(Squares(), lenet, source(0), 5)) == []


def test_one_compilation_serves_all_chunks(lenet: Any) -> None:
    engine, program, before = Engine.local(5), Squares(wide=13), compilations()
    for count in (17, 23):
        joined(engine.map(program, lenet, source(count), count))
    assert compilations() - before == 1
    assert {name: len(keys) for name, keys in engine.compiled.items()} == {"squares": 1}


def test_chunks_shrink_to_the_budget(lenet: Any) -> None:
    program = Squares(wide=100_000)
    free, bound = Engine.local(16), Engine.local(16, budget=2 << 20)
    expected = joined(free.map(program, lenet, source(20), 20))
    made = joined(bound.map(program, lenet, source(20), 20))
    assert free.limits == {}
    assert bound.limits[program] in (1, 2, 4)
    np.testing.assert_allclose(made["sum"], expected["sum"], atol=1e-5)


def test_what_never_fits_says_so(lenet: Any) -> None:
    with pytest.raises(ResourceError, match=r"squares needs more memory .* of 1,000") as error:
        list(Engine.local(4, budget=1000).map(Squares(wide=100_000), lenet, source(9), 9))
    assert "engine.memory_budget" in error.value.hint


@pytest.mark.parametrize("at", ["start", "end"])
def test_full_memory_halves_the_chunks(
    lenet: Any, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    """As a device reports it: when a program is started, or when its result is waited for."""
    true, sizes = engine_rows.compiled_program, []

    class Late:
        def block_until_ready(self) -> None:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")

    def compiled(program: Any, limit: int, *rest: Any) -> Any:
        made = true(program, limit, *rest)

        def run(model: Any, rows: Any) -> Any:
            sizes.append(len(rows[0]))
            if len(sizes) > 2 and limit > 3:  # memory fills up on the way
                if at == "end":
                    return Late()
                raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
            return made.run(model, rows)

        return engine_rows.Compiled(run, made.bytes, made.places)

    monkeypatch.setattr(engine_rows, "compiled_program", compiled)
    engine = Engine.local(8)
    made = joined(engine.map(Squares(), lenet, source(40), 40))
    monkeypatch.undo()
    expected = joined(Engine.local(8).map(Squares(), lenet, source(40), 40))
    np.testing.assert_allclose(made["sum"], expected["sum"], atol=1e-6)
    np.testing.assert_array_equal(made["drawn"], expected["drawn"])
    assert engine.limits == {Squares(): 2}
    assert sizes[:3] == [8, 8, 8]
    assert set(sizes[-4:]) == {2}


def test_other_errors_are_not_caught(lenet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(model: Any, rows: Any) -> Any:
        raise jax.errors.JaxRuntimeError("INTERNAL: no")

    monkeypatch.setattr(
        engine_rows, "compiled_program", lambda *key: engine_rows.Compiled(broken, 0, None)
    )
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
        list(Engine.local(8).map(Squares(), lenet, source(9), 9))


def test_inputs_made_one_by_one_are_kept_no_longer_than_they_may_be_asked_for() -> None:
    made = deque[int]()

    def inputs() -> Any:
        for k in range(30):
            made.append(k)
            yield np.full((2, 2, 1), k)

    replayed = Replayed(inputs())
    for start, stop in ((0, 4), (4, 8), (8, 12), (4, 6), (6, 8), (8, 12)):
        assert replayed(start, stop)[0][:, 0, 0, 0].tolist() == list(range(start, stop))
    assert len(made) == 12
    assert replayed(20, 24)[0][:, 0, 0, 0].tolist() == [20, 21, 22, 23]
    assert len(replayed._kept) == 12
    assert len(replayed(28, 36)[0]) == 2
    assert len(replayed(30, 38)[0]) == 0
