"""Rectifiers are found in any notation, and their other backward rules are what the papers say."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx
from jax import lax

from reportgen.rewrite.rectifiers import Backward, RectifierRule, rectifiers
from tests.at_once import at_once

os.environ.setdefault("KERAS_BACKEND", "jax")  # read by Keras when it is first imported

X = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
COTANGENT = np.random.default_rng(1).normal(size=X.shape).astype(np.float32)
RULES: tuple[Backward, ...] = ("guided", "deconvnet")
RELU, LEAKY, SMOOTH = ("ReLU",), ("leaky ReLU",), ("smooth",)


def found(function: Callable[..., Any], x: Any = X) -> tuple[str, ...]:
    return rectifiers(jax.make_jaxpr(function)(x))


def rewritten(function: Callable[..., Any], rule: Backward) -> Callable[[jax.Array], jax.Array]:
    """A function of one array, run as another program."""

    def run(x: jax.Array) -> jax.Array:
        closed = RectifierRule(rule)(jax.make_jaxpr(function)(x))
        return jax.core.eval_jaxpr(closed.jaxpr, closed.consts, x)[0]

    return run


NOTATIONS: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "relu": (jax.nn.relu, RELU),
    "relu6": (jax.nn.relu6, RELU),
    "leaky_relu": (jax.nn.leaky_relu, LEAKY),
    "leaky_relu 0.3": (lambda x: jax.nn.leaky_relu(x, 0.3), LEAKY),
    "elu": (jax.nn.elu, SMOOTH),
    "selu": (jax.nn.selu, SMOOTH),
    "celu": (jax.nn.celu, SMOOTH),
    "gelu": (jax.nn.gelu, SMOOTH),
    "gelu, exact": (lambda x: jax.nn.gelu(x, approximate=False), SMOOTH),
    "silu": (jax.nn.silu, SMOOTH),
    "mish": (jax.nn.mish, SMOOTH),
    "hard_swish": (jax.nn.hard_swish, SMOOTH),
    "softplus": (jax.nn.softplus, SMOOTH),
    "squareplus": (jax.nn.squareplus, SMOOTH),
    "quick gelu": (lambda x: x * jax.nn.sigmoid(1.702 * x), SMOOTH),
    "maximum": (lambda x: jnp.maximum(x, 0), RELU),
    "maximum, zero first": (lambda x: jnp.maximum(0.0, x), RELU),
    "maximum with zeros": (lambda x: jnp.maximum(x, jnp.zeros_like(x)), RELU),
    "where >": (lambda x: jnp.where(x > 0, x, 0), RELU),
    "where >=": (lambda x: jnp.where(x >= 0, x, 0.0), RELU),
    "where <": (lambda x: jnp.where(x < 0, 0, x), RELU),
    "where, zero first": (lambda x: jnp.where(x > 0, x, jnp.zeros_like(x)), RELU),
    "select": (lambda x: lax.select(x > 0, x, jnp.zeros_like(x)), RELU),
    "mask": (lambda x: x * (x > 0), RELU),
    "mask first": (lambda x: (x > 0).astype(x.dtype) * x, RELU),
    "clip": (lambda x: jnp.clip(x, 0), RELU),
    "clip at 6": (lambda x: jnp.clip(x, 0, 6), RELU),
    "clamp": (lambda x: lax.clamp(0.0, x, 6.0), RELU),
    "abs": (lambda x: (x + jnp.abs(x)) / 2, RELU),
    "two negations": (lambda x: -jnp.minimum(-x, 0), RELU),
    "where leaky": (lambda x: jnp.where(x > 0, x, 0.1 * x), LEAKY),
    "maximum leaky": (lambda x: jnp.maximum(0.01 * x, x), LEAKY),
    "linen.relu": (linen.relu, RELU),
    "linen.gelu": (linen.gelu, SMOOTH),
    "linen.swish": (linen.swish, SMOOTH),
    "nnx.relu": (nnx.relu, RELU),
    "nnx.leaky_relu": (nnx.leaky_relu, LEAKY),
    "nnx.elu": (nnx.elu, SMOOTH),
    "in bfloat16": (lambda x: jax.nn.relu(x.astype(jnp.bfloat16)), RELU),
    "gelu in float16": (lambda x: jax.nn.gelu(x.astype(jnp.float16)), SMOOTH),
    # What comes before and after, element by element, hides none.
    "scaled": (lambda x: jax.nn.relu(x / jnp.sqrt(2.0)), RELU),
    "shifted up": (lambda x: jax.nn.relu(0.5 * x + 1), RELU),
    "shifted down": (lambda x: jax.nn.relu(x - 0.3), RELU),
    "scaled gelu": (lambda x: jax.nn.gelu(x * 0.5), SMOOTH),
    "then scaled and shifted": (lambda x: 2 * jax.nn.relu(x) + 1, RELU),
    "squared": (lambda x: jax.nn.relu(x) ** 2, RELU),
    "before a sigmoid": (lambda x: jax.nn.sigmoid(jax.nn.relu(x)), RELU),
    "residual": (lambda x: x + jax.nn.relu(x), RELU),
    "both signs": (lambda x: jnp.concatenate([jax.nn.relu(x), jax.nn.relu(-x)], -1), RELU * 2),
    "two of one value": (lambda x: jax.nn.relu(x).sum(-1) * jax.nn.relu(x).max(-1), RELU * 2),
    "two kinds": (lambda x: jax.nn.relu(x).sum(-1) + jax.nn.gelu(x).sum(-1), RELU + SMOOTH),
    "one on another": (lambda x: jax.nn.relu(2 * jax.nn.relu(x) - 1), RELU * 2),
    "in a branch": (lambda x: lax.cond(x.sum() > 0, jax.nn.relu, jax.nn.gelu, x), SMOOTH + RELU),
    "in a loop": (lambda x: lax.scan(lambda c, v: (jax.nn.relu(c + v), v), x[0], x)[0], RELU),
}

NONE: dict[str, Callable[..., Any]] = {
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
    "hard_tanh": jax.nn.hard_tanh,
    "hard_sigmoid": jax.nn.hard_sigmoid,
    "soft_sign": jax.nn.soft_sign,
    "log_sigmoid": jax.nn.log_sigmoid,
    "softmax": jax.nn.softmax,
    "log_softmax": jax.nn.log_softmax,
    "abs": jnp.abs,
    "square": jnp.square,
    "maximum with a small number": lambda x: jnp.maximum(x, 1e-6),
    "maximum with -1": lambda x: jnp.maximum(x, -1),
    "clip at both sides": lambda x: jnp.clip(x, -1, 1),
    "max-pool": lambda x: linen.max_pool(x, (2, 2)),
    "maxout": lambda x: jnp.maximum(x[..., :2], x[..., 2:4]),
    "L2, small": lambda x: x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), 1e-12),
    "L2, root": lambda x: x * lax.rsqrt(jnp.maximum((x * x).sum(-1, keepdims=True), 1e-12)),
    "L2, where": lambda x: x / jnp.where((n := jnp.linalg.norm(x)) > 0, n, 1.0),
    "variance": lambda x: x / jnp.sqrt(jnp.maximum((x * x).mean() - x.mean() ** 2, 0.0) + 1e-5),
    "logarithm": lambda x: jnp.log(jnp.maximum(x, 0) + 1e-6),
    "jax.nn.standardize": jax.nn.standardize,
    **{
        f"linen.{norm.__name__}{arguments or ''}": lambda x, norm=norm, arguments=arguments: norm(
            **arguments
        ).init_with_output(jax.random.key(0), x)[0]
        for norm, arguments in (
            (linen.LayerNorm, {}),
            (linen.LayerNorm, {"use_fast_variance": False}),
            (linen.RMSNorm, {}),
            (linen.InstanceNorm, {}),
            (linen.GroupNorm, {"num_groups": 1}),
            (linen.BatchNorm, {"use_running_average": True}),
            (linen.BatchNorm, {"use_running_average": False}),
        )
    },
    "nnx.LayerNorm": nnx.LayerNorm(5, rngs=nnx.Rngs(0)),
    "nnx.RMSNorm": nnx.RMSNorm(5, rngs=nnx.Rngs(0)),
    "nnx.GroupNorm": nnx.GroupNorm(5, 1, rngs=nnx.Rngs(0)),
    "nnx.BatchNorm": nnx.BatchNorm(5, use_running_average=True, rngs=nnx.Rngs(0)),
}


@pytest.mark.parametrize("name", NOTATIONS)
def test_rectifiers_are_found(name: str) -> None:
    function, expected = NOTATIONS[name]
    assert found(function) == expected
    assert found(jax.jit(function)) == expected


@pytest.mark.parametrize("name", NONE)
def test_what_is_no_rectifier_is_left(name: str) -> None:
    assert found(NONE[name]) == ()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *((name, RELU) for name in ("relu", "relu6")),
        ("leaky_relu", LEAKY),
        *((name, SMOOTH) for name in ("elu", "selu", "gelu", "silu", "softplus", "mish")),
        *((name, SMOOTH) for name in ("hard_silu", "celu")),
        *((name, ()) for name in ("tanh", "sigmoid", "hard_sigmoid", "hard_tanh", "softmax")),
        *((name, ()) for name in ("linear", "softsign", "log_sigmoid")),
    ],
)
def test_keras_activations(name: str, expected: tuple[str, ...]) -> None:
    import keras

    assert found(keras.activations.get(name)) == expected


@pytest.fixture(scope="module")
def forward() -> dict[str, dict[str, np.ndarray]]:
    """By notation: what comes out of it as it is written, and by each rule."""

    def run(x: jax.Array) -> Any:
        return {
            name: {"plain": function(x)} | {rule: rewritten(function, rule)(x) for rule in RULES}
            for name, (function, _) in NOTATIONS.items()
        }

    return at_once(run, X)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", NOTATIONS)
def test_forward_nothing_changes(name: str, rule: Backward, forward: dict[str, Any]) -> None:
    got, expected = forward[name][rule], forward[name]["plain"]
    assert got.dtype == expected.dtype
    np.testing.assert_allclose(
        got.astype(np.float32), expected.astype(np.float32), rtol=1e-6, atol=1e-6
    )


ONE = [name for name in NOTATIONS if name.split(" ")[0] in (
    "relu", "elu", "gelu", "silu", "softplus", "maximum", "where", "mask", "clip", "clamp",
    "leaky_relu", "mish", "hard_swish", "squareplus", "select", "abs", "two negations",
) and "float" not in name]  # fmt: skip
MOVED: dict[str, Callable[..., Any]] = {
    "bounded": lambda x: jax.nn.relu6(8 * x),
    "shifted": lambda x: jax.nn.relu(0.5 * x - 0.3),
}


@pytest.fixture(scope="module")
def backward() -> dict[str, dict[str, np.ndarray]]:
    """By notation and rule: what comes back to x of ``COTANGENT``."""
    functions = {name: NOTATIONS[name][0] for name in ONE} | MOVED

    def run(x: jax.Array, cotangent: jax.Array) -> Any:
        return {
            name: {rule: jax.vjp(rewritten(f, rule), x)[1](cotangent)[0] for rule in RULES}
            for name, f in functions.items()
        }

    return at_once(run, X, COTANGENT)


@pytest.mark.parametrize("name", ONE)
def test_the_rules_of_one_rectifier(name: str, backward: dict[str, Any]) -> None:
    guided = np.where(X > 0, np.maximum(COTANGENT, 0), 0)
    np.testing.assert_array_equal(backward[name]["guided"], guided)
    np.testing.assert_array_equal(backward[name]["deconvnet"], np.maximum(COTANGENT, 0))


def test_relu6_keeps_its_upper_bound(backward: dict[str, Any]) -> None:
    x = 8 * X
    passed = np.where(x < 6, np.maximum(COTANGENT, 0), 0)
    np.testing.assert_allclose(backward["bounded"]["deconvnet"], 8 * passed, rtol=1e-6)
    guided = 8 * np.where(x > 0, passed, 0)
    np.testing.assert_allclose(backward["bounded"]["guided"], guided, rtol=1e-6)


def test_a_shifted_rectifier_bends_where_it_bends(backward: dict[str, Any]) -> None:
    expected = 0.5 * np.where(X > 0.6, np.maximum(COTANGENT, 0), 0)
    np.testing.assert_allclose(backward["shifted"]["guided"], expected, rtol=1e-6)
