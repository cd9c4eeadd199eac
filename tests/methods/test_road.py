"""ROAD against a dense linear system made by loops, and its laws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from reportgen.core.errors import ConfigError
from reportgen.methods.faithfulness import BLOB, RANDOM, generator
from reportgen.methods.road import imputed

ONE = "method.road.count=1"


def _by_loops(pixels: np.ndarray, removed: np.ndarray) -> np.ndarray:
    """The same values from one dense equation a pixel, known ones too."""
    height, width, channels = pixels.shape
    system = np.eye(height * width)
    right = pixels.reshape(-1, channels).astype(np.float64)
    for i in range(height):
        for j in range(width):
            if not removed[i, j]:
                continue
            row = i * width + j
            system[row, row], right[row] = 0, 0
            for down in (-1, 0, 1):
                for to in (-1, 0, 1):
                    a, b = i + down, j + to
                    if (down, to) == (0, 0) or not (0 <= a < height and 0 <= b < width):
                        continue
                    weight = 1 / 12 if down and to else 1 / 6
                    system[row, a * width + b] -= weight
                    system[row, row] += weight
    return np.linalg.solve(system, right).reshape(pixels.shape)


@pytest.mark.parametrize("kept", [0.7, 0.3, 0.02])
def test_imputed_pixels_solve_the_system(kept: float) -> None:
    rng = np.random.default_rng(3)
    pixels = rng.uniform(0, 255, (9, 13, 3)).astype(np.float32)
    removed = rng.random((9, 13)) > kept
    removed[4, 7] = False
    got = imputed(pixels, removed)
    np.testing.assert_allclose(got, _by_loops(pixels, removed), rtol=1e-5)
    np.testing.assert_array_equal(got[~removed], pixels[~removed])
    # A mean of neighbours never leaves their range.
    assert got.min() >= pixels[~removed].min() - 1e-3
    assert got.max() <= pixels[~removed].max() + 1e-3


def test_one_pixel_is_the_weighted_mean_of_its_neighbours() -> None:
    pixels = np.arange(9, dtype=np.float32).reshape(3, 3, 1) ** 2
    removed = np.zeros((3, 3), bool)
    removed[1, 1] = True
    direct, diagonal = (1 + 9 + 25 + 49) / 6, (0 + 4 + 36 + 64) / 12
    assert imputed(pixels, removed)[1, 1, 0] == pytest.approx(direct + diagonal)
    corner = np.zeros((3, 3), bool)
    corner[0, 0] = True
    assert imputed(pixels, corner)[0, 0, 0] == pytest.approx((2 * 1 + 2 * 9 + 16) / 5)


def test_a_slope_is_restored_and_nothing_removed_changes_nothing() -> None:
    slope = np.add.outer(2.0 * np.arange(12), 3.0 * np.arange(12)).astype(np.float32)[..., None]
    removed = np.zeros((12, 12), bool)
    removed[3:9, 2:8] = True
    np.testing.assert_allclose(imputed(slope, removed), slope, atol=1e-4)
    np.testing.assert_array_equal(imputed(slope, np.zeros((12, 12), bool)), slope)


def test_numbers_are_those_of_loops(
    lenet: Any, digits: Any, numpy_lenet: Any, run_method: Any, explained: dict[str, Any]
) -> None:
    from jax import random

    from reportgen.methods.base import fold_in_name

    chosen = ("method.road.percentiles=[20,60]", "method.road.noise=0.05", ONE)
    maps = {"saliency": explained["saliency"]}
    result = run_method("road", *chosen, maps=maps)
    heat = maps["saliency"].maps[0]
    pixels, key = digits.pixels[0], fold_in_name(random.key(0), "road")
    noise = 255 * 0.05 * generator(key, f"noise:{digits.names[0]}").normal(size=(28, 28, 1))
    target = numpy_lenet(np.asarray(lenet.spec.normalise(pixels), np.float64))["ip2"].argmax()
    falling = sorted((-heat[i, j], i, j) for i in range(28) for j in range(28))
    seen: dict[str, list[float]] = {"Most relevant removed": [], "Least relevant removed": []}
    for kind, order in zip(seen, (falling, falling[::-1]), strict=True):
        for count in (157, 470):  # 20 and 60 percent of 784
            removed = np.zeros((28, 28), bool)
            for _, i, j in order[:count]:
                removed[i, j] = True
            filled = _by_loops(pixels, removed) + removed[..., None] * noise
            scores = numpy_lenet(lenet.spec.normalise(filled))["ip2"]
            seen[kind].append(1 / np.exp(scores - scores[target]).sum())
    curves = {b.caption.title: b.series for b in result.blocks if b.type == "curve"}
    for kind, values in seen.items():
        np.testing.assert_allclose(curves[kind][0].y, values, atol=1e-4)
    most, least = (np.mean(values) for values in seen.values())
    assert result.metrics["Saliency: ROAD ↑"] == pytest.approx((least - most) / 2, abs=1e-4)
    means = result.blocks[2]
    assert means.rows[0][1:] == pytest.approx(((least - most) / 2, most, least, 1), abs=1e-4)


def test_on_centred_digits_a_blob_is_hard_to_beat_and_noise_gains_nothing(
    run_method: Any, explained: dict[str, Any]
) -> None:
    result = run_method("road", maps=explained)
    means = {row[0]: row[1] for row in result.blocks[2].rows}
    assert list(means) == ["Saliency", "Grad-CAM", RANDOM, BLOB]
    assert means[BLOB] > 0.2
    assert abs(means[RANDOM]) < 0.02
    assert means[RANDOM] + 0.05 < means["Saliency"] < means[BLOB]
    told = {finding.where: finding for finding in result.findings}
    assert set(told) == {"saliency", "gradcam"}
    assert f"its ROAD is {means['Saliency']:.4g}, a centred blob's" in told["saliency"].message
    assert RANDOM not in told["saliency"].message
    assert (told["saliency"].value, told["saliency"].threshold) == (means["Saliency"], means[BLOB])
    assert set(dict(result.evidence["saliency", 3])) == {"ROAD (controls)"}


def test_a_wrong_percentile_is_refused(run_method: Any) -> None:
    with pytest.raises(
        ConfigError, match=r"road\.percentiles\.0: expected greater than or equal to 1"
    ):
        run_method("road", "method.road.percentiles=[0,50]", maps={})
