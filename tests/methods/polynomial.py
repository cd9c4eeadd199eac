"""A stand-in for a model whose scores are polynomials, so that gradients are known exactly."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from reportgen.core.spec import InputSpec


class Polynomial:
    """scores[n, k] = sum of weights[k] · x[n] ** power, without an image's neighbours."""

    def __init__(self, power: int) -> None:
        self.power = power
        shape = (2, 4, 5, 3)
        self.weights = np.random.default_rng(power).normal(size=shape).astype(np.float32)
        self.spec = InputSpec(height=4, width=5, channels=3)

    def apply(self, x: Any) -> tuple[Any, dict[str, Any]]:
        return jnp.einsum("nhwc,khwc->nk", x**self.power, self.weights, precision="highest"), {}

    def slope(self, x: np.ndarray, target: int) -> np.ndarray:
        """d scores[:, target] / d x."""
        return np.asarray(self.power * self.weights[target] * x ** (self.power - 1))
