"""Integrated gradients against closed forms and NumPy, and completeness."""

from __future__ import annotations

import itertools
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reportgen.core.errors import ConfigError
from reportgen.methods.integrated_gradients import (
    IntegratedGradients,
    Rule,
    path_gradients,
    quadrature,
)
from tests.at_once import at_once
from tests.methods.polynomial import Polynomial
from tests.methods.small_networks import scored

MODEL: Any = Polynomial(3)
RANDOM = np.random.default_rng(2)
X = RANDOM.uniform(-1, 2, (2, 4, 5, 3)).astype(np.float32)
START = RANDOM.uniform(-1, 1, (2, 4, 5, 3)).astype(np.float32)
TARGETS = np.array([1, 0])
WEIGHTS = MODEL.weights[TARGETS]
RULES = get_args(Rule)


@pytest.fixture(scope="module")
def computed() -> dict[Any, np.ndarray]:
    """What each rule makes of some steps."""
    cases = [("gauss_legendre", 1), ("gauss_legendre", 2), ("gauss_legendre", 3)]
    cases += [(rule, 5) for rule in RULES if rule != "gauss_legendre"]

    def run(x: jax.Array, start: jax.Array) -> list[jax.Array]:
        return [path_gradients(MODEL, x, start, TARGETS, *case) for case in cases]

    return dict(zip(cases, at_once(run, X, START), strict=True))


def test_gauss_legendre_is_exact_for_a_cubic(computed: dict[Any, np.ndarray]) -> None:
    expected = WEIGHTS * (X**3 - START**3)
    np.testing.assert_allclose(computed["gauss_legendre", 2], expected, rtol=1e-4, atol=1e-5)
    assert not np.allclose(computed["gauss_legendre", 1], expected, rtol=1e-2)


@pytest.mark.parametrize("rule", RULES)
def test_against_loops(rule: str, computed: dict[Any, np.ndarray]) -> None:
    """Rectangles and trapezoids over the path, as they are drawn on paper."""
    steps, difference = 5, X.astype(np.float64) - START

    def slope(node: float) -> np.ndarray:
        return 3 * WEIGHTS * (START + node * difference) ** 2

    if rule == "gauss_legendre":
        middle, width = 0.5, np.sqrt(0.6) / 2
        ends = slope(middle - width) + slope(middle + width)
        expected, steps = (5 * ends + 8 * slope(middle)) / 18, 3
    elif rule == "riemann_trapezoid":
        corners = [slope(i / (steps - 1)) for i in range(steps)]
        areas = [(left + right) / 2 for left, right in itertools.pairwise(corners)]
        expected = sum(areas) / (steps - 1)
    else:
        place = {"riemann_left": 0.0, "riemann_right": 1.0, "riemann_middle": 0.5}[rule]
        expected = sum(slope((i + place) / steps) for i in range(steps)) / steps
    np.testing.assert_allclose(computed[rule, steps], difference * expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rule", RULES)
def test_the_rules_come_to_the_integral(rule: Any) -> None:
    nodes, weights = quadrature(rule, 200)
    assert weights.sum() == pytest.approx(1)
    assert nodes.min() >= 0
    assert nodes.max() <= 1
    assert (weights * np.exp(nodes)).sum() == pytest.approx(np.e - 1, rel=0.005)


@pytest.mark.parametrize("baseline", ["black", "mean", "blurred", "random"])
def test_completeness_on_a_network(baseline: str, run_method: Any, averaged: Any) -> None:
    """The values sum to what the score gains, and the facts say by how much they do not."""
    result = run_method(
        "integrated_gradients",
        f"method.integrated_gradients.baseline={baseline}",
        "method.integrated_gradients.count=2",
        "method.integrated_gradients.draws=2",
        "method.integrated_gradients.steps=100",
        model=averaged,
    )
    assert len(result.blocks) == 2
    for group in result.blocks:
        (heatmap,) = group.blocks
        facts = dict(heatmap.facts)
        gain, gap = facts["score less the baseline's"], facts["completeness gap"]
        assert heatmap.map.sum() == pytest.approx(gain + gap, rel=1e-4, abs=1e-4)
        relative = facts["completeness gap, relative"]
        assert relative == pytest.approx(abs(gap) / abs(gain), rel=1e-4)
        assert relative < 0.02
        assert heatmap.caption.detail.startswith(f"baseline {baseline}")


def test_the_gain_is_over_the_black_image(run_method: Any, averaged: Any, digits: Any) -> None:
    keys = ("method.integrated_gradients.count=2", "method.integrated_gradients.steps=100")
    result = run_method("integrated_gradients", *keys, model=averaged)
    pixels = np.concatenate([digits.pixels[:2], np.zeros_like(digits.pixels[:1])])
    x = averaged.spec.normalise(pixels.astype(np.float32))
    *scores, base = np.asarray(scored(averaged, x))
    assert len(result.blocks) == 2
    for i, group in enumerate(result.blocks):
        facts = dict(group.blocks[0].facts)
        best = int(scores[i].argmax())
        expected = float(scores[i][best] - base[best])
        assert facts["score less the baseline's"] == pytest.approx(expected, rel=1e-4)


def method(**changed: Any) -> IntegratedGradients:
    values: dict[str, Any] = {"baseline": "random", "draws": 4, "blur": 0.1, "steps": 2}
    values |= {"rule": "gauss_legendre"}
    common: Any = {"count": 1, "target": "predicted", "opacity": 0.5, "percentile": 99}
    return IntegratedGradients(**common, **(values | changed))


def test_random_baselines_are_averaged() -> None:
    """Over many draws: the exact map, less what even pixels give on average."""
    linear: Any = Polynomial(1)

    @jax.jit
    def run(x: jax.Array) -> Any:
        keys = jax.random.split(jax.random.key(0), 2)
        return [method(draws=n).explain(linear, x, TARGETS, keys, 2).values for n in (400, 2)]

    many, few = map(np.asarray, run(X))
    expected = (linear.weights[TARGETS] * (X - 127.5)).sum(axis=-1)
    # The standard error of a mean of 400 draws is 73.6 / 20 for each channel.
    error = 3.7 * np.sqrt((linear.weights[TARGETS] ** 2).sum(axis=-1))
    assert (np.abs(many - expected) < 4.5 * error).all()
    assert np.abs(few - expected).max() > np.abs(many - expected).max()


def test_an_image_that_is_its_own_baseline_has_no_gap() -> None:
    keys, black = jax.random.split(jax.random.key(0), 1), method(baseline="black")
    maps = jax.jit(lambda x: black.explain(MODEL, x, jnp.array([0]), keys, 1))(X[:1] * 0)
    np.testing.assert_array_equal(maps.values, np.zeros((1, 4, 5)))
    assert {name: float(value[0]) for name, value in maps.facts.items()} == dict.fromkeys(
        maps.facts, 0.0
    )


def test_one_step_makes_no_trapezoid(run_method: Any) -> None:
    with pytest.raises(ConfigError, match="needs steps of 2 or more"):
        run_method(
            "integrated_gradients",
            "method.integrated_gradients.rule=riemann_trapezoid",
            "method.integrated_gradients.steps=1",
        )
