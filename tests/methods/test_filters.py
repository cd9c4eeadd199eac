"""Filter synthesis against a slow NumPy and Pillow program, and against Keras."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from PIL import Image

from reportgen.core.blocks import Montage, Table, Text
from reportgen.core.errors import ConfigError, NotApplicableError, ResourceError
from reportgen.core.spec import InputSpec
from reportgen.engine.programs import compilations
from reportgen.engine.rows import Engine
from reportgen.methods.synthesis import keras_seed
from reportgen.methods.synthesis.batches import Trial, at_once
from reportgen.methods.synthesis.narrow import can_cut
from reportgen.methods.synthesis.precision import in_bfloat16
from reportgen.methods.synthesis.ranking import Cut, Ranking, cuts
from reportgen.methods.synthesis.schedule import sizes, usable_sides
from reportgen.methods.synthesis.transforms import resize
from reportgen.models.base import Model
from reportgen.models.zoo.layers import Flatten, MaxPool, Relu

GOLDENS = Path(__file__).parent.parent / "goldens"


class Small(nnx.Module):
    """Two convolutions and a pooling between, as in goldens/keras_filters.py."""

    def __init__(self, *, groups: int = 1, units: int = 5, rngs: nnx.Rngs) -> None:
        self.conv1 = nnx.Conv(3, 6, (3, 3), padding="VALID", rngs=rngs)
        self.relu1 = Relu()
        self.pool1 = MaxPool(2, 2)
        self.conv2 = nnx.Conv(
            6, units, (3, 3), padding="VALID", feature_group_count=groups, rngs=rngs
        )
        self.flatten = Flatten()
        self.out = nnx.Linear(5 * 5 * units, 2, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.pool1(self.relu1(self.conv1(x)))
        return self.out(self.flatten(self.conv2(x)))


@pytest.fixture(scope="module")
def small(model_of: Any) -> Any:
    def make(golden: Any = None, groups: int = 1, units: int = 5) -> Model:
        model: Model = model_of(
            lambda rngs: Small(groups=groups, units=units, rngs=rngs),
            InputSpec(height=16, width=16, channels=3),
            ("a", "b"),
        )
        known = golden or {}
        return model.with_parameters(
            {name: jnp.asarray(known.get(name, v)) for name, v in model.parameters.items()}
        )

    return make


@pytest.fixture(scope="module")
def golden() -> Any:
    with np.load(GOLDENS / "keras_filters.npz") as file:
        return dict(file)


def _job(**changes: Any) -> keras_seed.Job:
    values: dict[str, Any] = {
        "sides": sizes(30, 4, 1.2),
        "steps": 6,
        "step_size": 1.0,
        "start": 128.0,
        "noise": 20.0,
        "subtract_mean": False,
        "rectify": True,
    }
    return keras_seed.Job(**(values | changes))


def _filters(
    model: Model,
    units: list[int],
    *,
    path: str = "conv2",
    batch: int = 1,
    seed: int = 0,
    engine: Engine | None = None,
    ranking: Ranking | None = None,
    told: list[int] | None = None,
    **job: Any,
) -> keras_seed.Filters:
    return keras_seed.synthesise(
        engine or Engine.local(16),
        model,
        path,
        units,
        _job(**job),
        key=jax.random.key(seed),
        batch=batch,
        advance=[].append if told is None else told.append,
        ranking=ranking,
    )


def _conv(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    height, width = x.shape[0] - 2, x.shape[1] - 2
    out = np.zeros((height, width, kernel.shape[3])) + bias
    for i in range(3):
        for j in range(3):
            out += x[i : i + height, j : j + width] @ kernel[i, j]
    return out


def _conv_back(gradient: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    height, width = gradient.shape[:2]
    out = np.zeros((height + 2, width + 2, kernel.shape[2]))
    for i in range(3):
        for j in range(3):
            out[i : i + height, j : j + width] += gradient @ kernel[i, j].T
    return out


def _loss_and_gradient(weights: dict[str, np.ndarray], unit: int, x: np.ndarray) -> Any:
    """Mean rectified activation of conv2's unit, and its gradient by x, by hand."""
    hidden = _conv(x, weights["conv1.kernel"], weights["conv1.bias"])
    rectified = np.maximum(hidden, 0)
    rows, columns = rectified.shape[0] // 2, rectified.shape[1] // 2
    pooled = np.zeros((rows, columns, rectified.shape[2]))
    winners = np.zeros_like(rectified)
    for r in range(rows):
        for c in range(columns):
            for k in range(rectified.shape[2]):
                window = rectified[2 * r : 2 * r + 2, 2 * c : 2 * c + 2, k]
                i, j = divmod(int(window.argmax()), 2)
                pooled[r, c, k] = window[i, j]
                winners[2 * r + i, 2 * c + j, k] = 1
    output = _conv(pooled, weights["conv2.kernel"], weights["conv2.bias"])
    chosen = np.maximum(output[..., unit], 0)
    gradient = np.zeros_like(output)
    gradient[..., unit] = (output[..., unit] > 0) / chosen.size
    gradient = _conv_back(gradient, weights["conv2.kernel"])
    spread = np.zeros_like(rectified)
    spread[: 2 * rows, : 2 * columns] = gradient.repeat(2, axis=0).repeat(2, axis=1)
    spread *= winners * (hidden > 0)
    return chosen.mean(), _conv_back(spread, weights["conv1.kernel"])


