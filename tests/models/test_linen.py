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
from reportgen.models.base import Model

SPEC = InputSpec(height=8, width=8, channels=3, fixed_size=True)
RANDOM = np.random.default_rng(1)
X = jnp.asarray(RANDOM.normal(size=(2, 8, 8, 3)), jnp.float32)

Make = Callable[..., Model]


def nested(parameters: dict[str, jax.Array]) -> dict[str, Any]:
    """Linen's variables from dotted names; ``mean`` and ``var`` are batch statistics."""
    variables: dict[str, Any] = {}
    for name, value in parameters.items():
        *path, last = name.split(".")
        level = variables.setdefault("batch_stats" if last in ("mean", "var") else "params", {})
        for part in path:
            level = level.setdefault(part, {})
        level[last] = value
    return variables


@jax.jit
def run(model: Model, x: jax.Array, taps: Any = None) -> Any:
    return model.apply(x, taps)


def applied(network: nn.Module, parameters: dict[str, jax.Array], x: Any = X, **more: Any) -> Any:
    """Linen's own evaluation."""
    return jax.jit(lambda v, x: network.apply(v, x, **more))(nested(parameters), x)


def assert_close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def listed(model: Model) -> list[tuple[str, str, tuple[int, ...]]]:
    return [(layer.path, layer.kind, layer.shape) for layer in model.layers]


class Inner(nn.Module):
    width: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return nn.relu(nn.Conv(self.width, (3, 3))(x))


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
    logits, activations = run(model, X)
    expected, kept = applied(
        network(), model.parameters, capture_intermediates=True, mutable=["intermediates"]
    )
    assert_close(logits, expected)
    for path, activation in activations.items():
        module, _, call = path.partition("#")
        level: Any = kept["intermediates"]
        for part in module.split("."):
            level = level[part]
        assert_close(activation, level["__call__"][int(call or 1) - 1])


class Regular(nn.Module):
    """Batch norm and dropout by an argument of the call."""

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = True) -> jax.Array:
        x = nn.Conv(4, (3, 3), use_bias=False)(x)
        x = nn.BatchNorm(use_running_average=not train)(x)
        x = nn.Dropout(0.5, deterministic=not train)(nn.relu(x))
        return nn.Dense(3)(x.mean((1, 2)))


class Deterministic(Regular):
    @nn.compact
    def __call__(self, x: jax.Array, *, deterministic: bool) -> jax.Array:
        x = nn.Conv(4, (3, 3), use_bias=False)(x)
        x = nn.BatchNorm(name="BatchNorm_0")(x, use_running_average=deterministic)
        x = nn.Dropout(0.5)(nn.relu(x), deterministic=deterministic)
        return nn.Dense(3)(x.mean((1, 2)))


class Open(Regular):
    """What training or evaluation is said nowhere; Linen itself would raise."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.Conv(4, (3, 3), use_bias=False)(x)
        x = nn.BatchNorm(use_running_average=None)(x)
        x = nn.Dropout(0.5)(nn.relu(x))
        return nn.Dense(3)(x.mean((1, 2)))


class Fixed(Regular):
    """Training is fixed in the constructors, and in one call."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.Conv(4, (3, 3), use_bias=False)(x)
        x = nn.BatchNorm(use_running_average=False)(x)
        x = nn.Dropout(0.5)(nn.relu(x), deterministic=False)
        return nn.Dense(3)(x.mean((1, 2)))


class Positional(Regular):
    """The same by position, which is how a block is told in many a repository."""

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = True) -> jax.Array:
        x = nn.Conv(4, (3, 3), use_bias=False)(x)
        x = nn.BatchNorm()(x, not train)
        x = nn.Dropout(0.5)(nn.relu(x), not train)
        return nn.Dense(3)(x.mean((1, 2)))


