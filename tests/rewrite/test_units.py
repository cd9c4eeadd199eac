"""Where a rectifier reads a layer's units, and how many groups of inputs its units have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from reportgen.core.spec import InputSpec
from reportgen.rewrite.units import groups, rectified

SPEC = InputSpec(height=16, width=16, channels=3)
Way = Callable[["Net", jax.Array], jax.Array]


class Net(nnx.Module):
    """A convolution, a way on from it, and a dense layer."""

    def __init__(self, way: Way, *, rngs: nnx.Rngs) -> None:
        self.way = way
        self.conv = nnx.Conv(3, 4, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(4, use_running_average=True, rngs=rngs)
        self.second = nnx.Conv(4, 4, (1, 1), rngs=rngs)
        self.out = nnx.Linear(4, 10, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.out(self.way(self, self.conv(x)).mean((1, 2)))


def pooled(x: jax.Array) -> jax.Array:
    return nnx.max_pool(x, (2, 2), (2, 2))


WAYS: dict[str, tuple[Way, str]] = {
    "relu": (lambda net, x: nnx.relu(x), "conv"),
    "where": (lambda net, x: jnp.where(x > 0, x, 0), "conv"),
    "relu6": (lambda net, x: nnx.relu6(x), "conv"),
    "a pool of maxima between": (lambda net, x: nnx.relu(pooled(x)), "conv"),
    "a reshape between": (lambda net, x: nnx.relu(x.reshape(-1, 8, 32, 4)), "conv"),
    "both ways": (lambda net, x: nnx.relu(x) + nnx.relu(pooled(x)).mean(), "conv"),
    "a norm between": (lambda net, x: nnx.relu(net.norm(x)), "norm"),
    "a norm and a pool between": (lambda net, x: nnx.relu(pooled(net.norm(x))), "norm"),
    "another layer as well": (lambda net, x: nnx.relu(x) + net.second(x), ""),
    "a shift without a name": (lambda net, x: nnx.relu(x + 0.5), ""),
    "a pool of means between": (lambda net, x: nnx.relu(nnx.avg_pool(x, (2, 2))), ""),
    "a shortcut before": (lambda net, x: nnx.relu(x + net.second(x)), ""),
    "squared": (lambda net, x: x * x, ""),
    "leaky": (lambda net, x: nnx.leaky_relu(x), ""),
    "gelu": (lambda net, x: nnx.gelu(x), ""),
    "nothing": (lambda net, x: x, ""),
}


@pytest.mark.parametrize("name", WAYS)
def test_answers_below_zero_are_lost_behind_a_rectifier_alone(
    name: str, model_of: Callable[..., Any]
) -> None:
    way, witness = WAYS[name]
    closed = model_of(lambda rngs: Net(way, rngs=rngs), SPEC).traced()
    assert rectified(closed).get("conv", "") == witness


class Own(nnx.Conv):
    """A layer with its rectifier inside."""

    def __call__(self, x: jax.Array) -> jax.Array:
        return nnx.relu(super().__call__(x))


class Grouped(nnx.Module):
    def __init__(self, *, rngs: nnx.Rngs) -> None:
        self.plain = Own(3, 4, (3, 3), rngs=rngs)
        self.paired = nnx.Conv(4, 8, (3, 3), feature_group_count=2, rngs=rngs)
        self.depth = nnx.Conv(8, 8, (3, 3), feature_group_count=8, use_bias=False, rngs=rngs)
        self.out = nnx.Linear(8, 10, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.out(self.depth(self.paired(self.plain(x))).mean((1, 2)))


def test_groups_are_those_of_the_layer_s_own_convolution(model_of: Callable[..., Any]) -> None:
    closed = model_of(Grouped, SPEC).traced()
    assert groups(closed) == {"plain": 1, "paired": 2, "depth": 8, "out": 1}
    assert rectified(closed) == {"plain": "plain"}
