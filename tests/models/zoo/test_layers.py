"""The zoo's layers against XLA's reduce_window and plain NumPy, in value and in gradient."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
from flax import nnx

from reportgen.models.nnx import kind_of
from reportgen.models.zoo.layers import LRN, ConvRelu, GlobalMean, LinearRelu, MaxPool
from tests.at_once import at_once


def _inputs(*sides: int) -> np.ndarray:
    """(2, *sides): random numbers, and the same rounded, so that many are equal."""
    x = np.random.default_rng(3).normal(size=sides).astype(np.float32)
    return np.stack([x, x.round()])


# Pool, sides of what is pooled, and rows and columns of padding that a plain pool of it has.
POOLS: dict[str, tuple[MaxPool, tuple[int, int], list[tuple[int, int]]]] = {
    **{
        f"{size} by {stride}": (MaxPool(size, stride), (9, 11), [(0, 0), (0, 0)])
        for size, stride in ((2, 2), (3, 2), (3, 1), (2, 3))
    },
    **{
        f"padded, {side}": (MaxPool(3, 2, padding=1), (side, side), [(1, 1), (1, 1)])
        for side in (6, 7, 112)
    },
}
# Caffe's and PyTorch's rule by hand: rows, then columns.
ROUNDED_UP = [
    # size, stride, padding; sides; far padding; sides of the output
    ((3, 2, 0), (10, 11), (1, 0), (5, 5)),
    ((2, 2, 0), (9, 8), (1, 0), (5, 4)),
    ((3, 2, 1), (9, 8), (1, 2), (5, 5)),
    ((2, 3, 0), (9, 10), (0, 1), (3, 4)),  # at 9 a fourth window would begin beyond the edge
    ((2, 2, 1), (5, 6), (0, 1), (3, 4)),  # at 5 a fourth would begin in the far padding
    ((3, 1, 1), (7, 7), (1, 1), (7, 7)),
    ((3, 2, 0), (2, 2), (1, 1), (1, 1)),
]
for (size_, stride_, padding_), sides_, far_, _ in ROUNDED_UP:
    POOLS[f"rounded up, {size_} by {stride_} of {sides_}"] = (
        MaxPool(size_, stride_, padding=padding_, ceil=True),
        sides_,
        [(padding_, far_[0]), (padding_, far_[1])],
    )


@pytest.mark.parametrize(("pool", "sides", "far", "expected"), ROUNDED_UP)
def test_size_of_a_max_pool_rounded_up(
    pool: tuple[int, int, int],
    sides: tuple[int, int],
    far: tuple[int, int],
    expected: tuple[int, int],
) -> None:
    size, stride, padding = pool
    made = MaxPool(size, stride, padding=padding, ceil=True)
    assert jax.eval_shape(made, _inputs(*sides, 3)).shape == (2, *expected, 3)


@pytest.fixture(scope="module")
def pooled() -> dict[str, Any]:
    """By pool: what XLA's gives and ours, and both gradients; all in one program."""

    def run(inputs: list[jax.Array]) -> Any:
        results = []
        for (pool, _, edges), x in zip(POOLS.values(), inputs, strict=True):
            window = (pool.size,) * 2, (pool.stride,) * 2, edges
            plain, pull = jax.vjp(lambda v, window=window: nnx.max_pool(v, *window), x)
            ours, our_pull = jax.vjp(pool, x)
            weights = np.random.default_rng(9).normal(size=plain.shape).astype(np.float32)
            results.append(((plain, ours), (pull(weights)[0], our_pull(weights)[0])))
        return results

    results = at_once(run, [_inputs(*sides, 3) for _, sides, _ in POOLS.values()])
    return dict(zip(POOLS, results, strict=True))


@pytest.mark.parametrize("name", POOLS)
def test_max_pool_is_a_reduce_window_of_the_padded_map(name: str, pooled: dict[str, Any]) -> None:
    (expected, value), (expected_gradient, gradient) = pooled[name]
    np.testing.assert_array_equal(value, expected)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-6, atol=1e-6)


def test_pool_of_less_than_a_window_is_refused() -> None:
    with pytest.raises(ValueError, match="window of 3 pixels fits into 2"):
        MaxPool(3, 2)(np.zeros((1, 8, 2, 1), np.float32))


def test_nan_is_not_lost() -> None:
    """Wherever it is in a window: one image for each of the four places."""
    x = np.ones((4, 4, 4, 1), np.float32)
    for image, place in enumerate(np.ndindex(2, 2)):
        x[(image, *place, 0)] = np.nan
    pooled = at_once(MaxPool(2, 2), x)[..., 0]
    assert np.isnan(pooled[:, 0, 0]).all()
    assert (np.isfinite(pooled).sum(axis=(1, 2)) == 3).all()


def test_lrn_by_loops() -> None:
    x = 30 * np.random.default_rng(0).standard_normal((1, 2, 2, 7))
    alpha, beta, size = 0.02, 0.6, 5
    expected = np.empty_like(x)
    for c in range(7):
        total = (x[..., max(0, c - 2) : c + 3] ** 2).sum(axis=-1)
        expected[..., c] = x[..., c] / (1 + alpha / size * total) ** beta
    assert abs(expected / x).max() < 0.9
    ours = at_once(LRN(size=size, alpha=alpha, beta=beta), x.astype(np.float32))
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


def test_global_mean() -> None:
    x = _inputs(3, 4, 5)
    expected = np.asarray(x, np.float64).reshape(2, 12, 5).mean(axis=1)
    np.testing.assert_allclose(at_once(GlobalMean(), x), expected, rtol=1e-5, atol=1e-6)


def test_rectified_layers_keep_their_kind_and_parameters() -> None:
    image, row = _inputs(5, 5, 3), _inputs(3)

    def run(image: jax.Array, row: jax.Array) -> Any:
        return [
            [cls(3, 4, (3, 3), rngs=nnx.Rngs(0))(image) for cls in (ConvRelu, nnx.Conv)],
            [cls(3, 4, rngs=nnx.Rngs(0))(row) for cls in (LinearRelu, nnx.Linear)],
        ]

    for rectified, plain in at_once(run, image, row):
        assert (plain < 0).any()
        np.testing.assert_array_equal(rectified, np.maximum(plain, 0))
    conv, dense = (
        nnx.eval_shape(lambda: ConvRelu(3, 4, (3, 3), rngs=nnx.Rngs(0))),
        nnx.eval_shape(lambda: LinearRelu(3, 4, rngs=nnx.Rngs(0))),
    )
    assert [kind_of(m) for m in (conv, dense)] == ["conv", "dense"]
    assert [kind_of(m) for m in (LRN(), GlobalMean(), MaxPool(2, 2))] == ["norm", "pool", "pool"]
