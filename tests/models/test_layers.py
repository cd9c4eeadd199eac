"""The zoo's pools are XLA's reduce_window, in value and in gradient."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from reportgen.models.zoo.layers import MaxPool


@pytest.mark.parametrize(("size", "stride"), [(2, 2), (3, 2), (3, 1), (2, 3)])
@pytest.mark.parametrize("ties", [False, True])
def test_max_pool(size: int, stride: int, ties: bool) -> None:
    shape = (2, 9, 11, 3)
    key = jax.random.key(size)
    x = jax.random.normal(key, shape)
    if ties:
        x = jnp.round(x)
    pool = MaxPool(size, stride)
    expected = nnx.max_pool(x, (size, size), (stride, stride))
    np.testing.assert_array_equal(pool(x), expected)
    weights = jax.random.normal(jax.random.key(9), expected.shape)
    ours = jax.grad(lambda v: (pool(v) * weights).sum())(x)
    plain = jax.grad(lambda v: (nnx.max_pool(v, (size, size), (stride, stride)) * weights).sum())
    np.testing.assert_allclose(ours, plain(x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("place", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_nan_is_not_lost(place: tuple[int, int]) -> None:
    x = jnp.ones((1, 4, 4, 1)).at[0, place[0], place[1], 0].set(jnp.nan)
    pooled = np.asarray(MaxPool(2, 2)(x))[0, :, :, 0]
    assert np.isnan(pooled[0, 0])
    assert np.isfinite(pooled).sum() == 3
