"""Whole networks with ``engine.cpu_lowerings`` on and off: equal to rounding, and what is run."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest
from flax import linen as nn

from reportgen.core.spec import InputSpec
from reportgen.models.base import Model
from reportgen.rewrite.interpreter import walk
from reportgen.rewrite.rectifiers import RectifierRule

os.environ.setdefault("KERAS_BACKEND", "jax")  # read by Keras when it is first imported
keras: Any = importlib.import_module("keras")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

Opened = Callable[..., Model]


class Linen(nn.Module):
    """Poolings of Linen, a 1 x 1 convolution, and a softmax at the end."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.relu(nn.Conv(8, (3, 3), name="conv")(x))
        x = nn.max_pool(x, (3, 3), (2, 2), "SAME")
        x = nn.avg_pool(nn.relu(nn.Conv(4, (1, 1), name="mix")(x)), (2, 2), (2, 2))
        x = nn.relu(nn.Conv(4, (5, 5), feature_group_count=4, name="depthwise")(x))
        return nn.softmax(nn.Dense(5, name="head")(x.reshape(len(x), -1)))


def spec(side: int) -> InputSpec:
    return InputSpec(height=side, width=side, channels=3, fixed_size=True)


def keras_network() -> Any:
    """Depthwise and 1 x 1 convolutions, with and without stride, as in MobileNet."""
    layers = keras.layers
    parts = [keras.Input((32, 32, 3)), layers.Conv2D(8, 3, strides=2, use_bias=False)]
    for stride in (1, 2):
        parts += [
            *(layers.Conv2D(12, 1), layers.BatchNormalization(), layers.ReLU(6.0)),
            *(layers.DepthwiseConv2D(3, stride, "same"), layers.ReLU(6.0)),
        ]
    return keras.Sequential([*parts, layers.GlobalAveragePooling2D(), layers.Dense(5, "softmax")])


@pytest.fixture(scope="module")
def network(opened: Opened, model_of: Opened) -> Callable[[str], Model]:
    """Networks as they are run on a CPU, by name."""

    def make(name: str) -> Model:
        if name == "linen":
            return model_of(Linen, spec(16)).for_cpu()
        if name == "keras":
            return model_of(keras_network, spec(32)).for_cpu()
        if name == "lenet":
            return opened("model=lenet")
        size = {"squeezenet1_0": 63, "resnet18": 64}[name]
        sides = [f"model.input.{side}={size}" for side in ("height", "width")]
        return opened(f"model={name}", "weights=random", *sides)

    return make


@jax.jit
def told(model: Model, x: jax.Array) -> Any:
    """Scores, activations, and derivatives of the highest score by input and parameters."""

    def score(x: jax.Array, parameters: Any) -> Any:
        scores, activations = model.with_parameters(parameters).apply(x)
        return scores.max(axis=-1).sum(), (scores, activations)

    return jax.grad(score, argnums=(0, 1), has_aux=True)(x, model.parameters)


def slope(model: Model, x: jax.Array) -> jax.Array:
    return jax.grad(lambda x: model.apply(x)[0].max(axis=-1).sum())(x)


@jax.jit
def slopes(*models: Model, x: jax.Array) -> list[jax.Array]:
    return [slope(model, x) for model in models]


def plain(model: Model) -> Model:
    return replace(model, kernels=None, prepared=())


def images(model: Model) -> np.ndarray:
    return np.random.default_rng(5).normal(size=(2, *model.spec.shape)).astype(np.float32)


def assert_same(got: Any, expected: Any, atol: float = 2e-5) -> None:
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        scale = np.abs(other).max() + 1e-20
        np.testing.assert_allclose(np.asarray(one) / scale, np.asarray(other) / scale, 0, atol)


CONVOLUTION = "conv_general_dilated"
NETWORKS = [
    *("lenet", "keras"),
    *(
        pytest.param(name, marks=pytest.mark.slow)
        for name in ("linen", "squeezenet1_0", "resnet18")
    ),
]


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_the_same(network: Callable[[str], Model], name: str) -> None:
    model = network(name)
    x = images(model)
    one, other = told(model, x), told(plain(model), x)
    assert one[1][1].keys() == other[1][1].keys()
    assert len(one[1][1]) >= 4  # activations
    assert_same(one, other, 2e-5)


@pytest.mark.parametrize("name", ["linen", "keras"])
def test_what_is_run_has_no_slow_operation(network: Callable[[str], Model], name: str) -> None:
    model = network(name)
    x = images(model)
    slow = {"reduce_window_max", "reduce_window_sum", "select_and_scatter_add"}
    if name != "keras":  # which reshapes the kernels of depthwise convolutions
        slow.add("rev")
    assert names(slope, plain(model), x) & slow or name == "keras"
    assert not names(slope, model, x) & slow
    convolutions = [e for e in walked(slope, model, x) if e.primitive.name == CONVOLUTION]
    assert convolutions
    assert {e.params["feature_group_count"] for e in convolutions} == {1}
    assert all(e.invars[1].aval.shape[:2] != (1, 1) for e in convolutions)


def walked(function: Callable[..., Any], *arguments: Any) -> list[Any]:
    return list(walk(jax.make_jaxpr(function)(*arguments).jaxpr))


def names(function: Callable[..., Any], *arguments: Any) -> set[str]:
    return {eqn.primitive.name for eqn in walked(function, *arguments)}


def test_kernels_are_prepared_once_and_follow_the_parameters(
    network: Callable[[str], Model],
) -> None:
    model = network("linen")
    assert [name for name, _ in model.kernels or ()] == ["conv.kernel", "depthwise.kernel"]
    other = model.with_parameters({name: 2 * v for name, v in model.parameters.items()})
    assert_same(other.prepared, [2 * v for v in model.prepared], 0)
    x = images(model)
    assert_same(*slopes(other, plain(other), x=x))


def test_changed_derivatives_are_kept(network: Callable[[str], Model]) -> None:
    model = network("linen").rewritten(RectifierRule("guided"))
    x = images(model)
    got, expected, own = jax.device_get(slopes(model, plain(model), network("linen"), x=x))
    assert_same(got, expected)
    assert np.abs(got - own).max() > 1e-3 * np.abs(got).max()


def test_layers_cut_off_and_tapped_are_the_same(network: Callable[[str], Model]) -> None:
    model = network("linen")
    x = images(model)[:, :13, :11]  # a size that the dense layer does not fit

    def climbed(model: Model, x: jax.Array) -> jax.Array:
        return jax.grad(lambda x: model.activation("depthwise", x)[..., 1].sum())(x)

    whole = images(model)
    taps = {"mix": np.zeros((2, *model.layer("mix").shape), np.float32)}

    def tapped(model: Model, x: jax.Array) -> Any:
        return jax.grad(lambda taps: model.apply(x, taps)[0][:, 0].sum())(taps)

    @jax.jit
    def both(model: Model, x: jax.Array, whole: jax.Array) -> Any:
        return climbed(model, x), tapped(model, whole)

    assert_same(both(model, x, whole), both(plain(model), x, whole))


def test_the_switch(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    on, off = opened("model=lenet"), opened("model=lenet", "engine.cpu_lowerings=false")
    assert on.kernels
    assert (off.kernels, off.prepared) == (None, ())
    x = images(on)
    assert names(slope, off, x) == names(slope, plain(on), x)
    assert str(on.traced()) == str(off.traced())  # what is said of a network is the same
    assert on.layers == off.layers
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert opened("model=lenet").kernels is None
