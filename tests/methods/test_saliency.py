"""Saliency against central differences of the NumPy network."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reportgen.core.errors import ConfigError
from reportgen.methods.saliency import saliency
from tests.methods.small_networks import scored


def test_the_map_is_the_absolute_gradient(lenet: Any, numpy_lenet: Any) -> None:
    rng = np.random.default_rng(0)
    # Noise, since a flat background ties in the pools, where no gradient exists to compare with.
    x = rng.uniform(0, 1, (28, 28, 1))
    got = np.asarray(jax.jit(saliency)(lenet, np.float32(x[None]), np.array([3])))[0]
    assert got.shape == (28, 28)
    for row, column in rng.integers(0, 28, (12, 2)):
        step = np.zeros_like(x)
        step[row, column] = 1e-6
        # The network is piecewise linear: within a piece the difference is the gradient itself.
        up, down = (numpy_lenet(x + sign * step)["ip2"][3] for sign in (1, -1))
        np.testing.assert_allclose(got[row, column], abs(up - down) / 2e-6, rtol=1e-3, atol=1e-4)


def test_the_heatmap_is_drawn_to_the_percentile_and_tells_its_range(
    run_method: Any, lenet: Any, digits: Any
) -> None:
    (group,) = run_method("saliency", "method.saliency.count=1").blocks
    heatmap = group.blocks[0]
    assert heatmap.low == heatmap.map.min()
    assert heatmap.high == pytest.approx(np.percentile(heatmap.map, 99.5))
    assert dict(heatmap.facts)["lowest and highest value"] == (
        f"{heatmap.map.min():.4g} to {heatmap.map.max():.4g}"
    )
    assert dict(heatmap.facts)["seconds per image"] > 0
    np.testing.assert_array_equal(heatmap.image, digits.pixels[0])
    x = lenet.spec.normalise(digits.pixels[:1])
    expected = jax.jit(saliency)(lenet, x, np.asarray(scored(lenet, x)).argmax(axis=-1))[0]
    np.testing.assert_allclose(heatmap.map, expected, rtol=1e-4, atol=1e-5)


def test_the_maximum_is_over_channels() -> None:
    class Linear:
        def apply(self, x: Any) -> tuple[Any, dict[str, Any]]:
            weights = jnp.array([[1.0, -3.0, 2.0], [0.0, 0.5, -0.25]])
            return jnp.einsum("nhwc,kc->nk", x, weights), {}

    got = saliency(Linear(), jnp.ones((1, 2, 2, 3)), jnp.array([0]))  # type: ignore[arg-type]
    np.testing.assert_array_equal(got, np.full((1, 2, 2), 3.0))


@pytest.mark.parametrize("target", ["predicted", "true", "7"])
def test_targets(target: str, run_method: Any, digits: Any) -> None:
    result = run_method("saliency", "method.saliency.count=6", f"method.saliency.target={target}")
    assert len(result.blocks) == 6
    for i, group in enumerate(result.blocks):
        facts = dict(group.blocks[0].facts)
        assert facts["true class"] == str(digits.labels[i])
        expected = {"predicted": facts["predicted class"], "true": facts["true class"], "7": "7"}
        assert facts["explained class"] == expected[target]
        assert 0 < facts["its probability"] <= 1


def test_an_unknown_class_is_refused(run_method: Any) -> None:
    with pytest.raises(ConfigError, match=r"no class 'seven' among 10"):
        run_method("saliency", "method.saliency.target=seven")
