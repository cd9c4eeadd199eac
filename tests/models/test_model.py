"""The Model interface: capture, taps, stopping early and the list of layers, on nnx modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from reportgen.core.spec import InputSpec
from reportgen.models.base import Model
from reportgen.models.zoo.layers import Relu
from tests.at_once import at_once

from .networks import beside
from .nnx_modules import module_of

SPEC = InputSpec(height=8, width=8, channels=3, fixed_size=False)


class Block(nnx.Module):
    """A user's module, as a user writes it: a list of modules, one of them called twice."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.convs = nnx.List(
            [nnx.Conv(3, 4, (3, 3), rngs=rngs), nnx.Conv(4, 4, (3, 3), rngs=rngs)]
        )
        self.act = Relu()

    def __call__(self, x: jax.Array) -> jax.Array:
        for conv in self.convs:
            x = self.act(conv(x))
        return x


class Net(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.block = Block(rngs)
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs)
        self.head = nnx.Linear(4, 5, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.head(self.drop(self.norm(self.block(x))).mean(axis=(1, 2)))


@pytest.fixture(scope="module")
def model(opened_once: Callable[..., Model]) -> Model:
    return opened_once(Net)


X = np.random.default_rng(1).normal(size=(2, 8, 8, 3)).astype(np.float32)


def test_layers_are_listed_in_execution_order_with_shapes_parameters_and_cost(model: Model) -> None:
    conv = 2 * 8 * 8 * 3 * 3
    expected = [
        ("block.convs.0", "conv", (8, 8, 4), 3 * 3 * 3 * 4 + 4, conv * 3 * 4),
        ("block.act", "activation", (8, 8, 4), 0, 0),
        ("block.convs.1", "conv", (8, 8, 4), 3 * 3 * 4 * 4 + 4, conv * 4 * 4),
        ("block.act#2", "activation", (8, 8, 4), 0, 0),
        ("block", "block", (8, 8, 4), 0, conv * 3 * 4 + conv * 4 * 4),
        ("norm", "norm", (8, 8, 4), 16, 0),
        ("drop", "dropout", (8, 8, 4), 0, 0),
        ("head", "dense", (5,), 25, 2 * 4 * 5),
    ]
    seen = [(la.path, la.kind, la.shape, la.parameter_count, la.flops) for la in model.layers]
    assert seen == expected
    assert model.flops == conv * 3 * 4 + conv * 4 * 4 + 2 * 4 * 5
    assert model.parameter_count == 112 + 148 + 16 + 25


def test_apply_is_the_module_in_evaluation_mode_and_captures_every_layer(model: Model) -> None:
    def own(parameters: dict[str, jax.Array], x: jax.Array) -> Any:
        module = module_of(Net, parameters)
        first = nnx.relu(module.block.convs[0](x))
        second = nnx.relu(module.block.convs[1](first))
        logits = module(x)
        assert type(module.block) is Block  # the user's own object is left as it was
        return logits, {"block.act": first, "block.act#2": second, "block": second}

    (logits, activations), (expected, kept) = beside(model, own)
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-6)
    for path, activation in kept.items():
        np.testing.assert_allclose(activations[path], activation, rtol=1e-5, atol=1e-6)


def test_a_tap_gives_the_gradient_by_a_layer(model: Model) -> None:
    """By the tap at the pooled features, d sum(logits) / d features is the head's weights / H W."""

    def run(model: Model, x: jax.Array) -> Any:
        def score(tap: jax.Array) -> jax.Array:
            return model.apply(x, {"drop": tap})[0].sum()

        moved = model.apply(x, {"head": jnp.ones((2, 5))})[0] - model.apply(x)[0]
        return jax.grad(score)(jnp.zeros((2, 8, 8, 4))), moved

    gradient, moved = at_once(run, model, X)
    head = np.asarray(model.parameters["head.kernel"])
    expected = np.broadcast_to(head.sum(axis=1) / 64, gradient.shape)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5)
    np.testing.assert_allclose(moved, 1.0, rtol=1e-5)
    with pytest.raises(KeyError, match="nowhere"):
        jax.eval_shape(lambda x: model.apply(x, {"nowhere": jnp.zeros(1)}), X)


def test_activation_runs_no_further_than_its_layer_so_the_front_takes_any_size(lenet: Any) -> None:
    large, same = np.ones((1, 50, 60, 1), np.float32), np.ones((1, 28, 28, 1), np.float32)
    assert jax.eval_shape(lambda x: lenet.activation("conv2", x), large).shape == (1, 19, 24, 50)
    with pytest.raises(TypeError):
        lenet.apply(large)
    alone, among = at_once(
        lambda m, x: (m.activation("conv2", x), m.apply(x)[1]["conv2"]), lenet, same
    )
    np.testing.assert_allclose(alone, among, rtol=1e-6)
    with pytest.raises(KeyError, match="conv9"):
        lenet.activation("conv9", same)


def test_other_weights_need_no_other_compilation(model: Model) -> None:
    calls = 0

    @jax.jit
    def logits(m: Model, v: jax.Array) -> jax.Array:
        nonlocal calls
        calls += 1
        return m.apply(v)[0]

    first = np.asarray(logits(model, X))
    doubled = {name: 2 * np.asarray(value) for name, value in model.parameters.items()}
    assert not np.allclose(logits(model.with_parameters(doubled), X), first)
    assert calls == 1


def test_layer_parameters_by_short_names(model: Model) -> None:
    parameters = model.layer_parameters("block.convs.0")
    assert {name: value.shape for name, value in parameters.items()} == {
        "kernel": (3, 3, 3, 4),
        "bias": (4,),
    }
    assert set(model.layer_parameters("norm")) == {"scale", "bias", "mean", "var"}
