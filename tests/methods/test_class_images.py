"""Class images: the ascent's gradient and range, and what the embedded network makes of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reportgen.core.blocks import Montage, Table, Text
from reportgen.core.errors import ConfigError
from reportgen.engine.programs import compilations
from reportgen.engine.rows import Engine
from reportgen.methods.synthesis import class_score
from reportgen.models.base import Model


def _penalties(**changes: float) -> class_score.Penalties:
    values = {"tv_weight": 50.0, "lp_weight": 40.0, "lp": 1.0, "low": 0.0, "high": 255.0}
    return class_score.Penalties(**(values | changes))


def _images(
    model: Model, classes: list[int], *, batch: int = 1, seed: int = 0, **penalties: float
) -> class_score.ClassImages:
    return class_score.synthesise(
        Engine.local(16),
        model,
        classes,
        _penalties(**penalties),
        key=jax.random.key(seed),
        shapes=[(14, 14), (20, 20)],
        steps=5,
        step_size=8.0,
        start=128.0,
        amount=20.0,
        jitter=1,
        batch=batch,
        advance=lambda count: None,
    )


def test_a_step_follows_the_whole_objective(lenet: Model) -> None:
    """The gradient in two parts is that of the objective, by finite differences."""
    rng = np.random.default_rng(0)
    pixels = rng.uniform(40, 200, (1, 16, 16, 1)).astype(np.float32)
    classes, shifts, penalties = np.array([4]), np.array([[1, -2]]), _penalties()

    @jax.jit
    @jax.value_and_grad
    def objective(pixels: jax.Array) -> jax.Array:
        rolled = jnp.roll(pixels, (1, -2), axis=(1, 2))
        large = jax.image.resize(rolled, (1, 28, 28, 1), "cubic")
        x = pixels[0, ..., 0] / 255
        variation = (x[1:, :-1] - x[:-1, :-1]) ** 2 + (x[:-1, 1:] - x[:-1, :-1]) ** 2
        score = lenet.apply(large / 256)[0][0, 4]
        return score - 50 * variation.sum() / 256 - 40 * jnp.abs(x).mean()

    shown = class_score.show(pixels, shifts, shape=(28, 28))
    gradient = jax.jit(class_score.LogitGradient(), static_argnums=0)(1, lenet, shown, classes)
    moved = class_score.move(jnp.asarray(pixels), gradient, shifts, 1.0, penalties) - pixels
    expected = np.asarray(objective(pixels)[1])
    rms = np.sqrt((expected**2).mean())
    np.testing.assert_allclose(moved, expected / (rms + 1e-7), rtol=1e-2, atol=1e-3)
    # And the slope along the step is what it promises.
    ahead, behind = (float(objective(pixels + sign * moved)[0]) for sign in (0.5, -0.5))
    np.testing.assert_allclose(ahead - behind, rms * 256, rtol=0.05)


@pytest.fixture(scope="module")
def base(lenet: Model) -> class_score.ClassImages:
    return _images(lenet, [1, 5, 7])


def test_pixels_stay_in_the_range(lenet: Model) -> None:
    pictures = _images(lenet, [3, 8], low=30.0, high=140.0).pictures
    assert pictures.shape == (2, 20, 20, 1)
    assert pictures.min() == 30
    assert pictures.max() == 140


@pytest.mark.slow
def test_a_picture_depends_on_nothing_but_its_class_and_key(
    lenet: Model, base: class_score.ClassImages
) -> None:
    np.testing.assert_array_equal(_images(lenet, [1, 5, 7]).pictures, base.pictures)
    mixed = _images(lenet, [7, 2, 5])
    np.testing.assert_array_equal(mixed.pictures[[2, 0]], base.pictures[1:])
    # In batches only rounding may differ: by the place in the batch, and by the batch's size.
    pairs = _images(lenet, [7, 2, 1, 5], batch=2)
    np.testing.assert_allclose(pairs.pictures[[2, 3, 0]], base.pictures, atol=0.5)
    other = _images(lenet, [5], seed=1)
    assert np.abs(other.pictures[0] - base.pictures[1]).max() > 10


def test_regularisers_do_what_they_say(lenet: Model) -> None:
    free = _images(lenet, [0, 6], tv_weight=0.0, lp_weight=0.0).pictures
    smooth = _images(lenet, [0, 6], tv_weight=300.0, lp_weight=0.0).pictures
    dark = _images(lenet, [0, 6], tv_weight=0.0, lp_weight=60.0).pictures
    assert np.abs(np.diff(smooth, axis=1)).mean() < 0.8 * np.abs(np.diff(free, axis=1)).mean()
    assert dark.mean() < 0.8 * free.mean()


def test_the_network_is_compiled_once_for_all_sizes(
    lenet: Model, base: class_score.ClassImages
) -> None:
    before = compilations(), class_score.move._cache_size()
    _images(lenet, [2, 3], tv_weight=1.0, seed=4)
    assert before == (compilations(), class_score.move._cache_size())


def _one(result: Any, kind: type) -> Any:
    (block,) = (block for block in result.blocks if isinstance(block, kind))
    return block


def test_every_digit_is_taken_for_itself(run_method: Callable[..., Any]) -> None:
    result = run_method("class_images", "method.class_images.scales=1")
    montage, table = _one(result, Montage), _one(result, Table)
    assert montage.tiles.shape == (10, 56, 56)
    assert (montage.low, montage.high, montage.colormap) == (0.0, 255.0, "gray")
    assert montage.labels == tuple("0123456789")
    own = [row for row in table.rows if row[0] == row[3]]
    assert len(own) >= 9
    assert all(row[2] > 0.9 for row in own)
    # Strokes on black, not noise: most pixels are dark, and neighbours are alike.
    assert np.median(montage.tiles) < 30
    neighbours = np.abs(np.diff(montage.tiles, axis=2)).mean()
    assert neighbours < 0.35 * montage.tiles.std()


def test_a_picture_that_misses_its_class_is_said(run_method: Callable[..., Any]) -> None:
    result = run_method(
        "class_images",
        "method.class_images.classes=[3,8]",
        "method.class_images.steps=1",
        "method.class_images.scales=0",
        "method.class_images.lp_weight=1000.0",
    )
    assert _one(result, Montage).labels == ("3", "8")
    rows = _one(result, Table).rows
    missed = [row for row in rows if row[0] != row[3]]
    assert missed
    text = _one(result, Text).text
    assert all(f"{row[0]} (taken for {row[3]})" in text for row in missed)


def test_settings_are_checked(run_method: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError, match="There is no class 'ten'"):
        run_method("class_images", "method.class_images.classes=ten")
    with pytest.raises(ConfigError, match="the lower first"):
        run_method("class_images", "method.class_images.value_range=[255.0,0.0]")