def _standardised(picture: np.ndarray) -> np.ndarray:
    centred = picture - picture.mean()
    return np.clip(centred / (centred.std() + 1e-7) * 0.25 + 0.5, 0, 1)


def _slow(weights: dict[str, np.ndarray], unit: int, start: np.ndarray) -> tuple[Any, float]:
    """The whole job in float64 NumPy, resized by Pillow in floating point."""
    picture = start.astype(np.float64)
    for k in range(4, 0, -1):
        assert picture.shape[0] == int(30 / 1.2**k)
        for _ in range(6):
            loss, gradient = _loss_and_gradient(weights, unit, picture)
            picture = picture + gradient / (np.sqrt((gradient**2).mean()) + 1e-7)
            if loss <= 1e-7:
                return None, loss
        side = int(30 / 1.2 ** (k - 1))
        planes = [
            np.asarray(
                Image.fromarray(_standardised(picture)[..., c].astype(np.float32)).resize(
                    (side, side), Image.Resampling.BICUBIC
                )
            )
            for c in range(3)
        ]
        picture = (np.stack(planes, -1) - 0.5) * 4 * picture.std() + picture.mean()
    return _standardised(picture), loss


SIDES = _job().sides[1:]
LAST = SIDES[-2:]  # of which one is climbed


@pytest.fixture(scope="module")
def base(golden: Any, small: Any) -> keras_seed.Filters:
    """All units of the golden network, one at a time."""
    return _filters(small(golden), [0, 1, 2, 3, 4])


def test_against_numpy(golden: Any, base: keras_seed.Filters) -> None:
    made = base
    for unit in range(5):
        start = _job().begun(jax.random.key(0), np.array([unit]), 0, 3).pixels
        picture, loss = _slow(golden, unit, np.asarray(start[0]))
        if picture is None:
            assert not made.alive[unit]
            assert made.loss[unit] <= 1e-7
            assert not made.pictures[unit].any()
        else:
            assert made.alive[unit]
            np.testing.assert_allclose(made.loss[unit], loss, rtol=1e-5)
            np.testing.assert_allclose(made.pictures[unit], picture, atol=1e-4)


