"""SmoothGrad and its variants against NumPy, and the laws that they keep."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reportgen.core.errors import ConfigError
from reportgen.methods.saliency import saliency
from reportgen.methods.smoothgrad import SmoothGrad, sample_noise
from tests.at_once import at_once
from tests.methods.polynomial import Polynomial

MODEL: Any = Polynomial(3)
X = np.random.default_rng(1).uniform(-1, 2, (2, 4, 5, 3)).astype(np.float32)
TARGETS = np.array([1, 0])
KEYS = jax.random.split(jax.random.key(7), 2)


def method(**changed: Any) -> SmoothGrad:
    values: dict[str, Any] = {"variant": "plain", "samples": 6, "noise": 0.1}
    values |= {"noise_unit": "range", "magnitude": True}
    return SmoothGrad(count=1, target="predicted", opacity=0.5, percentile=99, **(values | changed))


VARIANTS = ("plain", "signed", "squared", "vargrad")
UNITS = ("range", "absolute")


def keys_of(variant: str) -> dict[str, Any]:
    return {"magnitude": False} if variant == "signed" else {"variant": variant}


@pytest.fixture(scope="module")
def explained() -> dict[Any, np.ndarray]:
    """What every variant makes, by each unit of noise and without noise (unit None)."""

    def run(x: jax.Array, keys: jax.Array) -> dict[Any, jax.Array]:
        def values(**changed: Any) -> jax.Array:
            made: jax.Array = method(**changed).explain(MODEL, x, TARGETS, keys, 2).values
            return made

        made = {
            f"{v} {unit}": values(noise_unit=unit, **keys_of(v)) for v in VARIANTS for unit in UNITS
        }
        quiet = {f"{v} quiet": values(noise=0.0, **keys_of(v)) for v in VARIANTS}
        return {**made, **quiet, "gradient": saliency(MODEL, x, TARGETS)}

    made: dict[Any, np.ndarray] = at_once(run, X, KEYS)
    return made


@pytest.fixture(scope="module")
def noises() -> np.ndarray:
    """(6, N, H, W, C) of as many samples."""
    run = jax.jit(lambda keys: [sample_noise(keys, jnp.int32(i), X.shape[1:]) for i in range(6)])
    return np.asarray(run(KEYS), np.float64)


def gradients(noises: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """(samples, N, H, W, C) exact gradients at the noisy copies, in float64."""
    made = []
    for noise in noises:
        copies = X + deviation[:, None, None, None] * noise
        slopes = [
            MODEL.slope(copy[None], target)[0] for copy, target in zip(copies, TARGETS, strict=True)
        ]
        made.append(np.stack(slopes))
    return np.stack(made)


RANGES = X.max(axis=(1, 2, 3)) - X.min(axis=(1, 2, 3))


@pytest.mark.parametrize(("unit", "deviation"), [("range", 0.1 * RANGES), ("absolute", [0.1, 0.1])])
@pytest.mark.parametrize("variant", VARIANTS)
def test_against_numpy(
    variant: str, unit: str, deviation: Any, noises: np.ndarray, explained: dict[Any, np.ndarray]
) -> None:
    g = gradients(noises, np.asarray(deviation, np.float64))
    expected = {
        "plain": np.abs(g.mean(axis=0)).max(axis=-1),
        "signed": g.mean(axis=0).sum(axis=-1),
        "squared": (g**2).mean(axis=0).max(axis=-1),
        "vargrad": g.var(axis=0).max(axis=-1),
    }[variant]
    np.testing.assert_allclose(explained[f"{variant} {unit}"], expected, rtol=1e-4, atol=1e-5)


def test_without_noise_it_is_the_plain_gradient(explained: dict[Any, np.ndarray]) -> None:
    plain = explained["gradient"]
    np.testing.assert_allclose(explained["plain quiet"], plain, rtol=1e-6)
    np.testing.assert_allclose(explained["squared quiet"], plain**2, rtol=1e-5)
    np.testing.assert_array_equal(explained["vargrad quiet"], 0 * plain)


def test_without_noise_it_is_saliency_of_a_network(run_method: Any, averaged: Any) -> None:
    keys = ("method.smoothgrad.noise=0", "method.smoothgrad.samples=3")
    one = run_method("smoothgrad", *keys, model=averaged)
    other = run_method("saliency", model=averaged)
    assert len(one.explained.maps) == 6
    np.testing.assert_allclose(one.explained.maps, other.explained.maps, rtol=1e-4, atol=1e-6)


def test_the_variance_does_not_cancel() -> None:
    """A large gradient that hardly changes: a mean of squares less a squared mean loses it."""
    x = X + 100
    moved = method(variant="vargrad", noise=1e-3, noise_unit="absolute", samples=64)
    got = jax.jit(lambda x: moved.explain(MODEL, x, TARGETS, KEYS, 2).values)(x)
    slope = 6 * x * MODEL.weights[TARGETS]  # of the gradient
    np.testing.assert_allclose(np.sqrt(got), 1e-3 * np.abs(slope).max(axis=-1), rtol=0.5)


def test_noise_is_normal_and_new_in_each_sample_and_image() -> None:
    run = jax.jit(lambda keys: [sample_noise(keys, jnp.int32(i), (50, 50, 3)) for i in range(3)])
    drawn = np.stack(run(KEYS))
    assert abs(drawn.mean()) < 0.02
    assert abs(drawn.std() - 1) < 0.02
    flat = drawn.reshape(6, -1)
    assert np.abs(np.corrcoef(flat) - np.eye(6)).max() < 0.05


@pytest.mark.parametrize("variant", ["plain", "squared", "vargrad"])
def test_the_caption_says_what_was_computed(variant: str, run_method: Any, averaged: Any) -> None:
    (group,) = run_method(
        "smoothgrad",
        f"method.smoothgrad.variant={variant}",
        "method.smoothgrad.count=1",
        "method.smoothgrad.samples=3",
        model=averaged,
    ).blocks
    (heatmap,) = group.blocks
    paper = {"plain": "Smilkov", "squared": "Hooker", "vargrad": "Adebayo"}[variant]
    assert paper in heatmap.caption.formula
    assert heatmap.caption.detail.startswith("3 samples, noise 0.15 of each image's range; ")
    assert heatmap.low == heatmap.map.min()


def test_with_sign_it_is_drawn_around_zero(run_method: Any, averaged: Any) -> None:
    keys = ("magnitude=false", "count=1", "samples=3")
    (group,) = run_method(
        "smoothgrad", *(f"method.smoothgrad.{key}" for key in keys), model=averaged
    ).blocks
    (heatmap,) = group.blocks
    assert heatmap.low == -heatmap.high < 0
    assert heatmap.map.min() < 0 < heatmap.map.max()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["variant=squared", "magnitude=false"], "magnitude=false is for variant=plain"),
        (["variant=vargrad", "samples=1"], "needs samples of 2 or more"),
        (["noise=-0.1"], "method.smoothgrad.noise"),
        (["variant=square"], "method.smoothgrad.variant"),
    ],
)
def test_keys_that_make_no_sense_are_refused(
    keys: list[str], message: str, run_method: Any
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        run_method("smoothgrad", *(f"method.smoothgrad.{key}" for key in keys))
    assert "ArgsKwargs" not in str(caught.value)
