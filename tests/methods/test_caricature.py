"""Caricatures: like their own image to the layer, and more so than others'."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

from reportgen.core.blocks import Gallery, Group, KeyValues, Table
from reportgen.core.errors import ConfigError

FAST = ("method.caricature.steps=60", "method.caricature.count=3")


def _blocks(group: Any, kind: type) -> list[Any]:
    return [block for block in group.blocks if isinstance(block, kind)]


@pytest.fixture(scope="module")
def made(run_method: Callable[..., Any], averaged: Any) -> Any:
    return run_method("caricature", "method.caricature.layers=conv1", *FAST, model=averaged)


@pytest.mark.parametrize(
    "network", ["averaged", *(pytest.param(p, marks=pytest.mark.slow) for p in ("pool1", "ip1"))]
)
def test_a_caricature_is_like_its_own_image(
    network: str, request: pytest.FixtureRequest, run_method: Callable[..., Any], digits: Any
) -> None:
    """Of a network with random weights, and of LeNet's layers."""
    if network == "averaged":
        model, layer = request.getfixturevalue("averaged"), "conv1"
        made = request.getfixturevalue("made")
    else:
        model, layer = request.getfixturevalue("lenet"), network
        made = run_method("caricature", f"method.caricature.layers={layer}", *FAST)
    group = made.blocks[0]
    assert isinstance(group, Group)
    assert group.title == layer
    (gallery,), (table,) = _blocks(group, Gallery), _blocks(group, Table)
    assert [item.subtitle.split(",")[0] for item in gallery.items] == ["image", "caricature"] * 3
    images = np.stack([item.image for item in gallery.items[::2]])
    drawn = np.stack([item.image for item in gallery.items[1::2]])
    np.testing.assert_allclose(images, digits.pixels[:3], atol=1e-3)
    both = np.asarray(model.spec.normalise(np.concatenate([drawn, images])), np.float32)
    answers = np.asarray(jax.jit(lambda m, x: m.activation(layer, x))(model, both))
    a, b = answers.reshape(2, 3, -1)
    cosines = (a @ b.T) / np.outer(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1))
    assert (cosines.argmax(axis=1) == [0, 1, 2]).all()
    assert cosines.diagonal().min() > 0.75
    # The table tells the same.
    np.testing.assert_allclose([row[1] for row in table.rows], cosines.diagonal(), rtol=1e-3)
    strength = (a * b).sum(axis=1) / (b * b).sum(axis=1)
    np.testing.assert_allclose([row[2] for row in table.rows], strength, rtol=1e-3)


def test_a_power_asks_for_likeness_rather_than_strength(
    made: Any, run_method: Callable[..., Any], averaged: Any
) -> None:
    def means(group: Any) -> tuple[float, float]:
        rows = _blocks(group, Table)[0].rows
        return float(np.mean([row[1] for row in rows])), float(np.mean([row[2] for row in rows]))

    keys = ("method.caricature.layers=conv1", "method.caricature.power=0.0")
    strong = means(run_method("caricature", *keys, *FAST, model=averaged).blocks[0])
    alike = means(made.blocks[0])  # power=4, as Lucid has it
    assert alike[0] > strong[0]
    assert alike[1] < strong[1]


def test_lucid_s_recipe_is_said(made: Any) -> None:
    (said,) = (block for block in made.blocks if isinstance(block, KeyValues))
    pairs = dict(said.pairs)
    assert (pairs["preset"], pairs["pad"], pairs["jitter"]) == ("lucid", "8", "4/1")
    assert pairs["steps"] == "60"
    (gallery,) = _blocks(made.blocks[0], Gallery)
    assert "max(0.1, cosine)^4" in gallery.caption.formula
    assert "steps 60" in gallery.caption.formula


def test_what_does_not_fit_is_refused(run_method: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError, match="lucid has no use for crops; it takes"):
        run_method("caricature", "method.caricature.crops=3")
    with pytest.raises(ConfigError, match="preset"):
        run_method("caricature", "method.caricature.preset=keras_seed")
