"""Caricatures: like their own image to the layer, and more so than others'."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from reportgen.core.blocks import Gallery, Group, KeyValues, Table
from reportgen.core.errors import ConfigError
from reportgen.methods.synthesis import objectives

FAST = ("method.caricature.steps=60", "method.caricature.count=3")


def _blocks(group: Any, kind: type) -> list[Any]:
    return [block for block in group.blocks if isinstance(block, kind)]


@pytest.mark.parametrize("layer", ["pool1", "ip1"])
def test_a_caricature_is_like_its_own_image(
    layer: str, run_method: Callable[..., Any], lenet: Any, digits: Any
) -> None:
    result = run_method("caricature", f"method.caricature.layers={layer}", *FAST)
    group = result.blocks[0]
    assert isinstance(group, Group)
    (gallery,), (table,) = _blocks(group, Gallery), _blocks(group, Table)
    assert [item.subtitle.split(",")[0] for item in gallery.items] == ["image", "caricature"] * 3
    images = np.stack([item.image for item in gallery.items[::2]])
    drawn = np.stack([item.image for item in gallery.items[1::2]])
    np.testing.assert_allclose(images, digits.pixels[:3], atol=1e-3)
    a, b = (
        np.asarray(lenet.activation(layer, jnp.asarray(lenet.spec.normalise(x)))).reshape(3, -1)
        for x in (drawn, images)
    )
    cosines = (a @ b.T) / np.outer(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1))
    assert (cosines.argmax(axis=1) == [0, 1, 2]).all()
    assert cosines.diagonal().min() > 0.75
    # The table tells the same.
    np.testing.assert_allclose([row[1] for row in table.rows], cosines.diagonal(), rtol=1e-3)
    strength = (a * b).sum(axis=1) / (b * b).sum(axis=1)
    np.testing.assert_allclose([row[2] for row in table.rows], strength, rtol=1e-3)
    assert objectives.cosines(a[:1], b[:1])[0] == pytest.approx(cosines[0, 0], rel=1e-3)


def test_a_power_asks_for_likeness_rather_than_strength(run_method: Callable[..., Any]) -> None:
    def means(power: float) -> tuple[float, float]:
        result = run_method(
            "caricature",
            "method.caricature.layers=ip1",
            f"method.caricature.power={power}",
            *FAST,
        )
        rows = _blocks(result.blocks[0], Table)[0].rows
        return float(np.mean([row[1] for row in rows])), float(np.mean([row[2] for row in rows]))

    strong, alike = means(0.0), means(8.0)
    assert alike[0] > strong[0]
    assert alike[1] < strong[1]


def test_lucid_s_recipe_is_said(run_method: Callable[..., Any]) -> None:
    result = run_method("caricature", "method.caricature.layers=conv1", "method.caricature.steps=1")
    (said,) = (block for block in result.blocks if isinstance(block, KeyValues))
    pairs = dict(said.pairs)
    assert (pairs["preset"], pairs["steps"], pairs["pad"], pairs["jitter"]) == (
        "lucid",
        "1",
        "8",
        "4/1",
    )
    (gallery,) = _blocks(result.blocks[0], Gallery)
    assert "max(0.1, cosine)^4" in gallery.caption.formula
    assert "steps 1" in gallery.caption.formula


def test_what_does_not_fit_is_refused(run_method: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError, match="lucid has no use for crops; it takes"):
        run_method("caricature", "method.caricature.crops=3")
    with pytest.raises(ConfigError, match="preset"):
        run_method("caricature", "method.caricature.preset=keras_seed")
