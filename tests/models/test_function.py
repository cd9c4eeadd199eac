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

from .networks import LARGE, X, assert_close, listed, run

SPEC = InputSpec(height=8, width=8, channels=3, fixed_size=True)

Make = Callable[..., Model]
Function = Callable[..., Any]


def shaped(**shapes: Any) -> Function:
    """An ``init`` of one's own: arrays of these shapes in a tree."""

    def init(key: jax.Array) -> Any:
        leaves, tree = jax.tree.flatten(shapes, is_leaf=lambda v: isinstance(v, tuple))
        keys = jax.random.split(key, len(leaves))
        arrays = [jax.random.normal(k, v) for k, v in zip(keys, leaves, strict=True)]
        return jax.tree.unflatten(tree, arrays)

    return init


def tree_of(init: Function, parameters: dict[str, jax.Array]) -> Any:
    """The Model's weights as the user's own tree."""
    leaves, tree = jax.tree_util.tree_flatten_with_path(init(jax.random.key(0)))
    names = [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in leaves]
    return jax.tree.unflatten(tree, [parameters[name] for name in names])


def conv(p: Any, x: jax.Array) -> jax.Array:
    numbers = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, p["w"], (1, 1), "SAME", dimension_numbers=numbers) + p["b"]


def pooled(x: jax.Array) -> jax.Array:
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


SHAPES: dict[str, Any] = {
    "one": {"w": (3, 3, 3, 4), "b": (4,)},
    "two": {"w": (3, 3, 4, 4), "b": (4,)},
    "out": [(4, 5), (5,)],
}
init = shaped(**SHAPES)


def net(params: Any, x: jax.Array) -> jax.Array:
    x = jax.nn.relu(conv(params["one"], x))
    x = pooled(jnp.maximum(conv(params["two"], x), 0))
    return x.mean((1, 2)) @ params["out"][0] + params["out"][1]


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
    params, (logits, activations) = tree_of(init, model.parameters), run(model, X)
    assert_close(logits, scale * net(params, X))
    one = conv(params["one"], X)
    assert_close(activations["one"], one)
    assert_close(activations["two"], conv(params["two"], jax.nn.relu(one)))
    assert_close(run(model, LARGE)[0], scale * net(params, LARGE))


def test_a_tap_is_what_perturbing_the_layer_by_hand_gives(opened_once: Make) -> None:
    model = opened_once(lambda: (init, jax.jit(net)))
    params = tree_of(init, model.parameters)
    step = jnp.asarray(np.random.default_rng(5).normal(0, 0.5, (2, 8, 8, 4)), jnp.float32)

    def by_hand(one: Any, relu: Any, two: Any) -> jax.Array:
        x = jax.nn.relu(conv(params["one"], X) + one) + relu
        x = pooled(jax.nn.relu(conv(params["two"], x) + two))
        return x.mean((1, 2)) @ params["out"][0] + params["out"][1]

    for i, path in enumerate(("one", "relu", "two")):
        steps = [step if j == i else 0.0 for j in range(3)]
        assert_close(run(model, X, {path: step})[0], by_hand(*steps))


def flat(params: Any, x: jax.Array) -> jax.Array:
    return pooled(conv(params["one"], x)).reshape(x.shape[0], -1) @ params["out"]


@pytest.mark.parametrize("function", [flat, jax.jit(flat)], ids=["plain", "jit"])
def test_the_front_of_a_network_takes_any_size(function: Function, opened_once: Make) -> None:
    own = shaped(one=SHAPES["one"], out=(64, 3))
    model = opened_once(lambda: (own, function))
    params = tree_of(own, model.parameters)
    assert_close(run(model, X)[0], flat(params, X))
    assert_close(model.activation("one", LARGE), conv(params["one"], LARGE))
    with pytest.raises(TypeError, match="dot_general"):
        model.activation("out", LARGE)


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
    params, (logits, activations) = tree_of(own, model.parameters), run(model, X)
    assert_close(logits, channels_first(params, X))
    one = conv({"w": params["one"]["w"].transpose(2, 3, 1, 0), "b": params["one"]["b"]}, X)
    assert_close(activations["one"], one)
    bn = params["bn"]
    expected = (one - bn["mean"]) / jnp.sqrt(bn["var"] + 1e-5) * bn["scale"] + bn["bias"]
    assert_close(activations["bn"], expected)
    step = jnp.asarray(np.random.default_rng(5).normal(0, 0.5, (2, 8, 8, 4)), jnp.float32)
    x = pooled(jax.nn.relu(expected + step)).transpose(0, 3, 1, 2).reshape(2, -1)
    assert_close(run(model, X, {"bn": step})[0], x @ params["out"]["w"].T)


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
    _, activations = run(model, X)
    expected = activation(activations["one"])
    assert_close(activations[name], jnp.tanh(activations["one"]) if name == "tanh" else expected)


