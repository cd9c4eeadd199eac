"""Other sizes, against JAX's own and Pillow's."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
from PIL import Image

from reportgen.methods.resize import Kind, resized
from tests.at_once import at_once

SIZES = [
    ((7, 5), (12, 11)),
    ((12, 11), (7, 5)),
    ((6, 9), (6, 4)),
    ((1, 1), (3, 2)),
    ((5, 5), (5, 5)),
]


KINDS: tuple[Kind, ...] = ("bicubic", "bilinear", "nearest")
CASES = [(kind, source, target) for kind in KINDS for source, target in SIZES]


def pictures(source: tuple[int, int]) -> np.ndarray:
    """(2, …, 3)"""
    return np.random.default_rng(0).normal(size=(2, *source, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def made() -> dict[Any, Any]:
    """Ours and JAX's, by case."""

    def run(values: dict[str, jax.Array]) -> Any:
        highest = jax.lax.Precision.HIGHEST
        return [
            (
                resized(values[str(source)], target, kind),
                jax.image.resize(values[str(source)], (2, *target, 3), kind, precision=highest),
            )
            for kind, source, target in CASES
        ]

    return dict(
        zip(
            CASES, at_once(run, {str(source): pictures(source) for source, _ in SIZES}), strict=True
        )
    )


@pytest.mark.parametrize(("kind", "source", "target"), CASES)
def test_as_jax_does(kind: Kind, source: Any, target: Any, made: dict[Any, Any]) -> None:
    found, expected = made[kind, source, target]
    assert found.shape == (2, *target, 3)
    np.testing.assert_allclose(found, expected, atol=2e-6)


@pytest.mark.parametrize(("kind", "source", "target"), [c for c in CASES if c[0] != "nearest"])
def test_as_pillow_does(kind: Kind, source: Any, target: Any, made: dict[Any, Any]) -> None:
    planes = pictures(source)[1].transpose(2, 0, 1).copy()
    expected = [
        np.asarray(Image.fromarray(p).resize(target[::-1], Image.Resampling[kind.upper()]))
        for p in planes
    ]
    np.testing.assert_allclose(made[kind, source, target][0][1], np.stack(expected, -1), atol=1e-5)


def test_the_derivative_is_the_transpose() -> None:
    rng = np.random.default_rng(2)
    up, down = (rng.normal(size=s).astype(np.float32) for s in ((1, 9, 4, 1), (1, 5, 6, 1)))

    def run(up: jax.Array, down: jax.Array) -> Any:
        seen, back = jax.vjp(lambda x: resized(x, (9, 4), "bicubic"), down)
        return seen, back(up)[0]

    seen, gradient = at_once(run, up, down)
    assert (seen * up).sum() == pytest.approx((down * gradient).sum(), 1e-4)