@pytest.mark.parametrize("network", [Regular, Deterministic, Open, Fixed, Positional])
def test_batch_statistics_are_used_and_dropout_is_off_however_that_is_said(
    network: Any, opened_once: Make
) -> None:
    model = opened_once(network)
    assert set(model.parameters) == {
        "Conv_0.kernel",
        "BatchNorm_0.scale",
        "BatchNorm_0.bias",
        "BatchNorm_0.mean",
        "BatchNorm_0.var",
        "Dense_0.kernel",
        "Dense_0.bias",
    }
    expected = applied(Regular(), model.parameters, train=False)
    logits, activations = run(model, X)
    assert_close(logits, expected)
    norm = {k: model.parameters[f"BatchNorm_0.{k}"] for k in ("scale", "bias", "mean", "var")}
    by_hand = (activations["Conv_0"] - norm["mean"]) / jnp.sqrt(norm["var"] + 1e-5)
    assert_close(activations["BatchNorm_0"], by_hand * norm["scale"] + norm["bias"])
    assert [layer.kind for layer in model.layers] == ["conv", "norm", "dropout", "dense"]


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
    assert_close(run(model, X)[0], applied(Told(), model.parameters))
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

    logits, activations = run(model, X)
    expected = applied(Scanned(reverse=reverse), model.parameters)
    assert_close(logits, expected)
    x = activations["stem"]
    for call, i in enumerate(order):
        suffix = f"#{call + 1}" if call else ""
        weights = nested(
            {
                name.removeprefix("layers."): value[i]
                for name, value in model.parameters.items()
                if name.startswith("layers.")
            }
        )
        conv = nn.Conv(4, (3, 3)).apply({"params": weights["params"]["conv"]}, x)
        assert_close(activations[f"layers.conv{suffix}"], conv)
        x, mean = Body().apply(weights, x, None)
        assert_close(activations[f"layers{suffix}[0]"], x)
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
    (logits, found), (expected, wanted) = run(model, X), run(plain, X)
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
    step = jnp.asarray(np.random.default_rng(5).normal(0, 0.1, shape), jnp.float32)

    def score(tap: jax.Array) -> jax.Array:
        return model.apply(X, {path: tap})[0][:, 1].sum()

    @jax.jit
    def slopes(zero: jax.Array) -> tuple[jax.Array, jax.Array]:
        return jnp.vdot(jax.grad(score)(zero), step), jax.jvp(score, (zero,), (step,))[1]

    backward, forward = slopes(jnp.zeros(shape))
    assert_close(backward, forward)
    # Far from zero, against the network that really is perturbed.
    module, _, call = path.partition("#")
    unrolled = UNROLLED.get(network)
    variables = nested(model.parameters)
    if unrolled is not None:
        variables, module, call = unrolled[1](variables), *unrolled[2](module, int(call or 1))
    expected = perturbed(unrolled[0] if unrolled else network, module, int(call or 1), step)
    assert_close(run(model, X, {path: step})[0], jax.jit(expected)(variables))


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


UNROLLED: dict[Any, Any] = {
    Scanned: (
        ByHand,
        _one_by_one,
        lambda module, call: (module.replace("layers", f"layers{call - 1}"), 1),
    ),
    Rematted: (Unwrapped, lambda variables: variables, lambda module, call: (module, call)),
}


def perturbed(network: Any, path: str, call: int, step: jax.Array) -> Callable[[Any], jax.Array]:
    calls = 0

    def interceptor(following: Any, args: Any, kwargs: Any, context: Any) -> Any:
        nonlocal calls
        output = following(*args, **kwargs)
        if context.method_name == "__call__" and ".".join(context.module.path) == path:
            calls += 1
            if calls == call:
                return output + step
        return output

    def run(variables: Any) -> jax.Array:
        more = {"train": False} if network is Regular else {}
        with nn.intercept_methods(interceptor):
            return network().apply(variables, X, **more)

    return run


class Tuples(nn.Module):
    """Blocks that return a tuple and a dictionary, and a network that returns both."""

    @nn.compact
    def __call__(self, x: jax.Array) -> Any:
        first, second = Two(name="two")(x)
        pooled = second.mean((1, 2))
        return {
            "logits": nn.softmax(nn.Dense(3, name="head")(pooled)),
            "aux": [pooled, {"deep": nn.Dense(7, name="aux")(first.mean((1, 2)))}],
        }


class Two(nn.Module):
    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        x = nn.Conv(4, (3, 3))(x)
        return nn.relu(x), nn.max_pool(x, (2, 2), (2, 2))


def test_each_part_of_what_a_block_returns_is_a_layer(opened_once: Make) -> None:
    model = opened_once(Tuples, output="logits")
    assert listed(model) == [
        ("two.Conv_0", "conv", (8, 8, 4)),
        ("two[0]", "block", (8, 8, 4)),
        ("two[1]", "block", (4, 4, 4)),
        ("head", "dense", (3,)),
        ("aux", "dense", (7,)),
    ]
    _, activations = run(model, X)
    first, second = Two().apply({"params": nested(model.parameters)["params"]["two"]}, X)
    assert_close(activations["two[0]"], first)
    assert_close(activations["two[1]"], second)
    moved = run(model, X, {"two[1]": jnp.ones((2, 4, 4, 4))})[0] - run(model, X)[0]
    assert_close(moved, jnp.broadcast_to(model.parameters["head.kernel"].sum(0), (2, 3)))
    assert_close(model.activation("two[1]", X), second)


