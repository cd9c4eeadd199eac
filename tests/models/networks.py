"""What tests of adapters share: one input, and a jitted run of a Model."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from reportgen.models.base import Model

RANDOM = np.random.default_rng(1)
X = jnp.asarray(RANDOM.normal(size=(2, 8, 8, 3)), jnp.float32)
LARGE = jnp.asarray(RANDOM.normal(size=(1, 12, 20, 3)), jnp.float32)


@jax.jit
def run(model: Model, x: jax.Array, taps: Any = None) -> Any:
    return model.apply(x, taps)


def assert_close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def listed(model: Model) -> list[tuple[str, str, tuple[int, ...]]]:
    return [(layer.path, layer.kind, layer.shape) for layer in model.layers]


def keras_of(model: Model) -> Any:
    """The Keras model itself, with the Model's weights."""
    program: Any = model.program
    variables = program.model.trainable_variables + program.model.non_trainable_variables
    for name, variable in zip(sum(program.names, ()), variables, strict=True):
        if name in model.parameters:
            variable.assign(model.parameters[name])
    return program.model
