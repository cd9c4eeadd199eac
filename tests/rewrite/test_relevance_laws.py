"""What every rule must keep to: nothing is lost without biases, wherever the operations stand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from reportgen.core.errors import NotApplicableError
from reportgen.rewrite.inline import inlined
from reportgen.rewrite.relevance import products

from .relevances import RULES, relevance, rule

RANDOM = np.random.default_rng(8)
KERNEL, NEXT = RANDOM.normal(size=(3, 3, 3, 12)), RANDOM.normal(size=(3, 3, 12, 12))
WIDE, HEAD = RANDOM.normal(size=(24, 12)), RANDOM.normal(size=(12, 4))
SQUARE = [RANDOM.normal(size=(12, 12)) for _ in range(5)]
STACK = np.stack(SQUARE[:3]) / 4
SCALE = RANDOM.normal(size=12)
X = RANDOM.normal(size=(2, 9, 9, 3))


@pytest.fixture(autouse=True)
def _in_float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def conv(x: Any, kernel: Any, stride: int = 1) -> jax.Array:
    numbers = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, kernel, (stride, stride), "SAME", dimension_numbers=numbers)


def pool(x: Any, first: float, what: Any, size: int = 3) -> jax.Array:
    return lax.reduce_window(x, first, what, (1, size, size, 1), (1, 2, 2, 1), "SAME")


def ending(x: jax.Array) -> jax.Array:
    return x.mean(axis=(1, 2)) @ HEAD


def convolutional(x: jax.Array) -> jax.Array:
    """Branches, a skip, concatenation, both pools; a batch norm that shifts nothing."""
    x = jax.nn.relu(conv(x, KERNEL, 2) * SCALE)
    x = pool(x, -jnp.inf, lax.max)
    left, right = jax.nn.relu(conv(x, NEXT)), jax.nn.silu(x @ SQUARE[0])
    x = jnp.concatenate([left + x, right], axis=-1)
    x = pool(x, 0.0, lax.add) / 9
    return ending(jax.nn.gelu(x @ WIDE))


def transformer(x: jax.Array) -> jax.Array:
    """Patches, layer norms, attention, GELU and skips."""

    def normalised(x: jax.Array) -> jax.Array:
        centred = x - x.mean(axis=-1, keepdims=True)
        return centred * (lax.rsqrt(centred.var(axis=-1, keepdims=True) + 1e-5) * SCALE)

    x = conv(x, KERNEL, 3).reshape(len(x), 9, 12)
    y = normalised(x)
    q, k, v = (y @ w for w in SQUARE[:3])
    x = x + jax.nn.softmax(jnp.einsum("nqc,nkc->nqk", q, k) / 12**0.5) @ v
    x = x + jax.nn.gelu(normalised(x) @ SQUARE[3]) @ SQUARE[4]
    return normalised(x)[:, 0] @ HEAD


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("network", [convolutional, transformer])
def test_all_of_the_score_reaches_the_pixels(network: Any, name: str) -> None:
    found, score = relevance(network, X, name, unit=1, epsilon=1e-13)
    np.testing.assert_allclose(found.sum(axis=(1, 2, 3)), score, rtol=1e-6)
    assert np.abs(found).sum() > 0


def rectified(x: jax.Array) -> jax.Array:
    x = jax.nn.relu(conv(x, KERNEL, 2))
    x = jax.nn.relu(conv(pool(x, -jnp.inf, lax.max), NEXT)) + x[:, ::2, ::2] @ SQUARE[0]
    return ending(jnp.maximum(x, 0))


def test_epsilon_without_biases_is_gradient_times_input() -> None:
    found, _ = relevance(rectified, X, "epsilon", epsilon=1e-13)
    gradient = jax.jit(jax.grad(lambda x: rectified(x)[:, 0].sum()))(X)
    np.testing.assert_allclose(found, X * gradient, rtol=1e-6, atol=1e-9)


def test_a_large_epsilon_keeps_relevance_back() -> None:
    small, _ = relevance(rectified, X, "epsilon", epsilon=1e-9)
    large, _ = relevance(rectified, X, "epsilon", epsilon=5.0)
    assert np.abs(large).sum() < 0.7 * np.abs(small).sum()


def test_z_plus_speaks_for_the_class_only() -> None:
    def network(x: jax.Array) -> jax.Array:
        x = jax.nn.relu(conv(jax.nn.relu(conv(x, KERNEL, 2)), NEXT))
        return ending(pool(x, -jnp.inf, lax.max))

    # Whichever sign the score has, all of the relevance has it too.
    found, score = relevance(network, X, "z_plus")
    for relevances, one in zip(found, score, strict=True):
        assert (relevances * np.sign(one)).min() >= 0
        np.testing.assert_allclose(relevances.sum(), one, rtol=1e-4)


def layer(x: jax.Array, w: Any) -> jax.Array:
    return jax.nn.relu(x @ w + 0.1)


@jax.custom_jvp
def stubborn(x: jax.Array) -> jax.Array:
    return jnp.maximum(x, 0)


stubborn.defjvp(lambda primals, tangents: (stubborn(*primals), 7.0 * tangents[0]))


def plain(x: jax.Array) -> jax.Array:
    for w in STACK:
        x = layer(x, w)
    return x


INSIDE: dict[str, Any] = {
    "jit": jax.jit(plain),
    "jit of jits": jax.jit(lambda x: layer(jax.jit(layer)(layer(x, STACK[0]), STACK[1]), STACK[2])),
    "remat": jax.checkpoint(plain),
    "scan": lambda x: lax.scan(lambda c, w: (layer(c, w), None), x, STACK)[0],
    "scan of remat": lambda x: lax.scan(
        lambda c, w: (jax.checkpoint(layer)(c, w), None), x, STACK
    )[0],
    "fori_loop": lambda x: lax.fori_loop(0, 3, lambda i, c: layer(c, jnp.asarray(STACK)[i]), x),
    "cond": lambda x: lax.cond(x.sum() > 1e9, lambda x: x * 2, plain, x),
    "custom derivative": lambda x: stubborn(
        stubborn(stubborn(x @ STACK[0] + 0.1) @ STACK[1] + 0.1) @ STACK[2] + 0.1
    ),
}  # fmt: skip


@pytest.mark.parametrize("inside", INSIDE)
def test_what_stands_inside_of_calls_and_loops_gets_its_rule(inside: str) -> None:
    def network(x: jax.Array, middle: Any) -> jax.Array:
        return middle(conv(x, KERNEL, 4).reshape(-1, 12)) @ HEAD

    found, score = relevance(lambda x: network(x, INSIDE[inside]), X, "gamma")
    expected, same = relevance(lambda x: network(x, plain), X, "gamma")
    np.testing.assert_allclose(score, same)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_a_loop_of_unknown_length_is_refused_by_name() -> None:
    def network(x: jax.Array) -> jax.Array:
        y = x.mean(axis=(1, 2)) @ KERNEL[0, 0]
        return lax.while_loop(lambda y: y.sum() < 1, lambda y: y + 1, y)

    with pytest.raises(NotApplicableError, match="no rule for the operation while"):
        rule("epsilon")(jax.make_jaxpr(network)(X))


def test_rules_are_dealt_out_in_the_order_that_products_run_in() -> None:
    """Of two branches, the one that begins first has its rule first, whichever ends first."""

    def first(x: jax.Array) -> jax.Array:
        return x.mean(axis=(1, 2)) @ KERNEL[0, 0] + 0.1

    def second(x: jax.Array) -> jax.Array:
        return x.mean(axis=(1, 2)) @ KERNEL[1, 1] + 0.2

    def network(x: jax.Array) -> jax.Array:
        mean = x.mean(axis=(1, 2))
        one = mean @ KERNEL[0, 0]
        two = mean @ KERNEL[1, 1] + 0.2  # ends before the other one
        return jnp.concatenate([one + 0.1, two], axis=-1)

    for unit, (branch, name) in {3: (first, "epsilon"), 15: (second, "alpha_beta")}.items():
        found, _ = relevance(network, X, "epsilon", "alpha_beta", unit=unit)
        expected, _ = relevance(branch, X, name, unit=unit % 12)
        np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_products_are_counted_where_they_run() -> None:
    def network(x: jax.Array) -> jax.Array:
        x = conv(x, KERNEL, 4).reshape(-1, 12)
        x = lax.scan(lambda c, w: (layer(c, w), None), x, STACK)[0]
        x = lax.cond(x.sum() > 0, lambda x: x @ SQUARE[0], lambda x: x @ SQUARE[1] @ SQUARE[2], x)
        attention = x @ x.T  # of two values that move: no rule of its own
        return (attention @ np.ones((len(X) * 9, 12))) @ HEAD

    closed = jax.make_jaxpr(network)(X)
    flat = inlined(closed).jaxpr
    assert len(list(products(flat, [True]))) == 1 + 1 + 3 + 2
