"""The zoo's layers against XLA's reduce_window and plain NumPy, in value and in gradient."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from reportgen.models.nnx import kind_of
from reportgen.models.zoo.layers import LRN, ConvRelu, GlobalMean, LinearRelu, MaxPool


def _inputs(*sides: int) -> jax.Array:
    """(2, *sides): random numbers, and the same rounded, so that many are equal."""
    x = jax.random.normal(jax.random.key(3), sides)
    return jnp.stack([x, jnp.round(x)])


def _assert_pools_like(pool: MaxPool, x: jax.Array, edges: list[tuple[int, int]]) -> None:
    """``pool`` is a reduce_window over x with that many rows and columns of padding."""

    def plain(v: jax.Array) -> jax.Array:
        return nnx.max_pool(v, (pool.size,) * 2, (pool.stride,) * 2, edges)

    @jax.jit
    def both(v: jax.Array) -> list[tuple[jax.Array, jax.Array]]:
        pooled, pull = jax.vjp(plain, v)
        ours, our_pull = jax.vjp(pool, v)
        weights = jax.random.normal(jax.random.key(9), pooled.shape)
        return [(pooled, ours), (pull(weights)[0], our_pull(weights)[0])]

    (expected, value), (expected_gradient, gradient) = both(x)
    np.testing.assert_array_equal(value, expected)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("size", "stride"), [(2, 2), (3, 2), (3, 1), (2, 3)])
def test_max_pool(size: int, stride: int) -> None:
    x = _inputs(9, 11, 3)
    _assert_pools_like(MaxPool(size, stride), x, [(0, 0), (0, 0)])


@pytest.mark.parametrize(
    ("size", "stride", "padding", "sides", "far", "expected"),
    [
        # Caffe's and PyTorch's rule by hand: rows, then columns.
        (3, 2, 0, (10, 11), (1, 0), (5, 5)),
        (2, 2, 0, (9, 8), (1, 0), (5, 4)),
        (3, 2, 1, (9, 8), (1, 2), (5, 5)),
        (2, 3, 0, (9, 10), (0, 1), (3, 4)),  # at 9 a fourth window would begin beyond the edge
        (2, 2, 1, (5, 6), (0, 1), (3, 4)),  # at 5 a fourth would begin in the far padding
        (3, 1, 1, (7, 7), (1, 1), (7, 7)),
        (3, 2, 0, (2, 2), (1, 1), (1, 1)),
    ],
)
def test_max_pool_rounded_up(
    size: int,
    stride: int,
    padding: int,
    sides: tuple[int, int],
    far: tuple[int, int],
    expected: tuple[int, int],
) -> None:
    x = _inputs(*sides, 3)
    pool = MaxPool(size, stride, padding=padding, ceil=True)
    assert jax.eval_shape(pool, x).shape == (2, *expected, 3)
    _assert_pools_like(pool, x, [(padding, far[0]), (padding, far[1])])


@pytest.mark.parametrize("side", [6, 7, 112])
def test_max_pool_padded(side: int) -> None:
    x = _inputs(side, side, 2)
    _assert_pools_like(MaxPool(3, 2, padding=1), x, [(1, 1), (1, 1)])


def test_pool_of_less_than_a_window_is_refused() -> None:
    with pytest.raises(ValueError, match="window of 3 pixels fits into 2"):
        MaxPool(3, 2)(jnp.zeros((1, 8, 2, 1)))


@pytest.mark.parametrize("place", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_nan_is_not_lost(place: tuple[int, int]) -> None:
    x = jnp.ones((1, 4, 4, 1)).at[0, place[0], place[1], 0].set(jnp.nan)
    pooled = np.asarray(MaxPool(2, 2)(x))[0, :, :, 0]
    assert np.isnan(pooled[0, 0])
    assert np.isfinite(pooled).sum() == 3


def test_lrn_by_loops() -> None:
    x = 30 * np.random.default_rng(0).standard_normal((1, 2, 2, 7))
    alpha, beta, size = 0.02, 0.6, 5
    expected = np.empty_like(x)
    for c in range(7):
        total = (x[..., max(0, c - 2) : c + 3] ** 2).sum(axis=-1)
        expected[..., c] = x[..., c] / (1 + alpha / size * total) ** beta
    assert abs(expected / x).max() < 0.9
    ours = LRN(size=size, alpha=alpha, beta=beta)(jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


def test_global_mean() -> None:
    x = _inputs(3, 4, 5)
    expected = np.asarray(x, np.float64).reshape(2, 12, 5).mean(axis=1)
    np.testing.assert_allclose(GlobalMean()(x), expected, rtol=1e-5, atol=1e-6)


def test_rectified_layers_keep_their_kind_and_parameters() -> None:
    conv, plain = (cls(3, 4, (3, 3), rngs=nnx.Rngs(0)) for cls in (ConvRelu, nnx.Conv))
    x = _inputs(5, 5, 3)
    assert (plain(x) < 0).any()
    np.testing.assert_array_equal(conv(x), np.maximum(plain(x), 0))
    dense, straight = (cls(3, 4, rngs=nnx.Rngs(0)) for cls in (LinearRelu, nnx.Linear))
    assert (straight(x) < 0).any()
    np.testing.assert_array_equal(dense(x), np.maximum(straight(x), 0))
    assert [kind_of(m) for m in (conv, dense)] == ["conv", "dense"]
    assert [kind_of(m) for m in (LRN(), GlobalMean(), MaxPool(2, 2))] == ["norm", "pool", "pool"]
