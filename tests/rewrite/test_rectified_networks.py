"""Guided and deconvnet gradients of a small network, wherever and in whatever framework its ReLUs
are, against a backward pass written by hand."""

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

from reportgen.core.spec import InputSpec
from reportgen.methods.gradients import score_gradient
from reportgen.rewrite.rectifiers import Backward, RectifierRule, rectifiers
from tests.at_once import at_once

os.environ.setdefault("KERAS_BACKEND", "jax")  # read by Keras when it is first imported

RULES: tuple[Backward, ...] = ("guided", "deconvnet")
SPEC = InputSpec(height=3, width=4, channels=2)
WIDTH, CLASSES = 7, 3
SIZES = {
    "embed": (24, WIDTH),
    "one": (WIDTH, WIDTH),
    "two": (WIDTH, WIDTH),
    "out": (WIDTH, CLASSES),
}
RANDOM = np.random.default_rng(3)
PARAMETERS = {
    f"{name}.{leaf}": RANDOM.normal(size=shape).astype(np.float32)
    for name, sizes in SIZES.items()
    for leaf, shape in (("kernel", sizes), ("bias", sizes[1:]))
}
X = RANDOM.normal(size=(6, 3, 4, 2)).astype(np.float32)
TARGETS = np.array([0, 1, 2, 0, 1, 2])

Activation = Callable[[jax.Array], jax.Array]


def by_hand(x: np.ndarray, rule: str) -> tuple[np.ndarray, np.ndarray]:
    """Scores (N, 3), and the gradient (N, 3, 4, 2) of those of ``TARGETS``."""

    def layer(name: str, v: np.ndarray) -> np.ndarray:
        return np.asarray(v @ PARAMETERS[f"{name}.kernel"] + PARAMETERS[f"{name}.bias"])

    one = layer("one", layer("embed", x.reshape(len(x), -1)))
    two = layer("two", np.maximum(one, 0))
    scores = layer("out", np.maximum(two, 0))
    back = PARAMETERS["out.kernel"][:, TARGETS[: len(x)]].T
    for name, before in (("two", two), ("one", one)):
        positive = np.maximum(back, 0)
        back = {
            "plain": np.where(before > 0, back, 0),
            "guided": np.where(before > 0, positive, 0),
            "deconvnet": positive,
        }[rule]
        back = back @ PARAMETERS[f"{name}.kernel"].T
    return scores, (back @ PARAMETERS["embed.kernel"].T).reshape(x.shape)


@jax.custom_jvp
def with_own_jvp(x: jax.Array) -> jax.Array:
    return jnp.maximum(x, 0)


with_own_jvp.defjvp(lambda values, tangents: (with_own_jvp(*values), 5 * tangents[0]))


@jax.custom_vjp
def with_own_vjp(x: jax.Array) -> jax.Array:
    return jnp.maximum(x, 0)


with_own_vjp.defvjp(lambda x: (with_own_vjp(x), None), lambda _, cotangent: (5 * cotangent,))


def scanned(x: jax.Array) -> jax.Array:
    return lax.scan(lambda carry, row: (carry, jax.nn.relu(row)), None, x)[1]


def branched(x: jax.Array) -> jax.Array:
    return lax.cond(x.sum() > 0, jax.nn.relu, lambda v: jnp.where(v < 0, 0, v), x)


PLACES: dict[str, Activation] = {
    "relu": jax.nn.relu,
    "jit": jax.jit(lambda x: jnp.maximum(x, 0)),
    "remat": jax.checkpoint(lambda x: x * (x > 0)),
    "scan": scanned,
    "fori_loop": lambda x: lax.fori_loop(0, 2, lambda _, v: jax.nn.relu(v), x),
    "cond": branched,
    "switch": lambda x: lax.switch(1, [jnp.tanh, jax.nn.relu], x),
    "custom_jvp": with_own_jvp,
    "custom_vjp": with_own_vjp,
    "all of them": jax.jit(
        jax.checkpoint(
            lambda x: lax.map(lambda row: lax.cond(row[0] > 0, with_own_jvp, with_own_vjp, row), x)
        )
    ),
}


