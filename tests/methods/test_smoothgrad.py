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
from tests.methods.polynomial import Polynomial

MODEL: Any = Polynomial(3)
X = np.random.default_rng(1).uniform(-1, 2, (2, 4, 5, 3)).astype(np.float32)
TARGETS = np.array([1, 0])
KEYS = jax.random.split(jax.random.key(7), 2)


def method(**changed: Any) -> SmoothGrad:
    values: dict[str, Any] = {"variant": "plain", "samples": 6, "noise": 0.1}
    values |= {"noise_unit": "range", "magnitude": True}
    return SmoothGrad(count=1, target="predicted", opacity=0.5, percentile=99, **(values | changed))


def explained(**changed: Any) -> np.ndarray:
    run = jax.jit(lambda x, keys: method(**changed).explain(MODEL, x, TARGETS, keys, 2).values)
    return np.asarray(run(X, KEYS))


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
@pytest.mark.parametrize("variant", ["plain", "signed", "squared", "vargrad"])
def test_against_numpy(variant: str, unit: str, deviation: Any, noises: np.ndarray) -> None:
    g = gradients(noises, np.asarray(deviation, np.float64))
    expected = {
        "plain": np.abs(g.mean(axis=0)).max(axis=-1),
        "signed": g.mean(axis=0).sum(axis=-1),
        "squared": (g**2).mean(axis=0).max(axis=-1),
        "vargrad": g.var(axis=0).max(axis=-1),
    }[variant]
    keys = {"magnitude": False} if variant == "signed" else {"variant": variant}
    got = explained(noise_unit=unit, **keys)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_without_noise_it_is_the_plain_gradient() -> None:
    plain = np.asarray(jax.jit(lambda x: saliency(MODEL, x, TARGETS))(X))
    np.testing.assert_allclose(explained(noise=0.0), plain, rtol=1e-6)
    np.testing.assert_allclose(explained(noise=0.0, variant="squared"), plain**2, rtol=1e-5)
    np.testing.assert_array_equal(explained(noise=0.0, variant="vargrad"), 0 * plain)


def test_without_noise_it_is_saliency_of_a_network(run_method: Any) -> None:
    one = run_method("smoothgrad", "method.smoothgrad.noise=0", "method.smoothgrad.samples=3")
    other = run_method("saliency")
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
def test_the_caption_says_what_was_computed(variant: str, run_method: Any) -> None:
    (group,) = run_method(
        "smoothgrad",
        f"method.smoothgrad.variant={variant}",
        "method.smoothgrad.count=1",
        "method.smoothgrad.samples=3",
    ).blocks
    (heatmap,) = group.blocks
    paper = {"plain": "Smilkov", "squared": "Hooker", "vargrad": "Adebayo"}[variant]
    assert paper in heatmap.caption.formula
    assert heatmap.caption.detail.startswith("3 samples, noise 0.15 of each image's range; ")
    assert heatmap.low == heatmap.map.min()


def test_with_sign_it_is_drawn_around_zero(run_method: Any) -> None:
    (group,) = run_method(
        "smoothgrad",
        *(f"method.smoothgrad.{key}" for key in ("magnitude=false", "count=1", "samples=3")),
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
