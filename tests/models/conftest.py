"""A user's network opened as the program opens it, with weights that cost nothing to make."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keras's kernels are zeros at first: drawing them compiles for seconds.

    Tests give networks weights of their own.
    """
    from keras.src.initializers.random_initializers import VarianceScaling

    def zeros(_: Any, shape: tuple[int, ...], dtype: Any = None, **more: Any) -> np.ndarray:
        return np.zeros(shape, dtype)

    monkeypatch.setattr(VarianceScaling, "__call__", zeros)


@pytest.fixture(scope="module")
def opened_once(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """A Model of what a factory returns, for the input ``SPEC`` of the test's own file.

    Its weights are drawn by NumPy: zeros and ones, as frameworks make biases and variances, would
    hide mistakes, and drawing by JAX compiles for seconds.
    """
    from reportgen.config import ScoreConfig
    from reportgen.models import factory
    from reportgen.models.load import describe

    @cache
    def make(made: Callable[..., Any], output: str = "") -> Any:
        spec = request.module.SPEC
        adapted = factory.adapt_made(factory.calling("test:net", made, {}), spec)
        network = describe(
            adapted,
            spec=spec,
            name="net",
            architecture="test:net",
            score=ScoreConfig(kind="logit", row=None, column=None),
            output=output,
        )
        random = np.random.default_rng(7)
        weights = {}
        for name, leaf in adapted.shapes.items():
            values = random.uniform(0.05, 0.4, leaf.shape)
            if "var" not in name.rpartition(".")[2]:  # a variance is positive
                values *= random.choice((-1.0, 1.0), leaf.shape)
            weights[name] = jnp.asarray(values, leaf.dtype)
        return network.with_weights(weights)

    return make
