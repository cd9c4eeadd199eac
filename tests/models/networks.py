"""What tests of adapters share: one input, and runs of a Model beside its framework's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from reportgen.models.base import Model
from tests.at_once import at_once

RANDOM = np.random.default_rng(1)
X = RANDOM.normal(size=(2, 8, 8, 3)).astype(np.float32)
LARGE = RANDOM.normal(size=(1, 12, 20, 3)).astype(np.float32)


def run(model: Model, x: Any = X, taps: Any = None) -> Any:
    return at_once(lambda m, x, taps: m.apply(x, taps), model, x, taps)


def beside(model: Model, own: Callable[..., Any], x: Any = X, taps: Any = None) -> Any:
    """What a Model gives (scores, activations), and what ``own(parameters, x)`` returns."""
    return at_once(lambda m, x, t: (m.apply(x, t), own(m.parameters, x)), model, x, taps)


def assert_close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5, equal_nan=False)


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


@contextmanager
def keras_undrawn() -> Iterator[None]:
    """Keras's kernels are zeros at first: drawing them compiles for seconds.

    Tests give networks weights of their own.
    """
    from keras.src.initializers.random_initializers import VarianceScaling

    def zeros(_: Any, shape: tuple[int, ...], dtype: Any = None, **more: Any) -> np.ndarray:
        return np.zeros(shape, dtype)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(VarianceScaling, "__call__", zeros)
        yield
