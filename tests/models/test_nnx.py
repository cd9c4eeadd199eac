"""Flax nnx networks as users write them, against nnx's own evaluation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
from flax import nnx

from reportgen.core.errors import ModelError
from reportgen.core.spec import InputSpec
from reportgen.models.base import Model
from tests.at_once import at_once

from .networks import LARGE, X, assert_close, beside, listed
from .nnx_modules import Containers, Inner, Outputs, conv, module_of

SPEC = InputSpec(height=8, width=8, channels=3, fixed_size=True)

Make = Callable[..., Model]


class Plain(nnx.Module, pytree=False):
    """Python's own lists, which nnx takes in such a class."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.convs = [conv(3, 4, rngs), conv(4, 4, rngs)]

    def __call__(self, x: jax.Array) -> jax.Array:
        for layer in self.convs:
            x = nnx.tanh(layer(x))
        return x.mean((1, 2))


def sequential(rngs: nnx.Rngs) -> nnx.Module:
    return nnx.Sequential(
        conv(3, 4, rngs),
        nnx.relu,
        nnx.BatchNorm(4, rngs=rngs),
        nnx.Dropout(0.5, rngs=rngs),
        lambda x: x.mean((1, 2)),
        nnx.Linear(4, 3, rngs=rngs),
    )


class Attentive(nnx.Module):
    """Dropout is inside of nnx's own attention."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.embed = nnx.Linear(3, 4, rngs=rngs)
        self.mix = nnx.MultiHeadAttention(2, 4, dropout_rate=0.5, decode=False, rngs=rngs)
        self.head = nnx.Linear(4, 3, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        tokens = self.embed(x.reshape(x.shape[0], -1, 3))
        return self.head(self.mix(tokens).mean(1))


LISTED = {
    Containers: [
        ("blocks.0.conv", "conv", (8, 8, 4)),
        ("blocks.0", "block", (8, 8, 4)),
        ("blocks.1.conv", "conv", (8, 8, 4)),
        ("blocks.1", "block", (8, 8, 4)),
        ("first", "conv", (8, 8, 4)),
        ("first#2", "conv", (8, 8, 4)),
        ("first#3", "conv", (8, 8, 4)),
        ("heads.a", "dense", (3,)),
        ("heads.b", "dense", (5,)),
    ],
    Plain: [("convs.0", "conv", (8, 8, 4)), ("convs.1", "conv", (8, 8, 4))],
    sequential: [
        ("layers.0", "conv", (8, 8, 4)),
        ("layers.2", "norm", (8, 8, 4)),
        ("layers.3", "dropout", (8, 8, 4)),
        ("layers.5", "dense", (3,)),
    ],
    Attentive: [
        ("embed", "dense", (64, 4)),
        ("mix.query", "dense", (64, 2, 2)),
        ("mix.key", "dense", (64, 2, 2)),
        ("mix.value", "dense", (64, 2, 2)),
        ("mix.out", "dense", (64, 4)),
        ("mix", "attention", (64, 4)),
        ("head", "dense", (3,)),
    ],
}


@pytest.mark.parametrize("network", LISTED)
def test_modules_are_named_by_their_place_and_computed_as_nnx_does(
    network: Any, opened_once: Make
) -> None:
    model = opened_once(network)
    assert listed(model) == LISTED[network]

    def all_of_it(model: Model, images: list[jax.Array]) -> Any:
        module = module_of(network, model.parameters)
        return [(model.apply(x)[0], module(x)) for x in images]

    for logits, expected in at_once(all_of_it, model, [X, LARGE]):
        assert_close(logits, expected)
    assert sum(layer.parameter_count for layer in model.layers) == model.parameter_count


def test_every_call_of_a_shared_module_has_its_own_output(opened_once: Make) -> None:
    model = opened_once(Containers)
    paths = ("first", "first#2", "first#3")

    def own(parameters: dict[str, jax.Array], x: jax.Array) -> list[jax.Array]:
        module = module_of(Containers, parameters)
        for block in module.blocks:
            x = block(x)
        return [x := module.first(x) for _ in paths]

    (_, activations), expected = beside(model, own)
    for path, output in zip(paths, expected, strict=True):
        assert_close(activations[path], output)
    assert [len(model.layer(p).parameters) for p in paths] == [2, 0, 0]


def test_a_module_that_refuses_evaluation_mode_is_refused(opened_once: Make) -> None:
    class Stubborn(Inner):
        def __init__(self, rngs: nnx.Rngs) -> None:
            super().__init__(3, 4, rngs)

        def eval(self, **attributes: Any) -> None:
            raise RuntimeError("I only train")

    with pytest.raises(ModelError) as caught:
        opened_once(Stubborn)
    assert str(caught.value) == (
        "The nnx module Stubborn cannot be set to evaluation mode: its eval() raised "
        "RuntimeError: I only train\n"
        "nnx.Module.eval() sets deterministic=True and use_running_average=True in all of it."
    )


def test_each_part_of_what_a_block_returns_is_a_layer(opened_once: Make) -> None:
    model = opened_once(Outputs, output="logits")
    assert listed(model)[1:3] == [("two[0]", "block", (8, 8, 4)), ("two[1]", "block", (4, 4, 4))]
    # Both come of one call: its cost is that of both, and its parameters are counted once.
    assert [model.layer(f"two[{i}]").flops for i in (0, 1)] == [model.layer("two.conv").flops] * 2
    assert [model.layer(f"two[{i}]").parameter_count for i in (0, 1)] == [4, 0]
    shift = model.layer_parameters("two[0]")["shift"]
    np.testing.assert_array_equal(shift, model.parameters["two.shift"])

    def own(parameters: dict[str, jax.Array], x: jax.Array) -> Any:
        module = module_of(Outputs, parameters)
        parts = module.two(x)
        return *parts, module.head(parts[1].mean((1, 2)))

    (scores, activations), (first, second, logits) = beside(model, own)
    assert_close(activations["two[0]"], first)
    assert_close(activations["two[1]"], second)
    assert_close(scores, logits)
