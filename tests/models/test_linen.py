"""Flax Linen networks as users write them, against Linen's own evaluation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from reportgen.core.errors import ModelError
from reportgen.core.spec import InputSpec
from reportgen.models import factory
from reportgen.models.base import Model
from tests.at_once import at_once

from .linen_modules import Inner, Regular, Tuples, Two, nested, of
from .networks import X, assert_close, beside, listed, run

SPEC = InputSpec(height=8, width=8, channels=3, fixed_size=True)

Make = Callable[..., Model]


class Compact(nn.Module):
    """Modules in modules, named and not, one of them called twice."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = Inner(4)(x)
        shared = nn.Conv(4, (1, 1), name="shared")
        x = shared(nn.relu(shared(x)))
        x = Inner(5, name="inner")(x)
        return nn.Dense(6)(x.mean((1, 2)))


class Setup(nn.Module):
    """The other style: lists and dictionaries of modules, an activation module, a submodule."""

    def setup(self) -> None:
        self.convs = [nn.Conv(4, (3, 3)), nn.Conv(4, (3, 3), strides=2)]
        self.heads = {"a": nn.Dense(3), "b": nn.Dense(5)}
        self.act = nn.PReLU()
        self.inner = Inner(4)

    def __call__(self, x: jax.Array) -> jax.Array:
        for conv in self.convs:
            x = self.act(conv(x))
        x = self.inner(x).mean((1, 2))
        return jnp.concatenate([self.heads["a"](x), self.heads["b"](x)], axis=-1)


def test_compact_modules_are_named_as_linen_names_them(opened_once: Make) -> None:
    model = opened_once(Compact)
    assert listed(model) == [
        ("Inner_0.Conv_0", "conv", (8, 8, 4)),
        ("Inner_0", "block", (8, 8, 4)),
        ("shared", "conv", (8, 8, 4)),
        ("shared#2", "conv", (8, 8, 4)),
        ("inner.Conv_0", "conv", (8, 8, 5)),
        ("inner", "block", (8, 8, 5)),
        ("Dense_0", "dense", (6,)),
    ]
    by_path = {layer.path: layer for layer in model.layers}
    assert by_path["shared"].parameters == (("bias", (4,)), ("kernel", (1, 1, 4, 4)))
    assert by_path["shared#2"].parameters == ()
    assert by_path["shared"].flops == by_path["shared#2"].flops == 2 * 64 * 4 * 4
    assert model.flops == 2 * 64 * (27 * 4 + 16 + 16 + 36 * 5) + 2 * 5 * 6


def test_setup_modules_are_named_by_their_attributes(opened_once: Make) -> None:
    model = opened_once(Setup)
    assert listed(model) == [
        ("convs_0", "conv", (8, 8, 4)),
        ("act", "activation", (8, 8, 4)),
        ("convs_1", "conv", (4, 4, 4)),
        ("act#2", "activation", (4, 4, 4)),
        ("inner.Conv_0", "conv", (4, 4, 4)),
        ("inner", "block", (4, 4, 4)),
        ("heads_a", "dense", (3,)),
        ("heads_b", "dense", (5,)),
    ]


@pytest.mark.parametrize("network", [Compact, Setup])
def test_outputs_of_all_layers_are_linens_own(network: Any, opened_once: Make) -> None:
    """Linen keeps what each ``__call__`` returned, in the order of the calls."""
    model = opened_once(network)
    own = of(network(), capture_intermediates=True, mutable=["intermediates"])
    (logits, activations), (expected, kept) = beside(model, own)
    assert_close(logits, expected)
    for path, activation in activations.items():
        module, _, call = path.partition("#")
        level: Any = kept["intermediates"]
        for part in module.split("."):
            level = level[part]
        assert_close(activation, level["__call__"][int(call or 1) - 1])


