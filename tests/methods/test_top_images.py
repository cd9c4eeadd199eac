"""Top images against everything sorted at once, in any batches."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reportgen.core.errors import ConfigError
from reportgen.methods.top_images import Leaders

KEYS = ("layers=conv2", "method.top_images.units=[3,41]", "method.top_images.keep=5")


def test_the_leaders_are_those_of_all_images(run_method: Any, lenet: Any, digits: Any) -> None:
    groups = run_method("top_images", *KEYS, "engine.batch=7").blocks
    x = jnp.asarray(lenet.spec.normalise(digits.pixels[:]))
    maps = np.asarray(jax.jit(lambda m, x: m.activation("conv2", x))(lenet, x))
    for group, unit in zip(groups, (3, 41), strict=True):
        montage, pairs, histogram = group.blocks
        best = maps[..., unit].reshape(len(maps), -1)
        order = np.argsort(-best.max(axis=1), kind="stable")[:5]
        assert [name for name, _ in pairs.pairs] == [digits.names[i] for i in order]
        values = [value for _, value in pairs.pairs]
        np.testing.assert_allclose(values, best.max(axis=1)[order], rtol=1e-5)
        for tile, image in zip(montage.tiles, order, strict=True):
            row, column = divmod(int(best[image].argmax()), 8)
            # conv2 sees 14 x 14 pixels from (2 row, 2 column) on.
            seen = digits.pixels[int(image)][
                2 * row : 2 * row + 14, 2 * column : 2 * column + 14, 0
            ]
            np.testing.assert_array_equal(tile, seen)
        counts, edges = np.asarray(histogram.counts), np.asarray(histogram.edges)
        np.testing.assert_array_equal(counts, np.histogram(best, edges)[0])
        assert counts.sum() == best.size
        assert edges[0] <= best.min()
        assert edges[-1] >= best.max()


def test_a_dense_layers_images_are_whole(run_method: Any, digits: Any) -> None:
    (group,) = run_method("top_images", "layers=ip2", "method.top_images.units=[4]").blocks
    montage, pairs, _ = group.blocks
    named = list(digits.names)
    chosen = [named.index(name) for name, _ in pairs.pairs]
    np.testing.assert_array_equal(montage.tiles, digits.pixels[chosen][..., 0])
    assert (np.asarray(digits.labels)[chosen] == 4).all()


def test_batches_do_not_matter() -> None:
    found = np.random.default_rng(0).integers(-9, 9, (40, 6, 3)).astype(np.float32)
    found[20:] *= 13.7
    together, apart = Leaders.none(3, 4), Leaders.none(3, 4)
    together.take(found, 0)
    for start in range(0, 40, 3):
        apart.take(found[start : start + 3], start)
    for name in ("values", "images", "places", "bound"):
        np.testing.assert_array_equal(getattr(together, name), getattr(apart, name))
    for unit in range(3):
        counts, edges = apart.histogram(unit)
        assert counts.sum() == 240
        one = together.histogram(unit)
        np.testing.assert_array_equal(one[1], edges)


def test_fewer_images_than_are_kept() -> None:
    leaders = Leaders.none(1, 4)
    leaders.take(np.zeros((2, 3, 1), np.float32), 0)
    assert np.isfinite(leaders.values).sum() == 2
    np.testing.assert_array_equal(leaders.images[0, :2], [0, 1])
    assert leaders.histogram(0)[0].sum() == 6


def test_a_unit_that_is_not_there_is_refused(run_method: Any) -> None:
    with pytest.raises(ConfigError, match="conv1"):
        run_method("top_images", "layers=conv1", "method.top_images.units=[99]")