def nnx_network(activation: Activation) -> Callable[..., Any]:
    class Network(nnx.Module):
        def __init__(self, *, rngs: nnx.Rngs) -> None:
            for name, sizes in SIZES.items():
                setattr(self, name, nnx.Linear(*sizes, rngs=rngs))

        def __call__(self, x: jax.Array) -> jax.Array:
            x = self.embed(x.reshape(len(x), -1))
            return self.out(activation(self.two(activation(self.one(x)))))

    return Network


def linen_network(activation: Activation) -> Callable[..., Any]:
    class Network(linen.Module):
        @linen.compact
        def __call__(self, x: jax.Array) -> jax.Array:
            x = linen.Dense(WIDTH, name="embed")(x.reshape(len(x), -1))
            x = activation(linen.Dense(WIDTH, name="one")(x))
            x = activation(linen.Dense(WIDTH, name="two")(x))
            return linen.Dense(CLASSES, name="out")(x)

    return Network


def plain_function(activation: Activation) -> Callable[..., Any]:
    def forward(params: Any, x: jax.Array) -> jax.Array:
        def layer(name: str, v: jax.Array) -> jax.Array:
            return v @ params[name]["kernel"] + params[name]["bias"]

        x = layer("embed", x.reshape(len(x), -1))
        return layer("out", activation(layer("two", activation(layer("one", x)))))

    return lambda: (_initial, forward)


def scanned_layers(activation: Activation) -> Callable[..., Any]:
    """The two hidden layers are rounds of a scan over their stacked weights."""

    def forward(params: Any, x: jax.Array) -> jax.Array:
        def layer(part: Any, v: jax.Array) -> jax.Array:
            return v @ part["kernel"] + part["bias"]

        stacked = jax.tree.map(lambda *parts: jnp.stack(parts), params["one"], params["two"])
        x = layer(params["embed"], x.reshape(len(x), -1))
        x = lax.scan(lambda v, part: (activation(layer(part, v)), None), x, stacked)[0]
        return layer(params["out"], x)

    return lambda: (_initial, forward)


def _initial(key: jax.Array) -> Any:
    return {
        name: {"kernel": jnp.zeros(sizes), "bias": jnp.zeros(sizes[1:])}
        for name, sizes in SIZES.items()
    }


def keras_network(activation: Activation) -> Callable[..., Any]:
    import keras

    layers = keras.layers

    def make() -> Any:
        return keras.Sequential(
            [
                keras.Input((3, 4, 2)),
                layers.Flatten(),
                layers.Dense(WIDTH, name="embed"),
                layers.Dense(WIDTH, name="one", activation=activation),
                layers.Dense(WIDTH, name="two"),
                layers.Activation(activation),
                layers.Dense(CLASSES, name="out"),
            ]
        )

    return make


FRAMEWORKS = {
    "nnx": nnx_network,
    "linen": linen_network,
    "function": plain_function,
    "scanned layers": scanned_layers,
    "keras": keras_network,
}


# What is said of every place in a program is said of one framework's programs; of each other one,
# all places at once, one inside of the other.
CASES = [
    *(("function", place) for place in PLACES),
    *((framework, "all of them") for framework in FRAMEWORKS if framework != "function"),
]


@pytest.fixture(scope="module")
def network(model_of: Callable[..., Any]) -> Callable[[str, Activation], Any]:
    def make(framework: str, activation: Activation) -> Any:
        model = model_of(FRAMEWORKS[framework](activation), SPEC)
        assert set(model.parameters) == set(PARAMETERS)
        return model.with_parameters({k: jnp.asarray(v) for k, v in PARAMETERS.items()})

    return make


@pytest.fixture(scope="module")
def models(network: Callable[..., Any]) -> dict[tuple[str, str], Any]:
    return {case: network(case[0], PLACES[case[1]]) for case in CASES}


@pytest.fixture(scope="module")
def told(models: dict[tuple[str, str], Any]) -> dict[tuple[str, str], Any]:
    """Of every case by rule, with "plain" for none: scores, and gradients; all in one program."""

    def one(model: Any, rule: Backward | None) -> Any:
        other = model.rewritten(RectifierRule(rule)) if rule else model

        def image(given: Any) -> jax.Array:
            return score_gradient(other, given[0][None], given[1][None])[0]

        # Image by image, so that every branch is taken.
        gradients = lax.map(image, (jnp.asarray(X), jnp.asarray(TARGETS))) if rule else None
        return other.apply(jnp.asarray(X))[0], gradients

    def run(models: Any) -> Any:
        return [{rule or "plain": one(m, rule) for rule in (None, *RULES)} for m in models]

    return dict(zip(models, at_once(run, list(models.values())), strict=True))