def test_against_keras(golden: Any, small: Any) -> None:
    """Keras 3.15 on the same weights and starts; see goldens/keras_filters.py."""
    model, job, engine = small(golden), _job(), Engine.local(16)
    units = [0, 1, 2, 4]
    for place, unit in enumerate(units):
        state = job.begun(jax.random.key(0), np.array([unit]), 0, 3)
        state = state._replace(pixels=jnp.asarray(golden["start"][[unit]]))
        for program in chain.from_iterable(job.programs("conv2", narrow=True)):
            state = engine.run(program, 1, model, tuple(state))
        assert state.alive.all()
        np.testing.assert_allclose(state.loss[0], golden["floats_loss"][place], rtol=1e-5)
        np.testing.assert_allclose(state.pixels[0], golden["floats"][place], atol=1e-4)
        # Rounding to bytes at every scale, as the script does, moves a picture about as far.
        np.testing.assert_allclose(state.loss[0], golden["bytes_loss"][place], rtol=0.02)
        ours, theirs = np.asarray(state.pixels[0]), golden["bytes"][place]
        assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.95


def test_a_picture_depends_on_nothing_but_its_unit_and_key(
    golden: Any, small: Any, base: keras_seed.Filters
) -> None:
    model = small(golden)
    again = _filters(model, [0, 1, 2, 3, 4])
    np.testing.assert_array_equal(base.pictures, again.pictures)
    np.testing.assert_array_equal(_filters(model, [4]).pictures[0], base.pictures[4])
    np.testing.assert_array_equal(_filters(model, [3, 1]).pictures[1], base.pictures[1])
    other = _filters(model, [0], seed=1)
    assert np.abs(other.pictures[0] - base.pictures[0]).max() > 0.1
    # Unit 3 is dead and left out after the first size, so that others move up in their batches.
    sides = SIDES[-3:]
    singly, pairs = (_filters(model, [0, 1, 2, 3, 4], batch=n, sides=sides) for n in (1, 2))
    mixed = _filters(model, [4, 3, 1, 0], batch=2, sides=sides)
    # In batches only rounding may differ: by the place in the batch, and by the batch's size.
    np.testing.assert_allclose(mixed.pictures, pairs.pictures[[4, 3, 1, 0]], atol=1e-4)
    np.testing.assert_allclose(pairs.pictures, singly.pictures, atol=1e-4)


def test_a_layer_compiles_once_for_each_scale(golden: Any, small: Any) -> None:
    model, job = small(golden), {"sides": sizes(23, 2, 1.2)}
    engine, before = Engine.local(16), compilations()
    _filters(model, [0, 1, 2], engine=engine, **job)
    assert compilations() == before + 4  # to climb, and to enlarge
    _filters(model, [2, 4], engine=engine, seed=5, **job, step_size=2.0)
    assert compilations() == before + 4
    assert engine.programs == 4
    _filters(model, [1], path="conv1", engine=engine, **job)
    assert compilations() == before + 6  # what enlarges is the same for all layers


UNITS = list(range(16))


@pytest.fixture(scope="module")
def many(small: Any, golden: Any) -> Model:
    """The small network with sixteen filters in its last convolution, one of them dead."""
    rng = np.random.default_rng(3)
    kernel = rng.normal(0, 0.2, (3, 3, 6, 16)).astype(np.float32)
    bias = np.linspace(0, 2, 16, dtype=np.float32)
    kernel[..., 5], bias[5] = 0, -1
    weights = {name: v for name, v in golden.items() if name.startswith("conv1")}
    made: Model = small(weights | {"conv2.kernel": kernel, "conv2.bias": bias}, units=16)
    return made


@pytest.fixture(scope="module")
def full(many: Model) -> keras_seed.Filters:
    """All sixteen to the end."""
    return _filters(many, UNITS, sides=SIDES)


def test_who_goes_on_is_cut_by_what_a_size_costs() -> None:
    limits = cuts(sizes(60, 8, 1.2)[:-1], 4, 16)
    assert [cut.after for cut in limits] == [2, 3, 4, 5]
    assert [cut.keep for cut in limits] == [11, 9, 7, 5]