class Attentive(nn.Module):
    """Dropout is inside of Linen's own attention."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        tokens = nn.Dense(4, name="embed")(x.reshape(x.shape[0], -1, 3))
        tokens = nn.MultiHeadDotProductAttention(2, dropout_rate=0.5, name="mix")(tokens)
        return nn.Dense(3, name="head")(tokens.mean(1))


class Told(Attentive):
    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        tokens = nn.Dense(4, name="embed")(x.reshape(x.shape[0], -1, 3))
        mix = nn.MultiHeadDotProductAttention(2, dropout_rate=0.5, name="mix", deterministic=True)
        return nn.Dense(3, name="head")(mix(tokens).mean(1))


def test_attention_runs_without_dropout(opened_once: Make) -> None:
    model = opened_once(Attentive)
    (logits, _), expected = beside(model, of(Told()))
    assert_close(logits, expected)
    assert listed(model)[1:] == [
        ("mix.query", "dense", (64, 2, 2)),
        ("mix.key", "dense", (64, 2, 2)),
        ("mix.value", "dense", (64, 2, 2)),
        ("mix.out", "dense", (64, 4)),
        ("mix", "attention", (64, 4)),
        ("head", "dense", (3,)),
    ]


class Body(nn.Module):
    """One round: two layers, one of them in a module of its own."""

    @nn.compact
    def __call__(self, x: jax.Array, _: Any) -> tuple[jax.Array, jax.Array]:
        y = nn.relu(nn.Conv(4, (3, 3), name="conv")(x))
        y = Inner(4, name="inner")(y)
        return x + y, y.mean()


class Scanned(nn.Module):
    rounds: int = 3
    reverse: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.Conv(4, (3, 3), name="stem")(x)
        stack = nn.scan(
            Body,
            variable_axes={"params": 0},
            split_rngs={"params": True},
            length=self.rounds,
            reverse=self.reverse,
        )
        x, means = stack(name="layers")(x, None)
        return nn.Dense(3, name="head")(x.mean((1, 2))) + means.sum()


@pytest.mark.parametrize("reverse", [False, True])
def test_rounds_of_a_scan_are_layers_with_slices_of_its_parameters(
    reverse: bool, opened_once: Make
) -> None:
    model = opened_once(partial(Scanned, reverse=reverse) if reverse else Scanned)
    order = [2, 1, 0] if reverse else [0, 1, 2]
    convs = [layer for layer in model.layers if layer.path.startswith("layers.conv")]
    assert [layer.path for layer in convs] == ["layers.conv", "layers.conv#2", "layers.conv#3"]
    assert [layer.round for layer in convs] == order
    assert {layer.parameters for layer in convs} == {(("bias", (4,)), ("kernel", (3, 3, 4, 4)))}
    assert {layer.flops for layer in convs} == {2 * 64 * 9 * 4 * 4}
    assert model.layer("stem").round is None
    assert model.parameters["layers.conv.kernel"].shape == (3, 3, 3, 4, 4)
    for layer in convs:
        own = model.layer_parameters(layer.path)
        np.testing.assert_array_equal(
            own["kernel"], model.parameters["layers.conv.kernel"][layer.round]
        )
    assert sum(layer.parameter_count for layer in model.layers) == model.parameter_count

    def own(parameters: dict[str, jax.Array], x: jax.Array) -> Any:
        """The logits, and by round what its first layer and the round itself return."""
        stacked = {
            name.removeprefix("layers."): value
            for name, value in parameters.items()
            if name.startswith("layers.")
        }
        rounds = []
        y = nn.Conv(4, (3, 3)).apply({"params": nested(parameters)["params"]["stem"]}, x)
        for i in order:
            weights = nested({name: value[i] for name, value in stacked.items()})
            conv = nn.Conv(4, (3, 3)).apply({"params": weights["params"]["conv"]}, y)
            y, mean = Body().apply(weights, y, None)
            rounds.append((conv, y, mean))
        return of(Scanned(reverse=reverse))(parameters, x), rounds

    (logits, activations), (expected, rounds) = beside(model, own)
    assert_close(logits, expected)
    for call, (conv, y, mean) in enumerate(rounds):
        suffix = f"#{call + 1}" if call else ""
        assert_close(activations[f"layers.conv{suffix}"], conv)
        assert_close(activations[f"layers{suffix}[0]"], y)
        assert_close(activations[f"layers{suffix}[1]"], mean)


class Rematted(nn.Module):
    """nn.remat and nn.jit on classes and on methods; blocks of equal configuration."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.Conv(4, (3, 3), name="stem")(x)
        for i in range(2):
            x = nn.remat(Inner)(4, name=f"remat{i}")(x)
        for i in range(2):
            x = nn.jit(Inner)(4, name=f"jit{i}")(x)
        return nn.Dense(3, name="head")(x.mean((1, 2)))


class Unwrapped(nn.Module):
    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.Conv(4, (3, 3), name="stem")(x)
        for name in ("remat0", "remat1", "jit0", "jit1"):
            x = Inner(4, name=name)(x)
        return nn.Dense(3, name="head")(x.mean((1, 2)))


def test_layers_in_remat_and_jit_are_found_under_their_own_names(opened_once: Make) -> None:
    model, plain = opened_once(Rematted), opened_once(Unwrapped)
    assert listed(model) == listed(plain)
    assert model.flops == plain.flops
    assert model.layers == plain.layers
    plain = plain.with_parameters(model.parameters)
    (logits, found), (expected, wanted) = at_once(
        lambda model, plain, x: (model.apply(x), plain.apply(x)), model, plain, X
    )
    assert_close(logits, expected)
    for path, activation in wanted.items():
        assert_close(found[path], activation)


