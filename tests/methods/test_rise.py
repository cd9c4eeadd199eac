"""RISE against loops over NumPy arrays with the same masks, and its laws."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from reportgen.methods.rise import mask, rise

KEY = jax.random.key(5)


def test_the_map_is_the_mean_mask_weighted_by_the_probability(
    lenet: Any, digits: Any, numpy_lenet: Any
) -> None:
    image = lenet.spec.normalise(digits.pixels[0])
    choices = {"masks": 13, "cells": 5, "share": 0.4, "probability": True, "batch": 4}
    got, agreement = jax.jit(lambda m, i: rise(m, i, jnp.int32(3), KEY, **choices))(
        lenet, jnp.asarray(image)
    )
    halves = np.zeros((2, 28, 28))
    for n in range(13):
        drawn = np.asarray(mask(jax.random.fold_in(KEY, n), (28, 28), 5, 0.4), np.float64)
        scores = numpy_lenet(image.astype(np.float64) * drawn[..., None])["ip2"]
        seen = np.exp(scores - scores.max())
        halves[n % 2] += seen[3] / seen.sum() * drawn
    np.testing.assert_allclose(got, halves.sum(axis=0) / (13 * 0.4), rtol=1e-3, atol=1e-6)
    expected = np.corrcoef(halves[0].ravel(), halves[1].ravel())[0, 1]
    np.testing.assert_allclose(agreement, expected, rtol=1e-3)


def test_masks_are_smooth_and_as_open_as_asked() -> None:
    drawn = np.asarray(jax.vmap(lambda k: mask(k, (30, 44), 6, 0.3))(jax.random.split(KEY, 4000)))
    assert drawn.shape == (4000, 30, 44)
    assert drawn.min() == 0
    assert drawn.max() == 1
    np.testing.assert_allclose(drawn.mean(axis=0), 0.3, atol=0.04)
    # A cell is 5 rows high: two rows apart no mask changes by more than two fifths.
    assert np.abs(drawn[:, 2:] - drawn[:, :-2]).max() <= 0.4 + 1e-6


def test_what_one_quadrant_decides_lies_in_that_quadrant() -> None:
    class Quadrant:
        def apply(self, x: Any) -> tuple[Any, dict[str, Any]]:
            seen = x[:, :8, 8:].mean(axis=(1, 2, 3))
            return jnp.stack([seen, -seen], axis=-1), {}

    model: Any = Quadrant()
    heat, agreement = rise(
        model,
        jnp.ones((16, 16, 1)),
        jnp.int32(0),
        KEY,
        masks=3000,
        cells=4,
        share=0.5,
        probability=False,
        batch=100,
    )
    inside = np.zeros((16, 16), bool)
    inside[:8, 8:] = True
    assert heat[inside].mean() > heat[~inside].mean() + 0.02
    assert np.unravel_index(int(jnp.argmax(heat)), (16, 16)) in list(
        zip(*inside.nonzero(), strict=True)
    )
    assert agreement > 0.8
