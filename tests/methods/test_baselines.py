"""Baselines in the network's input, against what they are in pixels."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from reportgen.core.spec import InputSpec
from reportgen.methods.baselines import baseline, blurred

SPEC = InputSpec(
    height=12, width=9, channels=3, scale=1 / 255, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4),
    order="bgr",
)  # fmt: skip
PIXELS = np.random.default_rng(0).uniform(0, 255, (3, 12, 9, 3)).astype(np.float32)
KEYS = jax.random.split(jax.random.key(0), 3)


def made(kind: Any, keys: Any = KEYS, pixels: np.ndarray = PIXELS) -> np.ndarray:
    """A baseline, back in pixels and in their order."""
    run = jax.jit(lambda x, keys: baseline(kind, SPEC, x, keys, 0.2))
    got = np.asarray(run(SPEC.normalise(pixels), keys))
    return np.asarray((got * SPEC.std + SPEC.mean) / SPEC.scale)[..., ::-1]


def test_black_is_pixels_of_zero() -> None:
    np.testing.assert_allclose(made("black"), np.zeros_like(PIXELS), atol=1e-4)


def test_mean_is_the_pixel_that_preprocessing_subtracts() -> None:
    expected = np.broadcast_to([0.6 * 255, 0.5 * 255, 0.4 * 255], PIXELS.shape)
    np.testing.assert_allclose(made("mean"), expected, rtol=1e-6)


def test_blurred_is_the_image_under_a_gaussian() -> None:
    deviation = 0.2 * 9
    expected = np.zeros(PIXELS.shape)
    for row in range(12):
        for column in range(9):
            rows, columns = np.mgrid[:12, :9]
            distance = (rows - row) ** 2 + (columns - column) ** 2
            weights = np.exp(-distance / (2 * deviation**2))
            weights /= weights.sum()
            expected[:, row, column] = (weights[..., None] * PIXELS).sum(axis=(1, 2))
    np.testing.assert_allclose(made("blurred"), expected, rtol=1e-4)


def test_a_narrow_gaussian_changes_nothing() -> None:
    same = jax.jit(blurred, static_argnums=1)(PIXELS, 0.01)
    np.testing.assert_allclose(same, PIXELS, rtol=1e-6)


def test_random_pixels_are_even_and_each_image_has_its_own() -> None:
    drawn = made("random")
    assert drawn.min() >= -1e-3
    assert drawn.max() <= 255.001
    tenths = np.histogram(drawn, 10, (0, 255))[0] / drawn.size
    np.testing.assert_allclose(tenths, 0.1, atol=0.04)
    assert np.abs(drawn[0] - drawn[1]).mean() > 50
    assert np.abs(drawn[..., 0] - drawn[..., 1]).mean() > 50
    np.testing.assert_allclose(made("random", KEYS[1:], PIXELS[1:]), drawn[1:], rtol=1e-5)
