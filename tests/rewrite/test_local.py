"""Programs run anew where a box changes, against the whole program on the changed image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax
from jax.extend.core import jaxpr_as_fun

from reportgen.core.spec import InputSpec
from reportgen.rewrite import local as module
from reportgen.rewrite.interpreter import operations
from reportgen.rewrite.local import local
from tests.at_once import at_once

Function = Callable[[jax.Array], jax.Array]
SIZE = (29, 26)


def assert_same(function: Function, x: jax.Array, rows: np.ndarray, columns: np.ndarray) -> Any:
    """Every box, in the order they lie in, with new content; and the whole; the program."""
    made = local(jax.make_jaxpr(function)(x), rows, columns)
    random = np.random.default_rng(0)
    spans, places, changes, parts = made.box, [], [], []
    for i, j in np.ndindex(len(rows), len(columns)):
        changed = np.array(x)
        (top, bottom), (left, right) = rows[i], columns[j]
        content = random.normal(size=(1, bottom - top, right - left, x.shape[-1]))
        changed[:, top:bottom, left:right] = content
        first, second = spans.rows.starts[i], spans.columns.starts[j]
        places.append((i, j))
        changes.append(changed)
        parts.append(
            changed[:, first : first + spans.rows.size, second : second + spans.columns.size]
        )

    def run(x: jax.Array, changes: jax.Array, parts: jax.Array, places: jax.Array) -> Any:
        """The whole program twice, and box by box what is found and what is expected."""
        output, *kept = jaxpr_as_fun(made.whole)(x)
        part = jaxpr_as_fun(made.part)

        def one(given: Any) -> Any:
            changed, box, place = given
            return part(*kept, box, *place)[0], function(changed)

        return output, function(x), lax.map(one, (changes, parts, places))

    stacked = np.stack(changes), np.stack(parts), np.array(places, np.int32)
    output, plain, (found, expected) = at_once(run, x, *stacked)
    np.testing.assert_allclose(output, plain, rtol=1e-6, atol=1e-6 * np.abs(plain).max())
    for one, wanted, place in zip(found, expected, places, strict=True):
        atol = 1e-5 * np.abs(wanted).max()
        np.testing.assert_allclose(one, wanted, rtol=1e-4, atol=atol, err_msg=str(place))
    assert any((wanted != plain).any() for wanted in expected)
    return made


def boxes(side: int, patch: int, step: int) -> np.ndarray:
    """Boxes along one side; the last ones are cut off."""
    starts = np.arange(1 - patch // 2, side, step)
    return np.stack([np.maximum(starts, 0), np.minimum(starts + patch, side)], axis=1)


def drawn_layer(random: np.random.Generator, x: jax.Array) -> Function:
    """Any operation that keeps rows and columns apart."""
    kind, channels = random.integers(0, 9), x.shape[-1]
    strides = tuple(int(s) for s in random.choice([1, 1, 1, 2, 3], 2))
    padding = [tuple(int(p) for p in random.integers(-1, 3, 2)) for _ in range(2)]
    sizes = tuple(int(k) for k in random.integers(1, 4, 2))
    # No window lies in the padding alone: its maximum would be no number.
    outside = [
        tuple(min(max(pad, 0), size - 1) for pad in pads)
        for pads, size in zip(padding, sizes, strict=True)
    ]
    if kind <= 2:
        kernel = random.normal(size=(*sizes, channels, 4)).astype(np.float32)
        dilation = tuple(int(d) for d in random.choice([1, 1, 2], 2))
        return lambda x: lax.conv_general_dilated(
            x, kernel, strides, padding, rhs_dilation=dilation,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )  # fmt: skip
    if kind == 3:
        return lambda x: lax.reduce_window(
            x, -jnp.inf, lax.max, (1, *sizes, 1), (1, *strides, 1), [(0, 0), *outside, (0, 0)]
        )
    if kind == 4:
        return lambda x: lax.reduce_window(
            x, 0.0, lax.add, (1, *sizes, 1), (1, *strides, 1), [(0, 0), *outside, (0, 0)]
        )
    if kind == 5:
        config = [(0, 0, 0), *((*pad, 0) for pad in padding), (0, 0, 0)]
        return lambda x: lax.pad(x, jnp.float32(0.7), config)
    if kind == 6:
        ends = (x.shape[1] - 1, x.shape[2] - 2)
        return lambda x: lax.slice(x, (0, 1, 0, 0), (1, *ends, channels), (1, *strides, 1))
    if kind == 7:
        weights = random.normal(size=(channels, 3)).astype(np.float32)
        shift = random.normal(size=(1, *x.shape[1:3], 1)).astype(np.float32)
        return lambda x: jnp.tanh(x + shift) @ weights
    scale = random.normal(size=channels).astype(np.float32)
    return lambda x: (x - x.mean(axis=-1, keepdims=True)) * scale


@pytest.mark.parametrize(
    "seed", [*range(8), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(8, 16))]
)
def test_any_operations_one_behind_the_other(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WORTH", 2.0)
    random = np.random.default_rng(seed)
    x = random.normal(size=(1, *SIZE, 3)).astype(np.float32)
    layers: list[Function] = []
    y = jax.ShapeDtypeStruct(x.shape, x.dtype)
    for _ in range(4):
        layer = drawn_layer(random, y)
        after = jax.eval_shape(layer, y)
        if min(after.shape) >= 1:
            layers.append(layer)
            y = after

    def run(x: jax.Array) -> jax.Array:
        for layer in layers:
            x = layer(x)
        return x if seed % 2 else x.mean(axis=(1, 2))

    patch = int(random.integers(1, 9))
    assert_same(run, x, boxes(SIZE[0], patch, 6), boxes(SIZE[1], patch + 2, 7))


class Net(nnx.Module):
    """Branches of different reach that meet, a gate that sees everything, channels first."""

    def __init__(self, *, rngs: nnx.Rngs) -> None:
        self.stem = nnx.Conv(3, 8, (3, 3), strides=2, rngs=rngs)
        self.norm = nnx.BatchNorm(8, use_running_average=True, rngs=rngs)
        self.wide = nnx.Conv(8, 8, (5, 3), feature_group_count=2, rngs=rngs)
        self.short = nnx.Conv(8, 8, (1, 1), rngs=rngs)
        self.jump = nnx.Conv(8, 4, (1, 1), strides=2, rngs=rngs)
        self.last = nnx.Conv(8, 4, (3, 3), strides=2, rngs=rngs)
        self.gate = nnx.Linear(4, 4, rngs=rngs)
        self.head = nnx.Linear(4, 5, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = nnx.relu(self.norm(self.stem(x)))
        x = x + nnx.relu(jnp.concatenate([self.wide(x)[..., :4], self.short(x)[..., 4:]], -1))
        turned = jnp.tanh(x.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
        x = jax.checkpoint(self.last)(turned) + self.jump(x)
        x = x * jax.nn.sigmoid(self.gate(x.mean((1, 2))))[:, None, None]
        return self.head(x.mean((1, 2)))


@pytest.mark.parametrize(("on_cpu", "batch"), [(False, 4), (True, 1)])
def test_a_network(model_of: Callable[..., Any], on_cpu: bool, batch: int) -> None:
    model = model_of(Net, InputSpec(height=SIZE[0], width=SIZE[1], channels=3))
    model = model.for_cpu() if on_cpu else model
    x = np.random.default_rng(0).normal(size=(1, *SIZE, 3)).astype(np.float32)
    rows, columns = boxes(SIZE[0], 4, 5), boxes(SIZE[1], 3, 6)

    @jax.jit
    def both(model: Any, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        around = model.around(x, rows, columns)
        sizes = [span.size for span in around.box]

        def one(numbers: jax.Array) -> tuple[jax.Array, jax.Array]:
            row, column = numbers
            down, across = jnp.arange(SIZE[0]), jnp.arange(SIZE[1])
            (top, bottom), (left, right) = jnp.asarray(rows)[row], jnp.asarray(columns)[column]
            inside = (
                ((down >= top) & (down < bottom))[:, None] & (across >= left) & (across < right)
            )
            changed = jnp.where(inside[..., None], 2.0, x)
            begin = [jnp.asarray(s.starts)[n] for s, n in zip(around.box, numbers, strict=True)]
            box = lax.dynamic_slice(changed, (0, *begin, 0), (1, *sizes, 3))
            return around.changed(box, row, column)[0], model.apply(changed)[0][0]

        numbers = jnp.asarray(list(np.ndindex(len(rows), len(columns))))
        found, expected = lax.map(one, numbers, batch_size=batch)
        return jnp.stack([around.scores[0], *found]), jnp.stack([model.apply(x)[0][0], *expected])

    found, expected = both(model, x)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert np.ptp(expected, axis=0).max() > 1e-4


def work(program: Any) -> int:
    return sum(map(operations, program.jaxpr.eqns))


def test_a_small_box_takes_a_small_part_of_the_work(opened: Callable[..., Any]) -> None:
    closed = jax.eval_shape(lambda: opened("model=squeezenet1_0", "weights=random")).traced()
    one = np.array([[96, 128]])
    made = local(closed, one, one)
    assert work(made.whole) == work(closed)
    assert work(made.part) < 0.3 * work(closed)


def test_where_little_is_saved_all_is_run(lenet: Any) -> None:
    closed = lenet.traced()
    most = np.array([[0, 22], [6, 28]])
    made = local(closed, most, most)
    assert work(made.part) == work(closed)
    x = np.random.default_rng(0).normal(size=(1, 28, 28, 1)).astype(np.float32)
    weights = [lenet.parameters[name] for name in sorted(lenet.parameters)]
    assert_same(lambda x: jaxpr_as_fun(closed)(*weights, x)[0], x, most, most)


def test_what_does_not_depend_on_the_image_may_be_a_kernel_on_the_left() -> None:
    """The image stands on the right of a product: which axis is which is not taken for granted."""
    mixing = np.random.default_rng(0).normal(size=(26, 26)).astype(np.float32)
    x = np.random.default_rng(1).normal(size=(1, 26, 26, 3)).astype(np.float32)
    assert_same(
        lambda x: jnp.einsum("ij,njkc->nikc", mixing, x), x, boxes(26, 4, 9), boxes(26, 3, 8)
    )


def test_what_only_tells_something_stays() -> None:
    x = np.random.default_rng(1).normal(size=(1, 26, 26, 3)).astype(np.float32)

    def run(x: jax.Array) -> jax.Array:
        y = jnp.tanh(x)
        jax.debug.print("told {}", y.shape)
        jax.debug.callback(lambda largest: None, y)
        return y.sum(axis=(1, 2))

    assert_same(run, x, boxes(26, 4, 9), boxes(26, 3, 8))
