"""RISE against loops over NumPy arrays with the same masks, and its laws."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from reportgen.methods.rise import mask, rise

KEY = jax.random.key(5)


MASKS = 13


@jax.jit
def _rise(model: Any, image: jax.Array, target: Any) -> Any:
    return rise(
        model, image, target, KEY, masks=MASKS, cells=5, share=0.4, probability=True, batch=4
    )


def _masks(count: int) -> np.ndarray:
    """(count, 28, 28), as ``rise`` draws them."""
    one = jax.jit(lambda n: mask(jax.random.fold_in(KEY, n), (28, 28), 5, 0.4))
    return np.stack([np.asarray(one(n), np.float64) for n in range(count)])


def test_the_map_is_the_mean_mask_weighted_by_the_probability(
    lenet: Any, digits: Any, numpy_lenet: Any
) -> None:
    image = lenet.spec.normalise(digits.pixels[0])
    got, agreement = _rise(lenet, image, np.int32(3))
    halves = np.zeros((2, 28, 28))
    for n, drawn in enumerate(_masks(MASKS)):
        scores = numpy_lenet(image.astype(np.float64) * drawn[..., None])["ip2"]
        seen = np.exp(scores - scores.max())
        halves[n % 2] += seen[3] / seen.sum() * drawn
    np.testing.assert_allclose(got, halves.sum(axis=0) / (MASKS * 0.4), rtol=1e-3, atol=1e-6)
    expected = np.corrcoef(halves[0].ravel(), halves[1].ravel())[0, 1]
    np.testing.assert_allclose(agreement, expected, rtol=1e-3)


def test_a_mask_by_loops() -> None:
    """The grid of zeros and ones between whose middles every pixel lies, and a random crop."""
    size, cells, cell = (30, 44), 6, (5, 8)

    @jax.jit
    def parts(key: jax.Array) -> Any:
        drawn, shifted = jax.random.split(key)
        first = jax.random.randint(shifted, (2,), 0, jnp.array(cell))
        return jax.random.uniform(drawn, (cells, cells)), first, mask(key, size, cells, 0.3)

    for n in range(3):
        grid, first, found = map(np.asarray, parts(jax.random.fold_in(KEY, n)))
        grid = grid < 0.3
        expected = np.zeros(size)
        for row in range(size[0]):
            for column in range(size[1]):
                place = []
                for i, side in zip((row + first[0], column + first[1]), cell, strict=True):
                    # The authors enlarge the grid to cells + 1 times the size of a cell.
                    middle = (i + 0.5) * cells / ((cells + 1) * side) - 0.5
                    place.append(np.clip(middle, 0, cells - 1))
                (y, x), total = place, 0.0
                for i in range(cells):
                    for j in range(cells):
                        total += grid[i, j] * max(0, 1 - abs(y - i)) * max(0, 1 - abs(x - j))
                expected[row, column] = total
        assert expected.std() > 0.1
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_over_all_classes_the_maps_sum_to_the_mean_mask(lenet: Any, digits: Any) -> None:
    """Since behind every mask the probabilities sum to one."""
    image = lenet.spec.normalise(digits.pixels[1])
    total = sum(np.asarray(_rise(lenet, image, np.int32(target))[0]) for target in range(10))
    np.testing.assert_allclose(total, _masks(MASKS).mean(axis=0) / 0.4, rtol=1e-4, atol=1e-5)


def test_masks_are_smooth_and_as_open_as_asked() -> None:
    many = jax.jit(jax.vmap(lambda key: mask(key, (30, 44), 6, 0.3)))
    drawn = np.asarray(many(jax.random.split(KEY, 4000)))
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
    choices = {"masks": 3000, "cells": 4, "share": 0.5, "probability": False, "batch": 100}
    run = jax.jit(lambda image: rise(model, image, jnp.int32(0), KEY, **choices))
    heat, agreement = map(np.asarray, run(np.ones((16, 16, 1), np.float32)))
    inside = np.zeros((16, 16), bool)
    inside[:8, 8:] = True
    assert heat[inside].mean() > heat[~inside].mean() + 0.02
    assert np.unravel_index(int(heat.argmax()), (16, 16)) in list(
        zip(*inside.nonzero(), strict=True)
    )
    assert agreement > 0.8