@pytest.mark.parametrize("output", ["logits", "aux.0", "aux.1.deep"])
def test_an_output_is_chosen_by_key(output: str, opened_once: Make) -> None:
    model = opened_once(Tuples, output=output)
    returned = applied(Tuples(), model.parameters)
    expected = {"aux.0": returned["aux"][0], "aux.1.deep": returned["aux"][1]["deep"]}.get(output)
    if expected is None:
        expected = run(model, X)[1]["head"]  # before the softmax
        assert_close(jax.nn.softmax(expected), returned["logits"])
    assert_close(run(model, X)[0], expected)


class Front(nn.Module):
    """A convolutional front, in front of a dense head that takes one size."""

    inner: Any = Inner

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.inner(4, name="front")(x)
        x = nn.max_pool(x, (2, 2), (2, 2))
        x = nn.Conv(5, (3, 3), name="second")(x)
        return nn.Dense(3, name="head")(x.reshape(x.shape[0], -1))


@pytest.mark.parametrize("inner", [Inner, nn.jit(Inner), nn.remat(Inner)])
def test_the_front_of_a_network_takes_any_size(inner: Any, opened_once: Make) -> None:
    model = opened_once(partial(Front, inner))
    large = jnp.asarray(RANDOM.normal(size=(1, 12, 20, 3)), jnp.float32)
    variables = nested(model.parameters)["params"]
    front = Inner(4).apply({"params": variables["front"]}, large)
    assert_close(model.activation("front", large), front)
    pooled = nn.max_pool(front, (2, 2), (2, 2))
    second = nn.Conv(5, (3, 3)).apply({"params": variables["second"]}, pooled)
    assert_close(jax.jit(lambda m, x: m.activation("second", x))(model, large), second)
    with pytest.raises(Exception, match=r"kernel|shape"):
        model.activation("head", large)
    assert_close(model.activation("second", X), run(model, X)[1]["second"])


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
    assert_close(run(model, X)[0], applied(Methods(), model.parameters))


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
    assert_close(run(model, X)[0], applied(Net(), model.parameters))


def test_variables_of_one_name_in_two_collections_are_told_apart(opened_once: Make) -> None:
    class Twice(nn.Module):
        @nn.compact
        def __call__(self, x: jax.Array) -> jax.Array:
            scale = self.param("scale", nn.initializers.ones, (3,))
            offset = self.variable("constants", "scale", lambda: jnp.zeros(3)).value
            return (x * scale + offset).mean((1, 2))

    model = opened_once(Twice)
    assert set(model.parameters) == {"params.scale", "constants.scale"}
    expected = X.mean((1, 2)) * model.parameters["params.scale"]
    assert_close(run(model, X)[0], expected + model.parameters["constants.scale"])


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
    assert_close(run(model, X)[0], applied(network(), model.parameters))


class Padded(nn.Conv):
    """A user's class that extends Linen's own, and leaves out an argument."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return super().__call__(jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))))


class Quiet(nn.BatchNorm):
    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return super().__call__(x, use_running_average=False)


class Inherited(nn.Module):
    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = Padded(4, (3, 3), padding="VALID", use_bias=False, name="Conv_0")(x)
        x = nn.relu(Quiet(name="BatchNorm_0")(x))
        return nn.Dense(3)(x.mean((1, 2)))


def test_a_class_that_calls_its_parents_call_is_one_layer(opened_once: Make) -> None:
    model = opened_once(Inherited)
    assert listed(model) == [
        ("Conv_0", "conv", (8, 8, 4)),
        ("BatchNorm_0", "norm", (8, 8, 4)),
        ("Dense_0", "dense", (3,)),
    ]
    assert_close(run(model, X)[0], applied(Regular(), model.parameters, train=False))


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


def test_initial_weights_are_linens_own_from_a_seed(model_of: Any) -> None:
    model = model_of(Regular, SPEC)
    kernel = np.asarray(model.parameters["Conv_0.kernel"])
    assert 0.5 < kernel.std() * np.sqrt(27) < 1.5  # LeCun's scale
    for name, value in {"Dense_0.bias": 0, "BatchNorm_0.mean": 0, "BatchNorm_0.var": 1}.items():
        np.testing.assert_array_equal(model.parameters[name], value)
    again = model_of(Regular, SPEC)
    np.testing.assert_array_equal(again.parameters["Conv_0.kernel"], kernel)
