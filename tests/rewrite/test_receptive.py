"""Receptive fields against what moves a layer's output, and against published tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from reportgen.core.spec import InputSpec
from reportgen.rewrite.receptive import receptive_field

SPEC = InputSpec(height=24, width=20, channels=3, fixed_size=False)


class Net(nnx.Module):
    """Branches, padding, strides, dilation, pools; then a layer that sees everything."""

    def __init__(self, *, rngs: nnx.Rngs) -> None:
        self.first = nnx.Conv(3, 4, (3, 5), strides=(1, 2), padding="SAME", rngs=rngs)
        self.wide = nnx.Conv(4, 4, (3, 3), kernel_dilation=2, padding="VALID", rngs=rngs)
        self.short = nnx.Conv(4, 4, (1, 1), rngs=rngs)
        self.last = nnx.Conv(8, 2, (2, 2), strides=2, padding=((1, 0), (0, 1)), rngs=rngs)
        self.gate = nnx.Conv(2, 2, (1, 1), rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = jnp.tanh(self.first(x))
        joined = jnp.concatenate([self.wide(x), self.short(x)[:, 2:-2, 2:-2]], axis=-1)
        x = self.last(nnx.avg_pool(joined, (3, 2), strides=(1, 1)))
        x = x * jax.nn.sigmoid(x.mean((1, 2), keepdims=True))
        return self.gate(x).mean((1, 2))


PATHS = ["first", "wide", "short", "last", "gate"]


@pytest.fixture(scope="module")
def moved(model_of: Callable[..., Any]) -> tuple[Any, dict[str, Any]]:
    """The network, and by layer: places, and the derivative of each by the pixels."""
    model = model_of(Net, SPEC)
    x = np.random.default_rng(0).normal(size=(1, *SPEC.shape)).astype(np.float32)
    places = {}
    for path in PATHS:
        height, width, _ = model.layer(path).shape
        places[path] = [(0, 0), (height // 2, width // 2), (height - 1, width - 1)]

    @jax.jit
    def run(model: Any, x: jax.Array) -> Any:
        return {
            path: [
                jax.grad(lambda x, p=path, r=r, c=c: model.activation(p, x)[0, r, c].sum())(x)[0]
                for r, c in places[path]
            ]
            for path in PATHS
        }

    slopes = jax.device_get(run(model, x))
    return model, {path: list(zip(places[path], slopes[path], strict=True)) for path in PATHS}


@pytest.mark.parametrize("path", PATHS)
def test_a_place_moves_with_the_pixels_of_its_field_and_no_others(
    path: str, moved: tuple[Any, dict[str, Any]]
) -> None:
    model, slopes = moved
    field = receptive_field(model.traced(), path)
    for (row, column), slope in slopes[path]:
        rows, columns = np.abs(slope).sum(axis=-1).nonzero()
        top, bottom, left, right = field.box(row, column, SPEC.shape[:2])
        expected = max(top, 0), min(bottom, 24) - 1, max(left, 0), min(right, 20) - 1
        assert (rows.min(), rows.max(), columns.min(), columns.max()) == expected
    assert (field.rows is None) == (path == "gate")


@pytest.mark.parametrize(
    ("model", "path", "side", "stride"),
    [
        # As published: https://distill.pub/2019/computing-receptive-fields
        ("vgg16", "block5_pool", 212, 32),
        ("alexnet", "pool5", 195, 32),
        ("resnet18", "layer4.1", 435, 32),
        ("squeezenet1_0", "conv10", 155, 16),
    ],
)
def test_published_receptive_fields(
    model: str, path: str, side: int, stride: int, opened: Callable[..., Any]
) -> None:
    network = jax.eval_shape(lambda: opened(f"model={model}", "weights=random"))
    field = receptive_field(network.traced(), path)
    assert field.rows is not None
    assert (field.rows.last - field.rows.first + 1, field.rows.stride) == (side, stride)
    assert field.columns == field.rows._replace(axis=2)


def test_a_layer_that_is_not_there(lenet: Any) -> None:
    with pytest.raises(KeyError):
        receptive_field(lenet.traced(), "conv9")