def test_early_ranking_changes_no_picture_that_is_drawn(
    many: Model, full: keras_seed.Filters
) -> None:
    limits, told = cuts(SIDES[:-1], 4, 16), list[int]()
    assert limits == (Cut(1, 11), Cut(2, 5))
    engine = Engine.local(16)
    made = _filters(many, UNITS, engine=engine, ranking=Ranking(limits, 4), told=told, sides=SIDES)
    assert sorted(made.climbed[made.alive]) == [1] * 4 + [2] * 6 + [3] * 5
    assert sum(told) == 16
    assert (made.climbed[np.argsort(-full.loss)[:4]] == 3).all()
    end = made.climbed == 3
    np.testing.assert_array_equal(made.pictures[end], full.pictures[end])
    np.testing.assert_array_equal(made.loss[end], full.loss[end])
    assert not made.pictures[~end].any()
    np.testing.assert_array_equal(made.alive, full.alive)
    assert (made.climbed[5], full.climbed[5]) == (1, 1)
    assert engine.told[0].startswith("filters of conv2: early ranking: after 1 of 3 sizes 11 of 15")


@pytest.mark.slow
def test_early_ranking_in_batches(many: Model) -> None:
    """Rounding differs by the place in a batch."""
    sides = SIDES[-3:]
    full = _filters(many, UNITS, sides=sides)
    made = _filters(many, UNITS, sides=sides, batch=3, ranking=Ranking((Cut(1, 6),), 4))
    end = made.climbed == 2
    assert end.sum() == 6
    assert end[np.argsort(-full.loss)[:4]].all()
    np.testing.assert_allclose(made.pictures[end], full.pictures[end], atol=2e-3)
    np.testing.assert_array_equal(made.alive, full.alive)


def test_early_ranking_is_checked_against_the_full_run(
    many: Model, full: keras_seed.Filters
) -> None:
    limits = (Cut(1, 4), Cut(2, 2))
    ranked = _filters(many, UNITS, ranking=Ranking(limits, 2), sides=SIDES)
    engine, ranking = Engine.local(16), Ranking(limits, 2, check=True)
    checked = _filters(many, UNITS, engine=engine, ranking=ranking, sides=SIDES)
    np.testing.assert_array_equal(checked.pictures, full.pictures)
    best = set(np.argsort(-full.loss)[:2])
    same = len(best & set(np.flatnonzero(ranked.climbed == 3)))
    assert engine.told == [
        f"filters of conv2: early ranking would draw {same} of the same 2 filters as this full run "
        f"({50 * same} %)"
    ]


def test_what_a_ranking_that_misses_one_tells() -> None:
    ranking = Ranking((Cut(1, 2),), 2, check=True)
    units = np.arange(4)
    np.testing.assert_array_equal(ranking.keeps(1, units, np.array([4.0, 3.0, 2.0, 1.0])), units)
    last = np.array([4.0, 1.0, 3.0, 2.0])  # the second falls behind, too late
    assert "1 of the same 2 filters as this full run (50 %)" in ranking.told(units, last, 3)[0]
    ranking = Ranking((Cut(1, 2),), 1)
    left = ranking.keeps(1, units, np.array([4.0, 3.0, 5.0, 1.0]))
    np.testing.assert_array_equal(left, [0, 2])
    assert ranking.told(left, np.array([9.0, 3.0]), 3) == [
        "early ranking: after 1 of 3 sizes 2 of 4 filters went on; those drawn were among the "
        "first 2"
    ]


def test_the_classic_job_costs_a_fifth() -> None:
    """The best 64 of 512 filters, by pixels that are climbed."""
    sides = sizes(412, 9, 1.2)[:-1]
    left, cost = 512, 0
    keeps = {cut.after: cut.keep for cut in cuts(sides, 64, 512)}
    for number, side in enumerate(sides, 1):
        cost += left * side**2
        left = keeps.get(number, left)
    assert 512 * sum(side**2 for side in sides) / cost > 5
    assert left == 68
    assert cuts(sides, 64, 64) == ()