@pytest.mark.parametrize(
    ("network", "path", "shape"),
    [
        (Compact, "shared", (2, 8, 8, 4)),
        (Compact, "shared#2", (2, 8, 8, 4)),
        (Scanned, "layers.conv", (2, 8, 8, 4)),
        (Scanned, "layers.conv#2", (2, 8, 8, 4)),
        (Scanned, "layers.inner.Conv_0#3", (2, 8, 8, 4)),
        (Rematted, "remat0.Conv_0", (2, 8, 8, 4)),
        (Rematted, "jit1", (2, 8, 8, 4)),
        (Regular, "BatchNorm_0", (2, 8, 8, 4)),
    ],
)
def test_a_tap_is_what_perturbing_the_layer_by_hand_gives(
    network: Any, path: str, shape: tuple[int, ...], opened_once: Make
) -> None:
    """By hand: an interceptor of Linen's adds to what the module returns in that call."""
    model = opened_once(network)
    step = np.random.default_rng(5).normal(0, 0.1, shape).astype(np.float32)
    module, _, call = path.partition("#")
    change, given = UNROLLED.get(network, (network, lambda variables: variables))
    turn = int(call or 1)
    if change is ByHand:
        module, turn = module.replace("layers", f"layers{turn - 1}"), 1

    def all_of_it(model: Model, x: jax.Array, step: jax.Array) -> Any:
        def score(tap: jax.Array) -> jax.Array:
            return model.apply(x, {path: tap})[0][:, 1].sum()

        zero = jnp.zeros(shape)
        backward = jnp.vdot(jax.grad(score)(zero), step)
        forward = jax.jvp(score, (zero,), (step,))[1]
        # Far from zero, against the network that really is perturbed.
        moved = model.apply(x, {path: step})[0]
        return (
            backward,
            forward,
            moved,
            perturbed(change, given(nested(model.parameters)), x, module, turn, step),
        )

    backward, forward, moved, expected = at_once(all_of_it, model, X, step)
    assert_close(backward, forward)
    assert_close(moved, expected)


class ByHand(nn.Module):
    """``Scanned`` as a loop over modules of its own."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.Conv(4, (3, 3), name="stem")(x)
        means = jnp.zeros(())
        for i in range(3):
            x, mean = Body(name=f"layers{i}")(x, None)
            means = means + mean
        return nn.Dense(3, name="head")(x.mean((1, 2))) + means


def _one_by_one(variables: dict[str, Any]) -> dict[str, Any]:
    rest = dict(variables["params"])
    stacked = rest.pop("layers")
    rounds = {f"layers{i}": jax.tree.map(lambda v, i=i: v[i], stacked) for i in range(3)}
    return {"params": rest | rounds}


# Networks that Linen runs in loops or calls of its own: the same without, and its variables.
UNROLLED: dict[Any, Any] = {
    Scanned: (ByHand, _one_by_one),
    Rematted: (Unwrapped, lambda variables: variables),
}


def perturbed(
    network: Any, variables: Any, x: jax.Array, path: str, call: int, step: jax.Array
) -> jax.Array:
    """What the network returns if a module's output is moved in one of its calls."""
    calls = 0

    def interceptor(following: Any, args: Any, kwargs: Any, context: Any) -> Any:
        nonlocal calls
        output = following(*args, **kwargs)
        if context.method_name == "__call__" and ".".join(context.module.path) == path:
            calls += 1
            if calls == call:
                return output + step
        return output

    more = {"train": False} if network is Regular else {}
    with nn.intercept_methods(interceptor):
        moved: jax.Array = network().apply(variables, x, **more)
    return moved


def test_each_part_of_what_a_block_returns_is_a_layer(opened_once: Make) -> None:
    model = opened_once(Tuples, output="logits")
    assert listed(model) == [
        ("two.Conv_0", "conv", (8, 8, 4)),
        ("two[0]", "block", (8, 8, 4)),
        ("two[1]", "block", (4, 4, 4)),
        ("head", "dense", (3,)),
        ("aux", "dense", (7,)),
    ]

    def all_of_it(model: Model, x: jax.Array) -> Any:
        moved = model.apply(x, {"two[1]": jnp.ones((2, 4, 4, 4))})[0]
        own = Two().apply({"params": nested(model.parameters)["params"]["two"]}, x)
        return model.apply(x), own, moved, model.activation("two[1]", x)

    (logits, activations), (first, second), moved, alone = at_once(all_of_it, model, X)
    assert_close(activations["two[0]"], first)
    assert_close(activations["two[1]"], second)
    assert_close(alone, second)
    head = np.asarray(model.parameters["head.kernel"])
    assert_close(moved - logits, np.tile(head.sum(axis=0), (2, 1)))


