"""Other sizes, against JAX's own and Pillow's."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from reportgen.methods.resize import Kind, resized

SIZES = [
    ((7, 5), (12, 11)),
    ((12, 11), (7, 5)),
    ((6, 9), (6, 4)),
    ((1, 1), (3, 2)),
    ((5, 5), (5, 5)),
]


@pytest.mark.parametrize("kind", ["bicubic", "bilinear", "nearest"])
@pytest.mark.parametrize(("source", "target"), SIZES)
def test_as_jax_does(source: tuple[int, int], target: tuple[int, int], kind: Kind) -> None:
    values = jnp.asarray(np.random.default_rng(0).normal(size=(2, *source, 3)), jnp.float32)
    expected = jax.image.resize(values, (2, *target, 3), kind, precision=jax.lax.Precision.HIGHEST)
    np.testing.assert_allclose(resized(values, target, kind), expected, atol=2e-6)


@pytest.mark.parametrize("kind", ["bicubic", "bilinear"])
@pytest.mark.parametrize(("source", "target"), SIZES)
def test_as_pillow_does(source: tuple[int, int], target: tuple[int, int], kind: Kind) -> None:
    values = np.random.default_rng(1).normal(size=source).astype(np.float32)
    made = Image.fromarray(values).resize(target[::-1], Image.Resampling[kind.upper()])
    found = resized(jnp.asarray(values)[None, :, :, None], target, kind)[0, :, :, 0]
    np.testing.assert_allclose(found, np.asarray(made), atol=1e-5)


def test_the_derivative_is_the_transpose() -> None:
    seen, back = jax.vjp(lambda x: resized(x, (9, 4), "bicubic"), jnp.zeros((1, 5, 6, 1)))
    rng = np.random.default_rng(2)
    up, down = rng.normal(size=seen.shape), rng.normal(size=(1, 5, 6, 1))
    there = (np.asarray(resized(jnp.asarray(down), (9, 4), "bicubic")) * up).sum()
    assert there == pytest.approx((down * np.asarray(back(jnp.asarray(up, "f4"))[0])).sum(), 1e-4)
