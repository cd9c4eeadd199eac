"""Filter synthesis against a slow NumPy and Pillow program, and against Keras."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from PIL import Image

from reportgen.core.blocks import Montage, Table, Text
from reportgen.core.errors import ConfigError, NotApplicableError
from reportgen.core.spec import InputSpec
from reportgen.methods.synthesis import keras_seed
from reportgen.methods.synthesis.narrow import can_cut
from reportgen.methods.synthesis.schedule import sizes, usable_sides
from reportgen.methods.synthesis.transforms import resize
from reportgen.models.base import Model
from reportgen.models.zoo.layers import Flatten, MaxPool, Relu

GOLDENS = Path(__file__).parent.parent / "goldens"


class Small(nnx.Module):
    """Two convolutions and a pooling between, as in goldens/keras_filters.py."""

    def __init__(self, *, groups: int = 1, rngs: nnx.Rngs) -> None:
        self.conv1 = nnx.Conv(3, 6, (3, 3), padding="VALID", rngs=rngs)
        self.relu1 = Relu()
        self.pool1 = MaxPool(2, 2)
        units = 6 if groups > 1 else 5
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
    def make(golden: Any = None, groups: int = 1) -> Model:
        model: Model = model_of(
            lambda rngs: Small(groups=groups, rngs=rngs),
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
    **job: Any,
) -> keras_seed.Filters:
    return keras_seed.synthesise(
        model,
        path,
        units,
        _job(**job),
        key=jax.random.key(seed),
        batch=batch,
        advance=lambda count: None,
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


@pytest.mark.parametrize("batch", [1, 5])
def test_against_numpy(golden: Any, batch: int, small: Any) -> None:
    model = small(golden)
    made = _filters(model, [0, 1, 2, 3, 4], batch=batch)
    start = keras_seed.begin(
        jax.random.key(0), jnp.arange(5), 128.0, 20.0, side=14, channels=3
    ).pixels
    for unit in range(5):
        picture, loss = _slow(golden, unit, np.asarray(start[unit]))
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
    model = small(golden)
    units = [0, 1, 2, 4]
    state = keras_seed.State(jnp.asarray(golden["start"][units]), jnp.zeros(4), jnp.ones(4, bool))
    state = keras_seed.ascend(model, "conv2", state, jnp.asarray(units), _job())
    assert state.alive.all()
    np.testing.assert_allclose(state.loss, golden["floats_loss"], rtol=1e-5)
    np.testing.assert_allclose(state.pixels, golden["floats"], atol=1e-4)
    # Rounding to bytes at every scale, as the script does, moves a picture about as far as this.
    np.testing.assert_allclose(state.loss, golden["bytes_loss"], rtol=0.02)
    for ours, theirs in zip(np.asarray(state.pixels), golden["bytes"], strict=True):
        assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.95


def test_a_picture_depends_on_nothing_but_its_unit_and_key(golden: Any, small: Any) -> None:
    model = small(golden)
    base = _filters(model, [0, 1, 2, 3, 4])
    again = _filters(model, [0, 1, 2, 3, 4])
    np.testing.assert_array_equal(base.pictures, again.pictures)
    np.testing.assert_array_equal(_filters(model, [4]).pictures[0], base.pictures[4])
    np.testing.assert_array_equal(_filters(model, [3, 1]).pictures[1], base.pictures[1])
    other = _filters(model, [0], seed=1)
    assert np.abs(other.pictures[0] - base.pictures[0]).max() > 0.1
    pairs = _filters(model, [0, 1, 2, 3, 4], batch=2)
    mixed = _filters(model, [4, 3, 1, 0], batch=2)
    # In batches only rounding may differ: by the place in the batch, and by the batch's size.
    np.testing.assert_allclose(mixed.pictures, pairs.pictures[[4, 3, 1, 0]], atol=1e-4)
    np.testing.assert_allclose(pairs.pictures, base.pictures, atol=1e-4)


def test_a_layer_compiles_once_for_each_scale(golden: Any, small: Any) -> None:
    model, job = small(golden), {"sides": sizes(23, 3, 1.2)}
    before = keras_seed.climb._cache_size()
    _filters(model, [0, 1, 2], **job)
    assert keras_seed.climb._cache_size() == before + 3
    _filters(model, [2, 4], seed=5, **job, step_size=2.0)
    assert keras_seed.climb._cache_size() == before + 3


def test_only_an_ordinary_convolution_is_cut(golden: Any, small: Any) -> None:
    def run(model: Model, x: jax.Array, *, path: str) -> jax.Array:
        return model.activation(path, x)

    x = jnp.ones((1, 16, 16, 3))
    assert can_cut(small(golden), "conv2", 1, x, run)
    assert not can_cut(small(golden), "relu1", 1, x, run)
    grouped = small(groups=2)
    assert not can_cut(grouped, "conv2", 1, x, run)
    made = _filters(grouped, [5], rectify=False)
    assert made.alive.shape == (1,)


def test_sizes_without_a_map_are_left_out(golden: Any, small: Any) -> None:
    model = small(golden)
    assert usable_sides(model, "conv2", (5, 7, 8, 30)) == ((8, 30), [5, 7])
    assert usable_sides(model, "conv2", (3, 4)) == ((), [3, 4])
    # The flattened layer fixes the size.
    assert usable_sides(model, "out", (8, 30)) == ((), [8, 30])


SMALL = ("layers=[conv2]", "method.filters.size=30", "method.filters.scales=2")


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
    assert {row[0] for row in _blocks(result, Table)[0].rows} == {0, 3, 7}
    result = run_method("filters", "method.filters.layers=pool1", "method.filters.keep=5", *fast)
    (montage,) = _blocks(result, Montage)
    assert montage.tiles.shape == (4, 84, 84)
    assert montage.colormap == "gray"
    with pytest.raises(ConfigError, match="conv1 has 20 filters; there is no filter 20"):
        run_method("filters", "method.filters.units=[20]", "layers=all")
    with pytest.raises(NotApplicableError, match=r"ip1 \(dense\) has no maps"):
        run_method("filters", "method.filters.layers=ip1")


def test_a_layer_too_deep_for_the_pictures_is_said(
    run_method: Callable[..., Any], golden: Any, small: Any
) -> None:
    result = run_method("filters", "layers=[conv2]", "method.filters.size=6", model=small(golden))
    assert "gives no map" in result.blocks[0].blocks[0].text
    assert not result.findings


def test_a_filter_without_rectifier_that_begins_below_zero_is_climbed(lenet: Any) -> None:
    """LeNet's convolutions are linear: conv1's filter 1 answers to grey with less than zero."""
    x = lenet.spec.normalise(jnp.full((1, 28, 28, 1), 128.0), subtract_mean=False)
    assert lenet.activation("conv1", x)[0, :, :, 1].max() < 0
    made = keras_seed.synthesise(
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
    for objective in ("channel", "neuron"):
        result = run_method("filters", *preset, *keys, f"method.filters.objective={objective}")
        (montage,), (table,) = _blocks(result, Montage), _blocks(result, Table)
        assert "lucid: ascent of the activation; " in montage.caption.formula
        shown = resize(jnp.asarray(montage.tiles)[..., None], (28, 28))
        logits = np.asarray(lenet.apply(lenet.spec.normalise(shown))[0])
        for row, own in zip(table.rows, logits, strict=True):
            unit, score, _, _, start = row
            np.testing.assert_allclose(score, own[unit], rtol=1e-4)
            assert score > start + 0.5
    place = ("method.filters.objective=neuron", "method.filters.position=[0,1]")
    with pytest.raises(ConfigError, match=r"\[0, 1\] is outside of ip2, whose maps are 1×1"):
        run_method("filters", *preset, *place)
