"""The pieces of gradient ascent, each against its formula in NumPy or against Pillow."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from reportgen.methods.synthesis.ascent import noise, unit_step
from reportgen.methods.synthesis.batches import batches
from reportgen.methods.synthesis.class_score import begin
from reportgen.methods.synthesis.objectives import mean_activation
from reportgen.methods.synthesis.regularisers import lp_norm, total_variation
from reportgen.methods.synthesis.schedule import sizes
from reportgen.methods.synthesis.transforms import resize, roll, standardise, unstandardise
from tests.at_once import at_once


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 1, (3, 7, 9, 2)).astype(np.float32)


def test_sizes_are_the_script_s() -> None:
    assert sizes(412, 9, 1.2) == (79, 95, 114, 137, 165, 198, 238, 286, 343, 412)
    assert sizes(112, 9, 1.2) == (21, 26, 31, 37, 45, 54, 64, 77, 93, 112)
    assert sizes(28, 0, 1.2) == (28,)
    assert sizes(3, 9, 2.0)[0] == 1


ENLARGED = [(79, 95), (343, 412), (4, 5), (1, 2), (7, 28)]


def test_enlarging_is_pillow_s_bicubic() -> None:
    pictures = [
        np.random.default_rng(old).uniform(0, 1, (old, old)).astype(np.float32)
        for old, _ in ENLARGED
    ]

    def run(pictures: list[jax.Array]) -> list[jax.Array]:
        sized = zip(pictures, ENLARGED, strict=True)
        return [resize(one[None, ..., None], new)[0, ..., 0] for one, (_, new) in sized]

    for picture, ours, (_, new) in zip(pictures, at_once(run, pictures), ENLARGED, strict=True):
        pillow = Image.fromarray(picture).resize((new, new), Image.Resampling.BICUBIC)
        np.testing.assert_allclose(ours, np.asarray(pillow), atol=5e-5, err_msg=f"{new}")


def test_standardise_and_back(pictures: np.ndarray) -> None:
    pixels = pictures * 70 + 30
    expected = np.stack([(p - p.mean()) / (p.std() + 1e-7) * 0.25 + 0.5 for p in pixels])
    # Within two deviations nothing is clipped, and the way back is exact.
    flat = np.where(np.abs(expected - 0.5) < 0.5, pixels, pixels.mean())

    def run(pixels: jax.Array, flat: jax.Array, grey: jax.Array) -> Any:
        return standardise(pixels), unstandardise(standardise(flat), flat), standardise(grey)

    made, back, grey = at_once(run, pixels, flat, np.full((1, 4, 4, 1), 9, np.float32))
    np.testing.assert_allclose(made, expected.clip(0, 1), atol=1e-5)
    np.testing.assert_allclose(back, flat, atol=1e-3)
    np.testing.assert_array_equal(grey, np.full((1, 4, 4, 1), 0.5))


def test_total_variation(pictures: np.ndarray) -> None:
    expected = []
    for picture in pictures.astype(np.float64):
        total = 0.0
        for i in range(6):
            for j in range(8):
                total += ((picture[i + 1, j] - picture[i, j]) ** 2).sum()
                total += ((picture[i, j + 1] - picture[i, j]) ** 2).sum()
        expected.append(total / picture.size)
    flat = np.ones((1, 7, 9, 2), np.float32)
    found = at_once(total_variation, np.concatenate([pictures, flat]))
    np.testing.assert_allclose(found, [*expected, 0], rtol=1e-5)


@jax.jit
@jax.value_and_grad
def norm(x: jax.Array, p: jax.Array) -> jax.Array:
    value: jax.Array = lp_norm(x, p)[0]
    return value


@pytest.mark.parametrize("p", [1.0, 2.0, 6.0])
def test_lp_norm_and_its_gradient(pictures: np.ndarray, p: float) -> None:
    signed = pictures.astype(np.float64) - 0.5
    value, gradient = norm(np.float32(signed[:1]), np.float32(p))
    mean = (np.abs(signed[0]) ** p).mean()
    np.testing.assert_allclose(value, mean ** (1 / p), rtol=1e-5)
    slope = mean ** (1 / p - 1) * np.sign(signed[0]) * np.abs(signed[0]) ** (p - 1)
    np.testing.assert_allclose(gradient[0], slope / signed[0].size, rtol=1e-3, atol=1e-6)


def test_lp_norm_of_black_has_a_finite_gradient(pictures: np.ndarray) -> None:
    assert np.isfinite(norm(0 * pictures[:1], np.float32(6))[1]).all()


def test_roll_moves_each_picture_by_its_own_shift(pictures: np.ndarray) -> None:
    shifts = np.array([[0, 0], [1, -2], [-3, 3]])
    expected = [np.roll(p, s, axis=(0, 1)) for p, s in zip(pictures, shifts, strict=True)]
    np.testing.assert_array_equal(at_once(roll, pictures, shifts), expected)


def test_shifts_cover_the_range_and_depend_on_the_class_alone() -> None:
    draw = partial(begin, jax.random.key(0), shape=(4, 4, 1), steps=300)
    pixels, shifts = draw(jnp.array([3, 8]), 100.0, 20.0, 2)
    assert shifts.shape == (300, 2, 2)
    counts = np.unique(shifts, return_counts=True)
    np.testing.assert_array_equal(counts[0], [-2, -1, 0, 1, 2])
    assert counts[1].min() > 180  # of 240 expected
    alone, own = draw(jnp.array([8, 8]), 100.0, 20.0, 2)
    np.testing.assert_array_equal(own[:, 0], shifts[:, 1])
    np.testing.assert_array_equal(alone[0], pixels[1])
    assert (shifts[:, 0] != shifts[:, 1]).any()


def test_noise_is_around_its_start() -> None:
    draw = partial(noise, amount=20.0, shape=(50, 50, 3))
    pixels = at_once(draw, jax.random.key(1), np.arange(2), 128.0)
    assert pixels.min() >= 118
    assert pixels.max() <= 138
    np.testing.assert_allclose(pixels.mean(), 128, atol=0.2)
    np.testing.assert_allclose(pixels.std(), 20 / np.sqrt(12), rtol=0.02)
    assert (pixels[0] != pixels[1]).any()


def test_unit_step(pictures: np.ndarray) -> None:
    *step, none = at_once(unit_step, np.concatenate([pictures, 0 * pictures[:1]]))
    np.testing.assert_allclose(np.sqrt(np.mean(np.square(step), axis=(1, 2, 3))), 1, rtol=1e-5)
    np.testing.assert_array_equal(none, 0)


def test_mean_activation(pictures: np.ndarray) -> None:
    signed, units = pictures - 0.5, np.array([1, 0, 1])
    plain = [signed[i, ..., u].mean() for i, u in enumerate(units)]
    rectified = [np.maximum(signed[i, ..., u], 0).mean() for i, u in enumerate(units)]

    def run(a: jax.Array, units: jax.Array) -> Any:
        return [mean_activation(a, units, rectify=rectify) for rectify in (False, True)]

    np.testing.assert_allclose(at_once(run, signed, units), [plain, rectified], rtol=1e-5)


def test_batches_have_one_shape() -> None:
    parts = list(batches([4, 5, 9, 2, 7], 2))
    assert [list(units) for units, _ in parts] == [[4, 5], [9, 2], [7, 7]]
    assert [wanted for _, wanted in parts] == [2, 2, 1]
    assert [list(units) for units, _ in batches([4, 5], 4)] == [[4, 5, 5, 5]]