def loops(params: Any, x: jax.Array) -> jax.Array:
    x = conv(params["one"], x)
    x = lax.fori_loop(0, 3, lambda i, x: jnp.tanh(conv(params["two"], x)) + i, x)
    return x.mean((1, 2)) @ params["out"][0]


def test_rounds_of_a_loop_of_known_length_are_layers(opened_once: Make) -> None:
    model = opened_once(lambda: (init, loops))
    names = ["one", "two", "tanh", "two#2", "tanh#2", "two#3", "tanh#3", "out"]
    assert [layer.path for layer in model.layers] == names
    params, (logits, activations) = tree_of(init, model.parameters), run(model, X)
    assert_close(logits, loops(params, X))
    assert_close(activations["two#2"], conv(params["two"], jnp.tanh(activations["two"])))
    x = activations["two#2"] + 0.5
    x = jnp.tanh(conv(params["two"], jnp.tanh(x) + 1)) + 2
    moved = run(model, X, {"two#2": jnp.full((2, 8, 8, 4), 0.5)})[0]
    assert_close(moved, x.mean((1, 2)) @ params["out"][0])


def scanned(params: Any, x: jax.Array) -> jax.Array:
    x = conv(params["one"], x)
    x, _ = lax.scan(lambda x, p: (jnp.tanh(conv(p, x)), None), x, params["layers"])
    return x.mean((1, 2)) @ params["out"]


def test_rounds_of_a_scan_over_stacked_parameters_are_layers(opened_once: Make) -> None:
    own = shaped(one=SHAPES["one"], layers={"w": (3, 3, 3, 4, 4), "b": (3, 4)}, out=(4, 5))
    model = opened_once(lambda: (own, jax.checkpoint(scanned)))
    params, (logits, activations) = tree_of(own, model.parameters), run(model, X)
    assert_close(logits, scanned(params, X))
    x = activations["one"]
    for i, path in enumerate(("layers", "layers#2", "layers#3")):
        x = conv({name: value[i] for name, value in params["layers"].items()}, x)
        assert_close(activations[path], x)
        x = jnp.tanh(x)
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
    params = tree_of(init, model.parameters)
    assert_close(run(model, X)[0], function(params, X))
    moved = run(model, X, {name: jnp.ones((2, 8, 8, 4))})[0] - run(model, X)[0]
    np.testing.assert_allclose(moved, np.tile(params["out"][0].sum(0), (2, 1)), atol=1e-3)


def several(params: Any, x: jax.Array) -> Any:
    x = conv(params["one"], x).mean((1, 2))
    return x @ params["out"][0], {"deep": [jnp.tanh(x)]}


@pytest.mark.parametrize("output", ["0", "1.deep.0"])
def test_an_output_is_chosen_by_place_and_key(output: str, opened_once: Make) -> None:
    model = opened_once(lambda: (init, several), output=output)
    first, second = several(tree_of(init, model.parameters), X)
    assert_close(run(model, X)[0], {"0": first}.get(output, second["deep"][0]))


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (
            "",
            "The network returns 2 arrays: 0 (5,), 1.deep.0 (4,).\nChoose one: model.output=0",
        ),
        (
            "1.deep",
            "The network has no output '1.deep': it returns 0 (5,), 1.deep.0 (4,).\n"
            "Did you mean 1.deep.0?",
        ),
    ],
)
def test_an_output_that_is_not_there_is_refused_by_name(
    output: str, message: str, opened_once: Make
) -> None:
    with pytest.raises(ModelError) as caught:
        opened_once(lambda: (init, several), output=output)
    assert str(caught.value) == message


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
    hidden = np.tanh(np.asarray(X).mean((1, 2)) @ weights["w1"] + weights["b1"])
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
