"""Occlusion against loops over NumPy arrays, and its laws."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reportgen.core.blocks import Heatmap, Table
from reportgen.core.errors import ConfigError
from reportgen.methods.occlusion import occluded_scores, spread, windows
from tests.methods.small_networks import scored

PATCH, STRIDE = 9, 7  # the last window is cut at the edge of 28 pixels


def test_the_map_is_the_mean_drop_over_the_squares_that_cover_a_pixel(
    lenet: Any, digits: Any, numpy_lenet: Any, run_method: Any
) -> None:
    overrides = (f"method.occlusion.patch={PATCH}", f"method.occlusion.stride={STRIDE}")
    (group,) = run_method("occlusion", "method.occlusion.count=1", *overrides).blocks
    heatmap, winner, table = group.blocks
    x = np.asarray(lenet.spec.normalise(digits.pixels[0]), np.float64)
    whole = numpy_lenet(x)["ip2"]
    target = int(whole.argmax())
    total, count = np.zeros((28, 28)), np.zeros((28, 28))
    wins = []
    for top in (0, 7, 14, 21):
        for left in (0, 7, 14, 21):
            covered = x.copy()
            covered[top : top + PATCH, left : left + PATCH] = 0
            scores = numpy_lenet(covered)["ip2"]
            total[top : top + PATCH, left : left + PATCH] += whole[target] - scores[target]
            count[top : top + PATCH, left : left + PATCH] += 1
            wins.append(int(scores.argmax()))
    np.testing.assert_allclose(heatmap.map, total / count, rtol=1e-4, atol=1e-4)
    assert heatmap.low == -heatmap.high
    counted = {row[1]: row[2] for row in table.rows}
    assert counted == {lenet.classes[c]: wins.count(c) for c in set(wins)}
    first = {rank: wins.count(lenet.classes.index(name)) for rank, name, _, _ in table.rows}
    assert set(np.unique(winner.map)) <= set(first)


def test_one_square_over_the_whole_image_takes_the_whole_score(lenet: Any, run_method: Any) -> None:
    (group,) = run_method(
        "occlusion", "method.occlusion.count=1", "method.occlusion.patch=28"
    ).blocks
    facts = dict(group.blocks[0].facts)
    empty = scored(lenet, np.zeros((1, 28, 28, 1), np.float32))[0]
    target = lenet.classes.index(facts["explained class"])
    expected = facts["its logit"] - float(empty[target])
    np.testing.assert_allclose(group.blocks[0].map, np.full((28, 28), expected), rtol=1e-4)
    # One class alone wins: there is no map of it, which would be blank.
    assert [type(block) for block in group.blocks] == [Heatmap, Table]
    assert len(group.blocks[1].rows) == 1


def test_a_value_for_each_block_is_the_score_with_the_square_around_it(
    lenet: Any, digits: Any, numpy_lenet: Any, run_method: Any
) -> None:
    """As keras-vis users draw it: squares of 5 x 4 of half grey around blocks of 4."""
    keys = ("patch=20", "stride=4", "fill=127.5", "value=score", "spread=block", "target=true")
    overrides = [f"method.occlusion.{key}" for key in ("count=1", *keys)]
    heat = run_method("occlusion", *overrides).blocks[0].blocks[0].map
    x = np.asarray(lenet.spec.normalise(digits.pixels[0]), np.float64)
    label = int(digits.labels[0])
    for row, column in ((0, 0), (3, 5), (6, 6)):
        padded = np.pad(x, ((8, 8), (8, 8), (0, 0)))
        padded[4 * row : 4 * row + 20, 4 * column : 4 * column + 20] = 127.5 / 256
        expected = numpy_lenet(padded[8:-8, 8:-8])["ip2"][label]
        block = heat[4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
        np.testing.assert_allclose(block, np.full((4, 4), expected), rtol=1e-3, atol=1e-3)


def test_windows_reach_the_end() -> None:
    np.testing.assert_array_equal(windows(10, 4, 3, centred=False), [[0, 4], [3, 7], [6, 10]])
    np.testing.assert_array_equal(windows(9, 4, 3, centred=False), [[0, 4], [3, 7], [6, 9]])
    np.testing.assert_array_equal(windows(3, 9, 9, centred=False), [[0, 3]])
    np.testing.assert_array_equal(windows(8, 12, 4, centred=True), [[0, 8], [0, 8]])
    np.testing.assert_array_equal(windows(12, 6, 4, centred=True), [[0, 5], [3, 9], [7, 12]])


def test_rows_and_columns_are_not_mixed_up() -> None:
    rows, columns = windows(4, 2, 2, centred=False), windows(6, 2, 2, centred=False)
    values = jnp.arange(6.0).reshape(2, 3)
    expected = np.repeat(np.repeat(np.arange(6.0).reshape(2, 3), 2, 0), 2, 1)
    made = jax.jit(lambda values: spread(values, rows, columns, (4, 6)))(values)
    np.testing.assert_allclose(made, expected)


def test_a_batch_of_one_gives_the_same(lenet: Any, digits: Any) -> None:
    image = jnp.asarray(lenet.spec.normalise(digits.pixels[0]))
    part = windows(28, PATCH, STRIDE, centred=False)
    both = [
        jax.jit(lambda m, i, n=n: occluded_scores(m, i, jnp.zeros(1), part, part, n)[1])(
            lenet, image
        )
        for n in (1, 5)
    ]
    np.testing.assert_allclose(both[0], both[1], rtol=1e-4, atol=1e-4)


def test_a_stride_that_leaves_gaps_is_refused(run_method: Any) -> None:
    with pytest.raises(ConfigError, match="stride is 9, more than the patch of 4"):
        run_method("occlusion", "method.occlusion.patch=4", "method.occlusion.stride=9")