@pytest.mark.slow
def test_bfloat16_is_the_same_but_for_its_digits(golden: Any, small: Any) -> None:
    model = small(golden)
    half = in_bfloat16(model)
    assert {str(array.dtype) for array in half.parameters.values()} == {"bfloat16"}
    x = np.random.default_rng(0).uniform(0, 100, (1, 16, 16, 3)).astype(np.float32)
    seen, exact = jax.jit(lambda *models: [m.activation("conv2", x) for m in models])(half, model)
    assert seen.dtype == jnp.bfloat16
    exact = np.asarray(exact)
    np.testing.assert_allclose(np.float32(seen), exact, atol=0.02 * np.abs(exact).max())
    made, plain = (_filters(m, [0, 1, 4], sides=LAST) for m in (half, model))
    assert made.loss.dtype == np.float32
    np.testing.assert_allclose(made.loss, plain.loss, rtol=0.1)
    for ours, exact in zip(made.pictures, plain.pictures, strict=True):
        assert np.corrcoef(ours.ravel(), exact.ravel())[0, 1] > 0.8
    assert np.abs(made.pictures - plain.pictures).max() > 1e-4


def test_the_size_of_batches_is_measured_once_and_kept(
    golden: Any, small: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As on an accelerator, which this machine is made out to be."""
    monkeypatch.setattr(Engine, "on_cpu", False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    engine, model = Engine.local(4), small(golden)
    trial = keras_seed.trial(engine, model, "conv1", _job(), jax.random.key(0))
    asked: list[int] = []

    def seconds(self: Trial, size: int) -> float | None:
        asked.append(size)
        return {1: 1.0, 2: 1.2, 4: 2.4}[size]

    assert trial.seconds(2) is not None
    monkeypatch.setattr(Trial, "seconds", seconds)
    assert at_once(None, engine, 16, trial) == 2
    assert asked == [1, 2, 4]
    assert at_once(None, engine, 99, trial) == 2
    assert asked == [1, 2, 4]
    assert engine.told[0] == (
        "filters: 2 units at once on each device, as was fastest when it was measured; elsewhere "
        "method.filters.batch=2 gives the same"
    )
    # Few units are not worth it, and what is configured is taken.
    assert at_once(None, engine, 15, trial) == 4
    assert at_once(None, engine, 3, trial) == 3
    assert at_once(7, engine, 99, trial) == 7
    assert asked == [1, 2, 4]
    other = keras_seed.trial(engine, model, "conv1", _job(sides=(20, 24)), jax.random.key(0))
    at_once(None, engine, 16, other)
    assert asked == [1, 2, 4] * 2
    engine.budget = trial._prepared(1).bytes
    assert at_once(None, engine, 15, trial) == 1


def test_more_at_once_than_memory_holds_says_so(golden: Any, small: Any) -> None:
    with pytest.raises(ResourceError, match=r"with 4 at a time: it takes .* of 1,000") as error:
        _filters(small(golden), [0, 1, 2, 3], batch=4, engine=Engine.local(4, budget=1000))
    assert "method.filters.batch=2" in error.value.hint


def test_only_an_ordinary_convolution_is_cut(golden: Any, small: Any) -> None:
    x = jnp.ones((1, 16, 16, 3))
    assert can_cut(small(golden), "conv2", 1, x)
    assert not can_cut(small(golden), "relu1", 1, x)
    grouped = small(groups=2, units=6)
    assert not can_cut(grouped, "conv2", 1, x)
    made = _filters(grouped, [5], rectify=False, sides=LAST)
    assert made.climbed.tolist() == [1]
    assert made.loss[0] < 0


def test_sizes_without_a_map_are_left_out(golden: Any, small: Any) -> None:
    model = small(golden)
    assert usable_sides(model, "conv2", (5, 7, 8, 30)) == ((8, 30), [5, 7])
    assert usable_sides(model, "conv2", (3, 4)) == ((), [3, 4])
    # The flattened layer fixes the size.
    assert usable_sides(model, "out", (8, 30)) == ((), [8, 30])


# Sizes and steps of ``_job``, whose programs they share.
SMALL = ("layers=[conv2]", *(f"method.filters.{key}" for key in ("size=30", "scales=2", "steps=6")))


def _blocks(result: Any, kind: type, group: int = 0) -> list[Any]:
    return [block for block in result.blocks[group].blocks if isinstance(block, kind)]


def test_dead_filters_are_named_and_not_drawn(
    run_method: Callable[..., Any], golden: Any, small: Any
) -> None:
    result = run_method("filters", *SMALL, model=small(golden))
    (finding,) = result.findings
    assert (finding.severity, finding.where, finding.value) == ("warn", "conv2", 1.0)
    assert "1 of 5 filters of conv2 are dead" in finding.message
    assert ": 3." in finding.message
    assert "method.filters.start" in finding.advice
    (note,) = _blocks(result, Text)
    assert note.tone == "warning"
    assert finding.message in note.text
    (table,) = _blocks(result, Table)
    ranks = {row[0]: row[2] for row in table.rows}
    assert ranks[3] == "dead"
    losses = [row[1] for row in table.rows[:4]]
    assert losses == sorted(losses, reverse=True)
    # Four respond: two by two, the best first.
    (montage,) = _blocks(result, Montage)
    assert montage.tiles.shape == (4, 30, 30, 3)
    assert (montage.columns, montage.gap, montage.colormap) == (2, 5, None)
    assert montage.labels[0].startswith(f"unit {table.rows[0][0]}, loss ")
    assert (montage.tiles.min(), montage.tiles.max()) >= (0, 0.5)


@pytest.mark.parametrize("alive", [0, 1, 3])
def test_few_or_no_filters_respond(
    run_method: Callable[..., Any], golden: Any, alive: int, small: Any
) -> None:
    bias = np.where(np.arange(5) < alive, 0.5, -1).astype(np.float32)
    kernel = golden["conv2.kernel"] * (bias > 0)
    model = small(golden | {"conv2.kernel": kernel, "conv2.bias": bias})
    result = run_method("filters", *SMALL, model=model)
    montages = _blocks(result, Montage)
    assert len(montages) == min(alive, 1)
    for montage in montages:
        assert montage.tiles.shape[0] == 1
    assert len(_blocks(result, Table)[0].rows) == 5
    assert f"{5 - alive} of 5" in result.findings[0].message


def test_weights_that_are_not_finite_are_said(
    run_method: Callable[..., Any], golden: Any, small: Any
) -> None:
    broken = golden["conv2.bias"].copy()
    broken[1] = np.nan
    result = run_method("filters", *SMALL, model=small(golden | {"conv2.bias": broken}))
    assert "1 not finite): 1, 3." in result.findings[0].message


def test_units_keep_and_the_configuration_s_layers(run_method: Callable[..., Any]) -> None:
    fast = ("method.filters.scales=1", "method.filters.steps=1", "method.filters.start=0.0")
    # All layers: the convolutions alone.
    result = run_method("filters", "layers=all", "method.filters.units=[0,7,3]", *fast)
    assert [block.title for block in result.blocks] == ["conv1", "conv2", "Procedure"]
    assert "size" not in dict(result.blocks[-1].pairs)  # a layer's own stands in its caption
    assert {row[0] for row in _blocks(result, Table)[0].rows} == {0, 3, 7}
    result = run_method("filters", "method.filters.layers=conv1", "method.filters.keep=5", *fast)
    (montage,) = _blocks(result, Montage)
    assert montage.tiles.shape == (4, 84, 84)
    assert montage.colormap == "gray"
    with pytest.raises(ConfigError, match="conv1 has 20 filters; there is no filter 20"):
        run_method("filters", "method.filters.units=[20]", "layers=all")
    with pytest.raises(NotApplicableError, match=r"ip1 \(dense\) has no maps"):
        run_method("filters", "method.filters.layers=ip1")


def test_who_was_left_behind_is_said_in_the_table(
    run_method: Callable[..., Any], many: Model
) -> None:
    keys = [f"method.filters.{key}" for key in ("size=30", "scales=3", "steps=6", "keep=4")]
    result = run_method("filters", "layers=[conv2]", *keys, model=many)
    (table,), (montage,) = _blocks(result, Table), _blocks(result, Montage)
    ranks = [row[2] for row in table.rows]
    assert ranks[:5] == [1, 2, 3, 4, 5]
    assert ranks[5:] == [f"left after size {k}" for k in [2] * 6 + [1] * 4] + ["dead"]
    assert [row[3] for row in table.rows] == [True] * 4 + [False] * 12
    assert "engine.early_ranking=false" in table.caption
    assert len(montage.tiles) == 4
    assert "of 15 with a response" in montage.caption.detail
    off = ("engine.early_ranking=false",)
    full = run_method("filters", "layers=[conv2]", *keys, *off, model=many)
    np.testing.assert_array_equal(_blocks(full, Montage)[0].tiles, montage.tiles)
    assert [row[2] for row in _blocks(full, Table)[0].rows] == [*range(1, 16), "dead"]


def test_a_layer_too_deep_for_the_pictures_is_said(
    run_method: Callable[..., Any], golden: Any, small: Any
) -> None:
    result = run_method("filters", "layers=[conv2]", "method.filters.size=6", model=small(golden))
    assert "gives no map" in result.blocks[0].blocks[0].text
    assert not result.findings


def test_a_filter_without_rectifier_that_begins_below_zero_is_climbed(lenet: Any) -> None:
    """LeNet's convolutions are linear: conv1's filter 1 answers to grey with less than zero."""
    x = lenet.spec.normalise(np.full((1, 28, 28, 1), 128, np.float32), subtract_mean=False)
    seen = jax.jit(lambda m, x: m.activation("conv1", x))(lenet, x)
    assert np.asarray(seen)[0, :, :, 1].max() < 0
    made = keras_seed.synthesise(
        Engine.local(16),
        lenet,
        "conv1",
        [1],
        _job(sides=(28, 32), steps=40, step_size=6.0),
        key=jax.random.key(0),
        batch=1,
        advance=lambda done: None,
    )
    assert made.alive.all()
    assert made.loss[0] > 0.01


def test_units_of_a_dense_layer_are_climbed_by_the_general_presets(
    run_method: Callable[..., Any], lenet: Any
) -> None:
    """They see the whole picture, at the network's size: their score is the logit it gets."""
    preset = ("method.filters.layers=ip2", "method.filters.preset=lucid")
    keys = ("method.filters.units=[0,3,7,8]", "method.filters.steps=4")
    result = run_method("filters", *preset, *keys)
    (montage,), (table,) = _blocks(result, Montage), _blocks(result, Table)
    assert "lucid: ascent of the activation; " in montage.caption.formula

    @jax.jit
    def scored(model: Any, tiles: jax.Array) -> Any:
        return model.apply(model.spec.normalise(resize(tiles[..., None], (28, 28))))[0]

    for row, own in zip(table.rows, np.asarray(scored(lenet, montage.tiles)), strict=True):
        unit, score, _, _, start = row
        np.testing.assert_allclose(score, own[unit], rtol=1e-4)
        assert score > start + 0.5
    place = ("method.filters.objective=neuron", "method.filters.position=[0,1]")
    with pytest.raises(ConfigError, match=r"\[0, 1\] is outside of ip2, whose maps are 1×1"):
        run_method("filters", *preset, *place)
