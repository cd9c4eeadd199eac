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

from .networks import LARGE, X, assert_close, listed, run
from .nnx_modules import Containers, Inner, Regular, conv, module_of

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
    assert_close(run(model, X)[0], module_of(network, model.parameters)(X))
    assert sum(layer.parameter_count for layer in model.layers) == model.parameter_count


def test_every_call_of_a_shared_module_has_its_own_output(opened_once: Make) -> None:
    model = opened_once(Containers)
    module, (_, activations) = module_of(Containers, model.parameters), run(model, X)
    x = activations["blocks.1"]
    for path in ("first", "first#2", "first#3"):
        x = module.first(x)
        assert_close(activations[path], x)
    assert [len(model.layer(p).parameters) for p in ("first", "first#2", "first#3")] == [2, 0, 0]


class Train(Regular):
    def __call__(self, x: jax.Array, train: bool = True) -> jax.Array:
        x = self.norm(self.conv(x), use_running_average=not train)
        return self.drop(x, deterministic=not train).mean((1, 2))


class Deterministic(Regular):
    def __call__(self, x: jax.Array, *, deterministic: bool) -> jax.Array:
        x = self.norm(self.conv(x), use_running_average=deterministic)
        return self.drop(x, deterministic=deterministic).mean((1, 2))


class Training(Regular):
    def __call__(self, x: jax.Array, training: bool) -> jax.Array:
        assert not training
        return super().__call__(x)


class Fixed(Regular):
    """Training is written into the calls, by name and by position."""

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.drop(self.norm(self.conv(x), False), deterministic=False).mean((1, 2))


class Quiet(nnx.BatchNorm):
    def __call__(self, x: jax.Array) -> jax.Array:  # type: ignore[override]
        return super().__call__(x, use_running_average=False)


class Inherited(Regular):
    """A user's own class calls its parent's ``__call__`` in training mode."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        super().__init__(rngs)
        self.norm = Quiet(4, rngs=rngs)


@pytest.mark.parametrize("network", [Train, Deterministic, Training, Fixed, Inherited])
def test_batch_statistics_are_frozen_and_dropout_is_off_however_that_is_said(
    network: Any, opened_once: Make
) -> None:
    model = opened_once(network)
    names = {"conv.kernel", "conv.bias", "norm.scale", "norm.bias", "norm.mean", "norm.var"}
    assert set(model.parameters) == names  # no state of random generators
    assert [layer.kind for layer in model.layers] == ["conv", "norm", "dropout"]
    before = {name: np.array(value) for name, value in model.parameters.items()}
    expected = module_of(Regular, model.parameters)(X)
    for _ in range(2):
        logits, activations = run(model, X)
        assert_close(logits, expected)
        np.testing.assert_array_equal(activations["drop"], activations["norm"])
    for name, value in before.items():
        np.testing.assert_array_equal(model.parameters[name], value)


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


class Two(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.conv = conv(3, 4, rngs)
        self.shift = nnx.Param(jax.numpy.ones(4))

    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        x = self.conv(x) + self.shift[...]
        return nnx.relu(x), nnx.max_pool(x, (2, 2), (2, 2))


class Outputs(nnx.Module):
    """A block that returns a tuple, a network that returns a dictionary of all there is."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.two = Two(rngs)
        self.head = nnx.Linear(4, 3, rngs=rngs)

    def __call__(self, x: jax.Array) -> Any:
        first, second = self.two(x)
        deep = first.mean((1, 2))
        return {"logits": nnx.softmax(self.head(second.mean((1, 2)))), "aux": [{"deep": deep}]}


@pytest.mark.parametrize("output", ["logits", "aux.0.deep"])
def test_an_output_is_chosen_by_key_and_each_part_of_a_block_is_a_layer(
    output: str, opened_once: Make
) -> None:
    model = opened_once(Outputs, output=output)
    assert listed(model)[1:3] == [("two[0]", "block", (8, 8, 4)), ("two[1]", "block", (4, 4, 4))]
    # Both come of one call: its cost is that of both, and its parameters are counted once.
    assert [model.layer(f"two[{i}]").flops for i in (0, 1)] == [model.layer("two.conv").flops] * 2
    assert [model.layer(f"two[{i}]").parameter_count for i in (0, 1)] == [4, 0]
    shift = model.layer_parameters("two[0]")["shift"]
    np.testing.assert_array_equal(shift, model.parameters["two.shift"])
    module, (scores, activations) = module_of(Outputs, model.parameters), run(model, X)
    first, second = module.two(X)
    assert_close(activations["two[0]"], first)
    assert_close(activations["two[1]"], second)
    returned = module(X)
    if output == "logits":
        assert_close(jax.nn.softmax(scores), returned["logits"])
        assert_close(scores, module.head(second.mean((1, 2))))
    else:
        assert_close(scores, returned["aux"][0]["deep"])


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (
            "",
            "The network returns 2 arrays: aux.0.deep (4,), logits (3,).\n"
            "Choose one: model.output=aux.0.deep",
        ),
        (
            "logit",
            "The network has no output 'logit': it returns aux.0.deep (4,), logits (3,).\n"
            "Did you mean logits?",
        ),
        (
            "zzz",
            "The network has no output 'zzz': it returns aux.0.deep (4,), logits (3,).\n"
            "Known: aux.0.deep, logits.",
        ),
    ],
)
def test_an_output_that_is_not_there_is_refused_by_name(
    output: str, message: str, opened_once: Make
) -> None:
    with pytest.raises(ModelError) as caught:
        opened_once(Outputs, output=output)
    assert str(caught.value) == message


@pytest.mark.parametrize("network", [Containers, Plain, sequential])
def test_a_network_that_pools_takes_images_of_any_size(network: Any, opened_once: Make) -> None:
    model = opened_once(network)
    assert_close(run(model, LARGE)[0], module_of(network, model.parameters)(LARGE))


class Front(nnx.Module):
    """A convolutional front, in front of a dense head that takes one size."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.front = Inner(3, 4, rngs)
        self.head = nnx.Linear(8 * 8 * 4, 3, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.head(self.front(x).reshape(x.shape[0], -1))


class JittedFront(Front):
    @nnx.jit
    def __call__(self, x: jax.Array) -> jax.Array:
        return super().__call__(x)


@pytest.mark.parametrize("network", [Front, JittedFront])
def test_the_front_of_a_network_takes_any_size(network: Any, opened_once: Make) -> None:
    model = opened_once(network)
    module = module_of(network, model.parameters)
    assert_close(run(model, X)[0], module(X))
    assert_close(model.activation("front", LARGE), module.front(LARGE))
    with pytest.raises(TypeError, match=r"dot_general|shape"):
        model.activation("head", LARGE)
