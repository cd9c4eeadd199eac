"""LRP against Zennit, through every framework, and as a method of a report.

Against Captum it is in ``test_captum.py``.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx
from jax import lax

from reportgen.chosen import chosen_methods
from reportgen.config import read
from reportgen.core.errors import NotApplicableError
from reportgen.core.spec import InputSpec
from reportgen.engine.rows import Engine
from reportgen.methods.gradients import target_scores
from reportgen.methods.lrp import LRP, lrp
from reportgen.methods.survey import Survey
from reportgen.rewrite.relevance import RelevanceRule
from reportgen.rewrite.relevance_rules import Rule
from reportgen.running import prepare
from tests.at_once import at_once
from tests.methods.small_networks import scored
from tests.peers.attribution import SMALL_SPEC, Small, small_parameters

GOLDEN = Path(__file__).parents[1] / "goldens" / "lrp.npz"

explained = jax.jit(lrp, static_argnums=3)


def rule(*names: str, epsilon: float = 1e-6) -> RelevanceRule:
    rules: Any = tuple(Rule(name, epsilon) for name in names)  # type: ignore[arg-type]
    return RelevanceRule(rules, epsilon)


def assert_close(found: Any, expected: Any, tolerance: float = 1e-4) -> None:
    expected = np.asarray(expected)
    assert np.abs(np.asarray(found) - expected).max() < tolerance * np.abs(expected).max()


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN) as file:
        return dict(file)


def norm(p: Any, name: str, x: jax.Array) -> jax.Array:
    factor = p[f"{name}.weight"] * lax.rsqrt(p[f"{name}.running_var"] + 1e-5)
    return (x - p[f"{name}.running_mean"]) * factor + p[f"{name}.bias"]


def conv(p: Any, name: str, x: jax.Array, padding: str, stride: int = 1, groups: int = 1) -> Any:
    y = lax.conv_general_dilated(
        x, p[f"{name}.weight"], (stride, stride), padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=groups,
    )  # fmt: skip
    return y + p[f"{name}.bias"] if f"{name}.bias" in p else y


def dense(p: Any, name: str, x: jax.Array) -> jax.Array:
    return x @ p[f"{name}.weight"] + p[f"{name}.bias"]


def zennit_network(p: Any, x: jax.Array) -> jax.Array:
    """The network of tests/goldens/lrp.py."""
    x = jax.nn.silu(norm(p, "bn1", conv(p, "conv1", x, "SAME")))
    x = nnx.max_pool(x, (2, 2), (2, 2))
    x = jax.nn.relu(x + norm(p, "bn2", conv(p, "conv2", x, "SAME")))
    x = jax.nn.relu(conv(p, "conv3", x, "VALID", stride=2, groups=2))
    x = nnx.avg_pool(x, (2, 2), (2, 2)).reshape(len(x), -1)
    return dense(p, "dense2", jax.nn.relu(dense(p, "dense1", x)))


RULES = [("epsilon",), ("gamma",), ("z_plus",), ("alpha_beta",), ("z_plus", "gamma", "epsilon")]


@pytest.fixture(scope="module")
def relevances(golden: Any) -> dict[Any, np.ndarray]:
    """Of the golden network and inputs, by every rule: one program."""
    from jax.extend.core import jaxpr_as_fun

    weights = {name: v for name, v in golden.items() if "relevance" not in name and name != "x"}
    ordered = sorted(weights)

    def flat(*inputs: Any) -> jax.Array:
        return zennit_network(dict(zip(ordered, inputs[:-1], strict=True)), inputs[-1])

    leaves = [weights[name] for name in ordered]
    traced = jax.make_jaxpr(flat)(*leaves, golden["x"])
    runs = [jaxpr_as_fun(rule(*names)(traced)) for names in RULES]
    targets = np.array([1, 3])

    def run(x: jax.Array) -> list[jax.Array]:
        def total(x: jax.Array, run: Any) -> jax.Array:
            score: jax.Array = run(*leaves, x)[0][np.arange(2), targets].sum()
            return score

        return [jax.grad(total)(x, run) for run in runs]

    return dict(zip(RULES, at_once(run, golden["x"]), strict=True))


@pytest.mark.parametrize("names", RULES, ids="-".join)
def test_every_rule_against_zennit(names: Any, relevances: Any, golden: Any) -> None:
    expected = golden[f"relevance.{names[0] if len(names) == 1 else 'composite'}"]
    for one, other in zip(relevances[names], expected, strict=True):
        assert_close(one, other)


SPEC = InputSpec(height=10, width=10, channels=3)


class OfNnx(nnx.Module):
    def __init__(self, *, rngs: nnx.Rngs) -> None:
        self.conv = nnx.Conv(3, 8, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(8, epsilon=1e-3, rngs=rngs)
        self.head = nnx.Linear(8, 4, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = nnx.max_pool(jax.nn.relu(self.norm(self.conv(x))), (2, 2), (2, 2))
        return self.head(x.mean(axis=(1, 2)))


class OfLinen(linen.Module):
    @linen.compact
    def __call__(self, x: jax.Array, train: bool = True) -> Any:
        x = linen.Conv(8, (3, 3), name="conv")(x)
        x = linen.BatchNorm(use_running_average=not train, epsilon=1e-3, name="norm")(x)
        x = linen.max_pool(linen.relu(x), (2, 2), (2, 2))
        return linen.Dense(4, name="head")(x.mean(axis=(1, 2)))


def of_function() -> Any:
    shapes = {"conv": {"kernel": (3, 3, 3, 8), "bias": (8,)}}
    shapes["norm"] = dict.fromkeys(("scale", "bias", "mean", "var"), (8,))
    shapes["head"] = {"kernel": (8, 4), "bias": (4,)}

    def init(key: jax.Array) -> Any:
        return jax.tree.map(jnp.ones, shapes, is_leaf=lambda v: isinstance(v, tuple))

    def forward(p: Any, x: jax.Array) -> jax.Array:
        x = conv({"conv.weight": p["conv"]["kernel"]}, "conv", x, "SAME")
        n = p["norm"]
        x = (x + p["conv"]["bias"] - n["mean"]) / jnp.sqrt(n["var"] + 1e-3) * n["scale"] + n["bias"]
        x = jnp.maximum(x, 0).reshape(-1, 5, 2, 5, 2, 8).max(axis=(2, 4))
        return x.mean(axis=(1, 2)) @ p["head"]["kernel"] + p["head"]["bias"]

    return init, forward


def of_keras() -> Any:
    import keras

    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((10, 10, 3)),
            layers.Conv2D(8, 3, padding="same", name="conv"),
            layers.BatchNormalization(epsilon=1e-3, name="norm"),
            layers.ReLU(name="relu"),
            layers.MaxPooling2D(name="pool"),
            layers.GlobalAveragePooling2D(name="mean"),
            layers.Dense(4, name="head"),
        ]
    )


def placed(model: Any) -> Any:
    """The same weights under every framework's names."""
    other = {"gamma": "scale", "beta": "bias", "moving_mean": "mean", "moving_variance": "var"}
    weights = {}
    for name, value in model.parameters.items():
        layer, _, leaf = name.rpartition(".")
        leaf = other.get(leaf, leaf)
        rng = np.random.default_rng(list(f"{layer.rpartition('.')[2]}.{leaf}".encode()))
        drawn = rng.normal(0, 0.5, value.shape)
        weights[name] = jnp.asarray(drawn**2 + 0.5 if leaf == "var" else drawn, jnp.float32)
    return model.with_parameters(weights)


