"""The two dense layers with a Gelu between them that ConvNeXt and ViT are made of."""

from __future__ import annotations

from typing import ClassVar

import jax
from flax import nnx


class Gelu(nnx.Module):
    """x times the normal distribution function of x (Hendrycks & Gimpel 2016).

    Exact, as in PyTorch; JAX's own default is an approximation by tanh.
    """

    kind: ClassVar[str] = "activation"

    def __call__(self, x: jax.Array) -> jax.Array:
        return nnx.gelu(x, approximate=False)


class Mlp(nnx.Module):
    """Along the last axis: (…, width) to (…, hidden) to (…, width)."""

    def __init__(self, width: int, hidden: int, *, rngs: nnx.Rngs) -> None:
        self.fc1 = nnx.Linear(width, hidden, rngs=rngs)
        self.act = Gelu()
        self.fc2 = nnx.Linear(hidden, width, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.fc2(self.act(self.fc1(x)))


def layer_norm(width: int, *, rngs: nnx.Rngs) -> nnx.LayerNorm:
    """With PyTorch's variance: the fast one loses digits where the mean is large."""
    return nnx.LayerNorm(width, epsilon=1e-6, use_fast_variance=False, rngs=rngs)
