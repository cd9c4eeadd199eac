"""Plain functions f(params, x) as users write them, against JAX's own evaluation of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from reportgen.core.errors import ModelError, WeightsError
from reportgen.core.spec import InputSpec
from reportgen.models.base import Model
from tests.at_once import at_once

from .functions import SHAPES, Function, conv, init, net, pooled, shaped, tree_of
from .networks import LARGE, X, assert_close, beside, listed, run

SPEC = InputSpec(height=8, width=8, channels=3, fixed_size=True)

Make = Callable[..., Model]


NET = [
    ("one", "conv", (8, 8, 4)),
    ("relu", "activation", (8, 8, 4)),
    ("two", "conv", (8, 8, 4)),
    ("relu#2", "activation", (8, 8, 4)),
    ("max_pool", "pool", (4, 4, 4)),
    ("out", "dense", (5,)),
]


class Object:
    def __call__(self, params: Any, x: jax.Array) -> jax.Array:
        return net(params, x)


def scaled(params: Any, x: jax.Array, scale: float) -> jax.Array:
    return net(params, x) * scale


def trained(params: Any, x: jax.Array, *, train: bool = True) -> jax.Array:
    return net(params, x) * (2.0 if train else 1.0)


WAYS: dict[str, tuple[Function, Function, float]] = {
    "function": (init, net, 1.0),
    "jit": (jax.jit(init), jax.jit(net), 1.0),
    "jit with a static argument": (init, jax.jit(trained, static_argnames="train"), 1.0),
    "checkpoint": (init, jax.checkpoint(net), 1.0),
    "partial": (init, partial(scaled, scale=3.0), 3.0),
    "partial of jit": (init, partial(jax.jit(scaled), scale=3.0), 3.0),
    "lambdas": (lambda key: init(key), lambda p, x: net(p, x), 1.0),
    "object": (init, Object(), 1.0),
    "training is an argument": (init, trained, 1.0),
    "training is bound": (init, partial(trained, train=True), 1.0),
}


@pytest.mark.parametrize("way", WAYS)
def test_layers_are_named_by_their_parameters_however_the_function_is_given(
    way: str, opened_once: Make
) -> None:
    own_init, function, scale = WAYS[way]

    def pair() -> Any:
        return own_init, function

    model = opened_once(pair)
    assert listed(model) == NET
    assert model.layer("one").parameters == (("b", (4,)), ("w", (3, 3, 3, 4)))
    assert model.layer("out").parameters == (("0", (4, 5)), ("1", (5,)))
    assert model.flops == 2 * 64 * 9 * (3 * 4 + 4 * 4) + 2 * 4 * 5

    def all_of_it(model: Model, x: jax.Array, large: jax.Array) -> Any:
        params = tree_of(init, model.parameters)
        one = conv(params["one"], x)
        two = conv(params["two"], jax.nn.relu(one))
        scores = [model.apply(v)[0] for v in (x, large)]
        expected = [scale * net(params, v) for v in (x, large)]
        return scores, expected, model.apply(x)[1], {"one": one, "two": two}

    scores, expected, activations, by_hand = at_once(all_of_it, model, X, LARGE)
    for found, wanted in zip(scores, expected, strict=True):
        assert_close(found, wanted)
    for path, wanted in by_hand.items():
        assert_close(activations[path], wanted)


def test_a_tap_is_what_perturbing_the_layer_by_hand_gives(opened_once: Make) -> None:
    model = opened_once(lambda: (init, jax.jit(net)))
    step = np.random.default_rng(5).normal(0, 0.5, (2, 8, 8, 4)).astype(np.float32)
    paths = ("one", "relu", "two")

    def all_of_it(model: Model, x: jax.Array, step: jax.Array) -> Any:
        params = tree_of(init, model.parameters)

        def by_hand(one: Any, relu: Any, two: Any) -> jax.Array:
            y = jax.nn.relu(conv(params["one"], x) + one) + relu
            y = pooled(jax.nn.relu(conv(params["two"], y) + two))
            return y.mean((1, 2)) @ params["out"][0] + params["out"][1]

        moved = [model.apply(x, {path: step})[0] for path in paths]
        return moved, [by_hand(*(step if p == path else 0.0 for p in paths)) for path in paths]

    for path, moved, expected in zip(paths, *at_once(all_of_it, model, X, step), strict=True):
        np.testing.assert_allclose(moved, expected, rtol=1e-5, atol=1e-5, err_msg=path)


def channels_first(params: Any, x: jax.Array) -> jax.Array:
    """NCHW inside, as it comes out of PyTorch, with a batch norm."""

    def along(v: jax.Array) -> jax.Array:
        return v[:, None, None]

    x = lax.conv_general_dilated(x.transpose(0, 3, 1, 2), params["one"]["w"], (1, 1), "SAME")
    norm, x = params["bn"], x + along(params["one"]["b"])
    x = (x - along(norm["mean"])) / jnp.sqrt(along(norm["var"]) + 1e-5)
    x = jax.nn.relu(x * along(norm["scale"]) + along(norm["bias"]))
    x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
    return x.reshape(x.shape[0], -1) @ params["out"]["w"].T


def test_channels_that_come_first_inside_come_last_in_what_is_seen(opened_once: Make) -> None:
    norm = dict.fromkeys(("scale", "bias", "mean", "var"), (4,))
    own = shaped(one={"w": (4, 3, 3, 3), "b": (4,)}, bn=norm, out={"w": (5, 64)})
    model = opened_once(lambda: (own, channels_first))
    assert listed(model) == [
        ("one", "conv", (8, 8, 4)),
        ("bn", "norm", (8, 8, 4)),
        ("relu", "activation", (8, 8, 4)),
        ("max_pool", "pool", (4, 4, 4)),
        ("out", "dense", (5,)),
    ]
    step = np.random.default_rng(5).normal(0, 0.5, (2, 8, 8, 4)).astype(np.float32)

    def all_of_it(model: Model, x: jax.Array, step: jax.Array) -> Any:
        params = tree_of(own, model.parameters)
        first, bn = params["one"], params["bn"]
        one = conv({"w": first["w"].transpose(2, 3, 1, 0), "b": first["b"]}, x)
        normed = (one - bn["mean"]) / jnp.sqrt(bn["var"] + 1e-5) * bn["scale"] + bn["bias"]
        y = pooled(jax.nn.relu(normed + step)).transpose(0, 3, 1, 2).reshape(2, -1)
        return (
            model.apply(x),
            (channels_first(params, x), {"one": one, "bn": normed}),
            model.apply(x, {"bn": step})[0],
            y @ params["out"]["w"].T,
        )

    found, wanted, moved, expected = at_once(all_of_it, model, X, step)
    assert_close(found[0], wanted[0])
    for path, activation in wanted[1].items():
        assert_close(found[1][path], activation)
    assert_close(moved, expected)


@pytest.mark.parametrize(
    ("activation", "name"),
    [
        (jax.nn.gelu, "gelu"),
        (partial(jax.nn.gelu, approximate=False), "gelu"),
        (lambda x: 0.5 * x * (1 + lax.erf(x / np.sqrt(2))), "gelu"),
        (jax.nn.silu, "silu"),
        (jax.nn.leaky_relu, "leaky_relu"),
        (jnp.tanh, "tanh"),
        (lambda x: 1.0 + jnp.tanh(x), "tanh"),
        (jax.nn.sigmoid, "sigmoid"),
    ],
)
def test_activations_are_layers_whose_output_is_the_activation(
    activation: Any, name: str, opened_once: Make
) -> None:
    def f(params: Any, x: jax.Array) -> jax.Array:
        return activation(conv(params["one"], x)).mean((1, 2)) @ params["out"][0]

    model = opened_once(lambda: (init, f))
    assert [layer.path for layer in model.layers] == ["one", name, "out"]
    wanted = jnp.tanh if name == "tanh" else activation
    (_, activations), expected = beside(
        model, lambda parameters, x: wanted(conv(tree_of(init, parameters)["one"], x))
    )
    assert_close(activations[name], expected)


def loops(params: Any, x: jax.Array) -> jax.Array:
    x = conv(params["one"], x)
    x = lax.fori_loop(0, 3, lambda i, x: jnp.tanh(conv(params["two"], x)) + i, x)
    return x.mean((1, 2)) @ params["out"][0]


def test_rounds_of_a_loop_of_known_length_are_layers(opened_once: Make) -> None:
    model = opened_once(lambda: (init, loops))
    names = ["one", "two", "tanh", "two#2", "tanh#2", "two#3", "tanh#3", "out"]
    assert [layer.path for layer in model.layers] == names

    def all_of_it(model: Model, x: jax.Array) -> Any:
        params = tree_of(init, model.parameters)
        second = conv(params["two"], jnp.tanh(conv(params["two"], conv(params["one"], x))))
        y = jnp.tanh(conv(params["two"], jnp.tanh(second + 0.5) + 1)) + 2
        return (
            model.apply(x),
            (loops(params, x), second),
            model.apply(x, {"two#2": jnp.full((2, 8, 8, 4), 0.5)})[0],
            y.mean((1, 2)) @ params["out"][0],
        )

    (logits, activations), (expected, second), moved, by_hand = at_once(all_of_it, model, X)
    assert_close(logits, expected)
    assert_close(activations["two#2"], second)
    assert_close(moved, by_hand)


def scanned(params: Any, x: jax.Array) -> jax.Array:
    x = conv(params["one"], x)
    x, _ = lax.scan(lambda x, p: (jnp.tanh(conv(p, x)), None), x, params["layers"])
    return x.mean((1, 2)) @ params["out"]


def test_rounds_of_a_scan_over_stacked_parameters_are_layers(opened_once: Make) -> None:
    own = shaped(one=SHAPES["one"], layers={"w": (3, 3, 3, 4, 4), "b": (3, 4)}, out=(4, 5))
    model = opened_once(lambda: (own, jax.checkpoint(scanned)))
    paths = ("layers", "layers#2", "layers#3")

    def by_hand(parameters: dict[str, jax.Array], x: jax.Array) -> Any:
        params, kept = tree_of(own, parameters), {}
        y = conv(params["one"], x)
        for i, path in enumerate(paths):
            kept[path] = conv({name: value[i] for name, value in params["layers"].items()}, y)
            y = jnp.tanh(kept[path])
        return scanned(params, x), kept

    (logits, activations), (expected, kept) = beside(model, by_hand)
    assert_close(logits, expected)
    for path in paths:
        assert_close(activations[path], kept[path])
    assert [layer.flops for layer in model.layers if "layers" in layer.path] == [18432] * 3


def branch(params: Any, x: jax.Array) -> jax.Array:
    x = conv(params["one"], x)
    x = lax.cond(x.sum() > 0, lambda x: conv(params["two"], x), lambda x: -x, x)
    return x.mean((1, 2)) @ params["out"][0]


def unknown(params: Any, x: jax.Array) -> jax.Array:
    x = conv(params["one"], x)
    x = lax.while_loop(lambda x: (x**2).sum() < 1e4, lambda x: 2 * conv(params["two"], x), x)
    return x.mean((1, 2)) @ params["out"][0]


@pytest.mark.parametrize(("function", "name"), [(branch, "cond"), (unknown, "while")])
def test_what_runs_in_a_branch_or_a_loop_of_unknown_length_is_one_layer(
    function: Function, name: str, opened_once: Make
) -> None:
    model = opened_once(lambda: (init, function))
    assert listed(model) == [
        ("one", "conv", (8, 8, 4)),
        (name, "block", (8, 8, 4)),
        ("out", "dense", (5,)),
    ]

    def all_of_it(model: Model, x: jax.Array) -> Any:
        moved = model.apply(x, {name: jnp.ones((2, 8, 8, 4))})[0]
        return model.apply(x)[0], moved, function(tree_of(init, model.parameters), x)

    logits, moved, expected = at_once(all_of_it, model, X)
    assert_close(logits, expected)
    steps = np.asarray(model.parameters["out.0"]).sum(axis=0)
    np.testing.assert_allclose(moved - logits, np.tile(steps, (2, 1)), atol=1e-3)


def test_parameters_of_a_function_without_init_are_those_of_the_file(
    opened: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(3)
    tensors = {"w1": (3, 6), "b1": (6,), "w2": (6, 2), "b2": (2,)}
    weights = {name: random.normal(size=s).astype("f4") for name, s in tensors.items()}
    np.savez(tmp_path / "net.npz", **weights)
    (tmp_path / "bare_function.py").write_text(
        "import jax.numpy as jnp\n\n\n"
        "def net():\n"
        "    return lambda p, x: jnp.tanh(x.mean((1, 2)) @ p['w1'] + p['b1']) @ p['w2'] + p['b2']\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    model = opened(
        "model=custom", "model.factory=bare_function:net", f"weights.path={tmp_path / 'net.npz'}",
        "model.input.height=8", "model.input.width=8",
    )  # fmt: skip
    assert [layer.path for layer in model.layers] == ["w1", "tanh", "w2"]
    hidden = np.tanh(X.mean((1, 2)) @ weights["w1"] + weights["b1"])
    assert_close(run(model, X)[0], hidden @ weights["w2"] + weights["b2"])


def test_weights_that_are_another_networks_are_named_with_their_keys(
    opened: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez(tmp_path / "other.npz", **{"stem.kernel": np.zeros((3, 6)), "top": np.zeros(6)})
    (tmp_path / "keyed_function.py").write_text(
        "def net():\n    return lambda p, x: x.mean((1, 2)) @ p['c']['w']\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        WeightsError,
        match=r"other.npz holds the weights of another network: keyed_function:net raised "
        r"KeyError: 'c' \(keyed_function.py:2\). The file has stem.kernel, top.\nGive the weights",
    ):
        opened(
            "model=custom", "model.factory=keyed_function:net",
            f"weights.path={tmp_path / 'other.npz'}",
            "model.input.height=8", "model.input.width=8",
        )  # fmt: skip


@pytest.mark.parametrize("returned", ["text", {"logits": jnp.ones((1, 2)), "name": "text"}])
def test_what_is_no_array_is_refused_in_words(returned: Any, opened_once: Make) -> None:
    with pytest.raises(
        ModelError, match=r"^The network returns a str where an array is expected: 'text'.\nReturn"
    ):
        opened_once(lambda: (init, lambda params, x: returned))


def test_a_function_that_raises_says_where(opened_once: Make) -> None:
    def f(params: Any, x: jax.Array) -> jax.Array:
        return x @ params["three"]

    with pytest.raises(ModelError, match=r"KeyError: 'three' \(test_function\.py:\d+\)\.\nCompare"):
        opened_once(lambda: (init, f))
