"""Relevance of functions by the rewriting, and by NumPy from the rules' definitions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import jaxpr_as_fun

from reportgen.rewrite.relevance import RelevanceRule
from reportgen.rewrite.relevance_rules import Rule
from tests.at_once import at_once

RULES = ("epsilon", "gamma", "z_plus", "alpha_beta")
EPSILON, GAMMA, ALPHA = 1e-6, 0.25, 2.0


def rule(*names: str, epsilon: float = EPSILON) -> RelevanceRule:
    """A rule, or a composite of several."""
    rules: Any = tuple(Rule(name, epsilon, GAMMA, ALPHA) for name in names)  # type: ignore[arg-type]
    return RelevanceRule(rules, epsilon)


def relevance(
    function: Callable[..., jax.Array],
    x: Any,
    *names: str,
    weights: Any = None,
    unit: int = 0,
    epsilon: float = EPSILON,
) -> tuple[np.ndarray, np.ndarray]:
    """Relevance of x (N, …) for one of the outputs (N, units), and that output (N,).

    Args:
      function: of x, or of a tree of weights and x.
      names: of the rules, from the input.
    """

    def flat(*inputs: jax.Array) -> jax.Array:
        if weights is None:
            return function(inputs[0])
        return function(jax.tree.unflatten(jax.tree.structure(weights), inputs[:-1]), inputs[-1])

    leaves = jax.tree.leaves(weights)
    run = jaxpr_as_fun(rule(*names, epsilon=epsilon)(jax.make_jaxpr(flat)(*leaves, x)))

    def both(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        score, back = jax.vjp(lambda x: run(*leaves, x)[0][:, unit], x)
        return back(jnp.ones_like(score))[0], score

    return at_once(both, x)


def stable(z: np.ndarray) -> np.ndarray:
    return z + EPSILON * np.where(z < 0, -1, 1)


def product(x: np.ndarray, w: np.ndarray, b: np.ndarray, r: np.ndarray, name: str) -> np.ndarray:
    """Relevance (I,) of x (I,) before x @ w + b (O,), whose relevance is r: what each one gave."""
    gave = x[:, None] * w
    more, less = np.maximum(gave, 0), np.minimum(gave, 0)
    b_more, b_less = np.maximum(b, 0), np.minimum(b, 0)

    def shares(parts: np.ndarray, bias: np.ndarray) -> np.ndarray:
        return parts / stable(parts.sum(axis=0) + bias)

    if name == "epsilon":
        return shares(gave, b) @ r
    if name == "z_plus":
        return shares(more, b_more) @ r
    if name == "alpha_beta":
        return (ALPHA * shares(more, b_more) - (ALPHA - 1) * shares(less, b_less)) @ r
    positive = gave.sum(axis=0) + b > 0
    rising = shares(gave + GAMMA * more, b + GAMMA * b_more)
    falling = shares(gave + GAMMA * less, b + GAMMA * b_less)
    return np.where(positive, rising, falling) @ r


def matrix(kernel: np.ndarray, height: int, width: int, groups: int = 1) -> np.ndarray:
    """A convolution (valid, stride 1) of images (H, W, I) by a kernel (h, w, I / groups, O)."""
    high, wide, inputs, outputs = kernel.shape
    rows, columns = height - high + 1, width - wide + 1
    dense = np.zeros((height, width, inputs * groups, rows, columns, outputs))
    for row in range(rows):
        for column in range(columns):
            for output in range(outputs):
                first = output // (outputs // groups) * inputs
                window = dense[row : row + high, column : column + wide, :, row, column, output]
                window[:, :, first : first + inputs] = kernel[..., output]
    return dense.reshape(height * width * inputs * groups, rows * columns * outputs)


def conv(
    x: np.ndarray, kernel: np.ndarray, b: np.ndarray, r: np.ndarray, name: str, groups: int = 1
) -> np.ndarray:
    """Relevance of images x (H, W, I) before a convolution; r is that of its output."""
    w = matrix(kernel, *x.shape[:2], groups)
    bias = np.broadcast_to(b, r.shape).reshape(-1)
    return product(x.reshape(-1), w, bias, r.reshape(-1), name).reshape(x.shape)