# Keras's variables do not speak NumPy 2 yet.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_gradients_are_those_by_hand(
    case: tuple[str, str], models: dict[Any, Any], told: dict[Any, Any]
) -> None:
    assert "ReLU" in rectifiers(models[case].traced())
    scores, _ = told[case]["plain"]
    np.testing.assert_allclose(scores, by_hand(X, "plain")[0], rtol=1e-4, atol=1e-5)
    for rule in RULES:
        same, gradients = told[case][rule]
        np.testing.assert_allclose(same, scores, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(gradients, by_hand(X, rule)[1], rtol=1e-4, atol=1e-5)


def test_the_three_gradients_differ() -> None:
    plain, guided, deconvnet = (by_hand(X, rule)[1] for rule in ("plain", "guided", "deconvnet"))
    assert np.abs(guided - plain).max() > 1
    assert np.abs(deconvnet - plain).max() > 1
    assert np.abs(deconvnet - guided).max() > 1


def test_layers_of_a_rewritten_network_are_still_seen(network: Callable[..., Any]) -> None:
    """Methods tap and read layers of it, such as guided Grad-CAM."""
    model = network("nnx", jax.nn.relu)
    other = model.rewritten(RectifierRule("guided"))

    @jax.jit
    def run(x: jax.Array) -> Any:
        def score(taps: Any) -> jax.Array:
            return other.apply(x, taps)[0][:, 1].sum()

        slopes = jax.grad(score)({"one": jnp.zeros((6, WIDTH))})
        return model.apply(x)[1], other.apply(x)[1], slopes["one"]

    expected, got, slope = jax.device_get(run(X))
    assert list(got) == list(expected)
    for path, activation in expected.items():
        np.testing.assert_allclose(got[path], activation, rtol=1e-6, atol=1e-6)
    one, two = expected["one"], expected["two"]
    back = np.where(two > 0, np.maximum(PARAMETERS["out.kernel"][:, 1], 0), 0)
    back = np.maximum(back @ PARAMETERS["two.kernel"].T, 0)
    np.testing.assert_allclose(slope, np.where(one > 0, back, 0), rtol=1e-4, atol=1e-5)


TANH = """
from flax import nnx
import jax.numpy as jnp

class Net(nnx.Module):
    def __init__(self, *, rngs):
        self.conv = nnx.Conv(1, 4, (3, 3), rngs=rngs)
        self.out = nnx.Linear(4, 10, rngs=rngs)

    def __call__(self, x):
        return self.out(jnp.tanh(self.conv(x)).mean((1, 2)))
"""


@pytest.fixture
def tanh_network(tmp_path: Any) -> list[str]:
    (tmp_path / "tanh_network.py").write_text(TANH, encoding="utf-8")
    size = [f"model.input.{side}=28" for side in ("height", "width")]
    return ["model=custom", "model.factory=tanh_network:Net", *size, "model.input.channels=1",
            "weights=random", "report.dir=out"]  # fmt: skip


@pytest.mark.parametrize("method", ["guided_backprop", "deconvnet"])
def test_a_network_without_rectifiers_is_refused(
    method: str, tanh_network: list[str], reportgen: Callable[..., Any], tmp_path: Any
) -> None:
    code, _, error = reportgen(f"method={method}", *tanh_network)
    assert code == 2
    assert f"{method} changes the derivative of rectifiers, and" in error
    assert "saliency" in error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_in_a_list_its_section_says_so(
    tanh_network: list[str], reportgen: Callable[..., Any], tmp_path: Any
) -> None:
    import json

    code, _, _ = reportgen(
        "method=[saliency,guided_backprop]",
        "method.saliency.count=1",
        *tanh_network,
    )
    assert code == 0
    sections = json.loads((tmp_path / "out" / "results.json").read_text())["sections"]
    saliency, guided = sections
    assert not saliency["skipped"]
    assert saliency["blocks"]
    assert "changes the derivative of rectifiers" in guided["skipped"]
    assert not guided["blocks"]
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "guided_backprop changes the derivative of rectifiers" in page
