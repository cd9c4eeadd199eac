"""Networks with weights that cost nothing to make."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.networks import keras_undrawn


@pytest.fixture(scope="session")
def model_of() -> Callable[..., Any]:
    """A Model of what a factory of one's own returns.

    Its weights are drawn by NumPy: what JAX draws with compiles for seconds.
    """
    from reportgen.config import ScoreConfig
    from reportgen.models import factory
    from reportgen.models.load import describe

    def make(made: Callable[..., Any], spec: Any) -> Any:
        with keras_undrawn() if "keras" in sys.modules else nullcontext():
            adapted = factory.adapt_made(factory.calling("test:net", made, {}), spec)
        network = describe(
            adapted,
            spec=spec,
            name="net",
            architecture="test:net",
            score=ScoreConfig(kind="logit", row=None, column=None),
        )
        random = np.random.default_rng(0)
        weights = {}
        for name, leaf in adapted.shapes.items():
            values = random.normal(size=leaf.shape) / math.sqrt(math.prod(leaf.shape[:-1]))
            if name.endswith(("scale", "gamma", "var", "variance")):
                values = random.uniform(0.5, 1.5, leaf.shape)
            weights[name] = jnp.asarray(values.astype(leaf.dtype))
        return network.with_weights(weights)

    return make
