"""The first layers against the slowest loops there are: valid convolution, max-pool of 2 × 2."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
from flax import nnx

from reportgen.core.blocks import Group, Montage
from reportgen.models.zoo.layers import MaxPool

MAPS = 10


class TwoLayers(nnx.Module):
    """Ten feature maps, halved; and something to score."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.conv = nnx.Conv(1, MAPS, (5, 5), padding="VALID", rngs=rngs)
        self.pool = MaxPool(2, 2)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.pool(self.conv(x)).mean((1, 2))


def convolution(image: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Every product by itself: (h, w) and (k, k, maps) to (h - k + 1, w - k + 1, maps)."""
    side, maps = kernel.shape[0], kernel.shape[2]
    height, width = image.shape[0] - side + 1, image.shape[1] - side + 1
    out = np.zeros((height, width, maps))
    for row in range(height):
        for column in range(width):
            for m in range(maps):
                total = bias[m]
                for i in range(side):
                    for j in range(side):
                        total += image[row + i, column + j] * kernel[i, j, m]
                out[row, column, m] = total
    return out


def max_pool(maps: np.ndarray) -> np.ndarray:
    """The largest of each 2 × 2."""
    height, width, count = maps.shape
    out = np.zeros((height // 2, width // 2, count))
    for row in range(height // 2):
        for column in range(width // 2):
            for m in range(count):
                largest = -np.inf
                for i in range(2):
                    for j in range(2):
                        largest = max(largest, maps[2 * row + i, 2 * column + j, m])
                out[row, column, m] = largest
    return out


@pytest.fixture(scope="module")
def model(model_of: Callable[..., Any], lenet: Any) -> Any:
    return model_of(lambda rngs: TwoLayers(rngs), lenet.spec)


@pytest.mark.parametrize("index", [0, 7])
def test_ten_maps_of_a_digit_and_their_pools(
    index: int, model: Any, digits: Any, run_method: Any
) -> None:
    image = digits.pixels[index][..., 0].astype(np.float64) / 256
    kernel = np.asarray(model.parameters["conv.kernel"], np.float64)[:, :, 0]
    bias = np.asarray(model.parameters["conv.bias"], np.float64)
    expected = {"conv": convolution(image, kernel, bias)}
    expected["pool"] = max_pool(expected["conv"])
    chosen = ("layers=[conv,pool]", f"method.activations.images={index}")
    groups = [
        g for g in run_method("activations", *chosen, model=model).blocks if g.type == "group"
    ]
    assert [group.title for group in groups] == ["conv", "pool"]
    for group in groups:
        assert isinstance(group, Group)
        (montage,) = (block for block in group.blocks if isinstance(block, Montage))
        assert len(montage.tiles) == MAPS
        np.testing.assert_allclose(
            montage.tiles.transpose(1, 2, 0), expected[group.title], rtol=1e-5, atol=1e-5
        )