class Methods(nn.Module):
    """``__call__`` goes through methods of its own and of a submodule."""

    def setup(self) -> None:
        self.body = Encoder()
        self.head = nn.Dense(3)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.classify(self.body.encode(x))

    def classify(self, features: jax.Array) -> jax.Array:
        return self.head(features.mean((1, 2)))


class Encoder(nn.Module):
    def setup(self) -> None:
        self.conv = nn.Conv(4, (3, 3))

    def encode(self, x: jax.Array) -> jax.Array:
        return nn.relu(self.conv(x))

    def __call__(self, x: jax.Array) -> jax.Array:
        raise AssertionError("is not called")


def test_methods_other_than_call_are_run_and_their_modules_listed(opened_once: Make) -> None:
    model = opened_once(Methods)
    assert listed(model) == [("body.conv", "conv", (8, 8, 4)), ("head", "dense", (3,))]
    (logits, _), expected = beside(model, of(Methods()))
    assert_close(logits, expected)


class Own(nn.Module):
    """A user's own layer says its kind, and holds parameters of its own."""

    kind = "activation"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return x * self.param("scale", nn.initializers.constant(2.0), (3,))


def test_a_root_that_holds_parameters_and_a_layer_that_says_its_kind(opened_once: Make) -> None:
    class Net(nn.Module):
        @nn.compact
        def __call__(self, x: jax.Array) -> jax.Array:
            x = Own(name="own")(x).mean((1, 2))
            return x @ self.param("w", nn.initializers.normal(1.0), (3, 4))

    model = opened_once(Net)
    assert listed(model) == [("own", "activation", (8, 8, 3))]
    assert set(model.parameters) == {"own.scale", "w"}
    (logits, _), expected = beside(model, of(Net()))
    assert_close(logits, expected)


def test_variables_of_one_name_in_two_collections_are_told_apart(opened_once: Make) -> None:
    class Twice(nn.Module):
        @nn.compact
        def __call__(self, x: jax.Array) -> jax.Array:
            scale = self.param("scale", nn.initializers.ones, (3,))
            offset = self.variable("constants", "scale", lambda: jnp.zeros(3)).value
            return (x * scale + offset).mean((1, 2))

    model = opened_once(Twice)
    assert set(model.parameters) == {"params.scale", "constants.scale"}
    expected = X.mean((1, 2)) * np.asarray(model.parameters["params.scale"])
    assert_close(run(model)[0], expected + np.asarray(model.parameters["constants.scale"]))


class Constants(nn.Module):
    """Attributes that have no hash: a list, and an array that the factory makes."""

    widths: Any
    mean: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = x - self.mean
        for width in self.widths:
            x = nn.relu(nn.Conv(width, (3, 3))(x))
        return x.mean((1, 2))


def test_a_module_may_hold_lists_and_arrays(opened_once: Make) -> None:
    def network() -> nn.Module:
        return Constants([4, 5], jnp.array([0.5, 0.25, -1.0]))

    model = opened_once(network)
    assert [layer.shape for layer in model.layers] == [(8, 8, 4), (8, 8, 5)]
    (logits, _), expected = beside(model, of(network()))
    assert_close(logits, expected)


def test_a_module_that_does_not_fit_its_input_is_refused(opened_once: Make) -> None:
    class Strict(nn.Module):
        @nn.compact
        def __call__(self, x: jax.Array) -> jax.Array:
            if x.shape[-1] != 1:
                raise ValueError(f"grey images only, not {x.shape[-1]} channels")
            return nn.Dense(3)(x.mean((1, 2)))

    with pytest.raises(ModelError) as caught:
        opened_once(Strict)
    assert str(caught.value) == (
        "The Linen module Strict does not initialise on an input of (8, 8, 3) (height, width, "
        "channels): ValueError: grey images only, not 3 channels\n"
        "Compare model.input and model.kwargs with what it expects."
    )


def test_initial_weights_are_linens_own_from_a_seed() -> None:
    adapted = factory.adapt_made(factory.calling("test:net", Regular, {}), SPEC)
    weights = adapted.initial(0)
    kernel = np.asarray(weights["Conv_0.kernel"])
    assert 0.5 < kernel.std() * np.sqrt(27) < 1.5  # LeCun's scale
    for name, value in {"Dense_0.bias": 0, "BatchNorm_0.mean": 0, "BatchNorm_0.var": 1}.items():
        np.testing.assert_array_equal(weights[name], value)
    np.testing.assert_array_equal(adapted.initial(0)["Conv_0.kernel"], kernel)