TWO = np.random.default_rng(3).normal(size=(2, 10, 10, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def of_nnx(model_of: Any) -> Any:
    """The relevance and the scores that all frameworks must come to."""
    return explained(placed(model_of(OfNnx, SPEC)), TWO, np.array([1, 3]), rule("gamma"))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("made", [OfLinen, of_function, of_keras])
def test_every_framework_gives_the_same_relevance(
    made: Any, of_nnx: Any, model_of: Any, monkeypatch: Any
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    if made is of_keras:
        importlib.import_module("keras")  # model_of keeps it from drawing weights, once it is there
    expected, scores = of_nnx
    model = placed(model_of(made, SPEC))
    found, same = explained(model, TWO, np.array([1, 3]), rule("gamma"))
    np.testing.assert_allclose(same, scores, rtol=1e-4)
    assert_close(found, expected)


@pytest.fixture(scope="module")
def small(model_of: Any) -> Any:
    model = model_of(Small, SMALL_SPEC)
    weights = small_parameters(model.parameters)
    return model.with_parameters({name: jnp.asarray(v) for name, v in weights.items()})


def test_the_network_runs_forward_as_it_was(small: Any) -> None:
    x = jnp.asarray(np.random.default_rng(0).normal(size=(3, 24, 28, 3)), jnp.float32)
    rules = [("alpha_beta",), ("z_plus", "gamma", "epsilon")]
    run = jax.jit(lambda m, x: [m.apply(x), *(m.rewritten(rule(*r)).apply(x) for r in rules)])
    (scores, activations), *others = run(small, x)
    for rewritten, kept in others:
        np.testing.assert_allclose(rewritten, scores, rtol=1e-5, atol=1e-6)
        assert set(kept) == set(activations)
        for path, value in kept.items():
            np.testing.assert_allclose(value, activations[path], rtol=1e-5, atol=1e-5)


def test_relevance_does_not_depend_on_the_neighbours(small: Any) -> None:
    """Nor on the place. On their number neither, see test_contract.py."""
    x = np.random.default_rng(0).normal(size=(4, 24, 28, 3)).astype(np.float32)
    targets = np.array([0, 4, 2, 1])

    @jax.jit
    def run(model: Any, x: jax.Array, targets: jax.Array) -> Any:
        return [lrp(model, x, targets, rule(name))[0] for name in ("gamma", "alpha_beta")]

    first, other = np.array([0, 1, 2]), np.array([3, 2, 0])
    for one, two in zip(
        *(run(small, x[some], targets[some]) for some in (first, other)), strict=True
    ):
        assert_close(two[1], one[2], 1e-5)
        assert_close(two[2], one[0], 1e-5)


@pytest.mark.parametrize(
    ("score", "more"), [("channel_mean", {}), ("pixel", {"row": 1, "col": 2}), ("norm", {})]
)
def test_a_score_made_of_many_outputs_is_shared_out_among_them(
    score: str, more: Any, model_of: Any
) -> None:
    """By what each gave to it: without biases all of the score reaches the pixels."""

    class Dense(nnx.Module):
        def __init__(self, *, rngs: nnx.Rngs) -> None:
            self.conv = nnx.Conv(3, 8, (3, 3), use_bias=False, rngs=rngs)
            self.out = nnx.Conv(8, 2, (3, 3), use_bias=False, rngs=rngs)

        def __call__(self, x: jax.Array) -> jax.Array:
            return self.out(jax.nn.relu(self.conv(x)))

    model = model_of(Dense, SPEC, score=score, **more)
    x = np.random.default_rng(0).normal(size=(2, 10, 10, 3)).astype(np.float32)

    @jax.jit
    def run(model: Any, x: jax.Array) -> Any:
        targets = jnp.array([0, 0])
        made = lrp(model, x, targets, rule("epsilon", epsilon=1e-9))
        gradient = jax.grad(lambda x: target_scores(model, x, targets).sum())(x)
        return *made, model.apply(x)[0][:, 0], x * gradient

    found, scores, plain, expected = map(np.asarray, run(model, x))
    np.testing.assert_allclose(scores, plain, rtol=1e-5)
    np.testing.assert_allclose(found.sum(axis=(1, 2, 3)), scores, rtol=1e-3)
    assert_close(found, expected, 1e-3)


def test_the_facts_tell_what_reached_the_pixels(
    run_method: Any, averaged: Any, digits: Any
) -> None:
    keys = ("method.lrp.count=1", "method.lrp.rules=epsilon")
    (group,) = run_method("lrp", *keys, model=averaged).blocks
    scores = np.asarray(scored(averaged, averaged.spec.normalise(digits.pixels[:1])))
    heatmap = group.blocks[0]
    facts = dict(heatmap.facts)
    total = facts["sum of the map"]
    assert total == pytest.approx(heatmap.map.sum(), rel=1e-4)
    share = facts["share of the score that reached the pixels"]
    assert share == pytest.approx(total / float(scores.max()), rel=1e-4)


def settings(*rules: Any) -> LRP:
    return LRP(
        count=1, target="predicted", opacity=0.5, percentile=99.0,
        rules=rules, epsilon=1e-6, gamma=0.25, alpha=2.0,
    )  # fmt: skip


def test_of_a_score_of_zero_all_reaches_the_pixels(model_of: Any) -> None:
    model = model_of(OfNnx, SPEC)
    zeros = {k: jnp.asarray(np.zeros(v.shape, np.float32)) for k, v in model.parameters.items()}
    run = jax.jit(lambda m, x: settings("gamma").explain(m, x, jnp.array([0]), None, 1))
    maps = run(model.with_parameters(zeros), np.ones((1, 10, 10, 3), np.float32))
    assert not np.asarray(maps.values).any()
    assert maps.facts["share of the score that reached the pixels"] == 1


def test_a_composite_is_dealt_out_over_resnet50(shaped: Any) -> None:
    """53 convolutions and a dense layer, 18 for each rule, in the order that the layers run in."""
    from reportgen.rewrite.inline import inlined
    from reportgen.rewrite.relevance import products

    network = shaped("model=resnet50", "model.input.height=64", "model.input.width=64")
    flat = inlined(network.traced()).jaxpr
    inputs = [False] * (len(flat.invars) - 1) + [True]
    kernels = [tuple(eqn.invars[1].aval.shape) for eqn in products(flat, inputs)]
    assert len(kernels) == 54
    assert kernels[0] == (7, 7, 3, 64)
    assert kernels[-1] == (2048, 1000)
    taken = [layer for layer in network.layers if layer.kind in ("conv", "dense")]
    order = [dict(layer.parameters)["kernel"] for layer in taken]
    assert kernels == order
    made = rule("z_plus", "gamma", "epsilon")
    dealt = [made.at(place, 54).name for place in range(54)]
    assert dealt == ["z_plus"] * 18 + ["gamma"] * 18 + ["epsilon"] * 18


class Unruly(nnx.Module):
    def __init__(self, *, rngs: nnx.Rngs) -> None:
        self.conv1 = nnx.Conv(1, 4, (3, 3), rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return jnp.cumprod(self.conv1(x).mean(axis=(1, 2)), axis=1)


def test_an_operation_without_a_rule_is_refused_by_name_and_skipped_in_a_list(
    model_of: Any, run_method: Any, lenet: Any, digits: Any, composed: Any
) -> None:
    model = model_of(Unruly, lenet.spec)
    with pytest.raises(NotApplicableError, match="no rule for the operation cumprod") as refused:
        run_method("lrp", model=model)
    assert "integrated_gradients" in refused.value.hint
    config = read(composed("method=[lrp,saliency]"))
    survey = Survey(model, digits, Engine.local(4))
    one, other = (
        prepare(name, chosen_methods(config, []), config=config, survey=survey)
        for name in ("lrp", "saliency")
    )
    assert "no rule for the operation cumprod" in one.skipped
    assert one.context is None
    assert other.skipped == ""
    assert other.context is not None
