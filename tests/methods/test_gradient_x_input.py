"""Gradient × input against central differences of the NumPy network, and its law."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from reportgen.methods.gradient_x_input import gradient_x_input
from tests.methods.polynomial import Polynomial
from tests.methods.small_networks import scored


def test_the_map_is_the_input_times_its_slope(lenet: Any, numpy_lenet: Any) -> None:
    rng = np.random.default_rng(4)
    # Of either sign; noise, since a flat background ties in the pools.
    x = rng.uniform(-1, 1, (28, 28, 1))
    made = jax.jit(gradient_x_input)(lenet, np.float32(x[None]), np.array([6]))[0]
    for row, column in rng.integers(0, 28, (12, 2)):
        step = np.zeros_like(x)
        step[row, column] = 1e-6
        up, down = (numpy_lenet(x + sign * step)["ip2"][6] for sign in (1, -1))
        expected = x[row, column, 0] * (up - down) / 2e-6
        np.testing.assert_allclose(made[row, column], expected, rtol=1e-3, atol=1e-4)


def test_channels_are_added_up() -> None:
    model: Any = Polynomial(2)
    x = np.random.default_rng(5).normal(size=(2, 4, 5, 3)).astype(np.float32)
    made = jax.jit(lambda x: gradient_x_input(model, x, jnp.array([1, 0])))(x)
    for n, target in enumerate((1, 0)):
        expected = (x[n] * model.slope(x[n], target)).sum(axis=-1)
        np.testing.assert_allclose(made[n], expected, rtol=1e-4, atol=1e-5)


def test_without_biases_the_values_sum_to_the_score(lenet: Any, digits: Any) -> None:
    bare = lenet.with_parameters(
        {
            name: jnp.asarray(np.asarray(value) * (not name.endswith("bias")))
            for name, value in lenet.parameters.items()
        }
    )
    x, targets = lenet.spec.normalise(digits.pixels[:3]), np.array([4, 0, 9])
    maps = np.asarray(jax.jit(gradient_x_input)(bare, x, targets))
    scores = np.asarray(scored(bare, x))[np.arange(3), targets]
    np.testing.assert_allclose(maps.sum(axis=(1, 2)), scores, rtol=1e-4)
