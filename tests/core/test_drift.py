"""What changed between two measurements: against loops, SciPy and cases made by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import ks_2samp

from reportgen.core import drift
from reportgen.core.measured import bin_of
from tests.core.measurements import layer, measured


def test_equal_weights_have_not_changed() -> None:
    weights = np.random.default_rng(0).normal(size=5000)
    one, other = layer(weights=weights), layer(weights=weights.copy())
    assert drift.weight_change(one, other) == 0.0
    assert drift.weight_cosine(one, other) == 1.0
    assert not drift.has_weights(layer(), one)


@pytest.mark.parametrize("size", [1e-6, 0.01, 0.3, 2.0])
def test_change_and_angle_of_weights(size: float) -> None:
    rng = np.random.default_rng(1)
    before = rng.normal(size=30_000)
    after = before + size * rng.normal(size=30_000)
    expected = np.linalg.norm(after - before) / np.linalg.norm(before)
    cosine = before @ after / (np.linalg.norm(before) * np.linalg.norm(after))
    one, other = layer(weights=before), layer(weights=after)
    assert drift.weight_change(one, other) == pytest.approx(expected, rel=0.1)
    assert drift.weight_cosine(one, other) == pytest.approx(cosine, abs=0.1 * size)


def test_weights_that_are_zero_or_no_numbers() -> None:
    zero, one = layer(weights=np.zeros(2000)), layer(weights=np.ones(2000))
    assert drift.weight_change(zero, one) == math.inf
    assert drift.weight_change(one, zero) == pytest.approx(1, rel=0.1)
    assert math.isnan(drift.weight_cosine(zero, one))
    broken = np.ones(2000)
    broken[7] = np.nan
    assert math.isnan(drift.weight_change(one, layer(weights=broken)))
    assert math.isnan(drift.weight_cosine(one, layer(weights=broken)))


def slow_stability(before: np.ndarray, after: np.ndarray) -> float:
    """Group by group; the border of a group is the bin in which a decile of the base lies."""
    b, c = (np.sort(bin_of(values)).tolist() for values in (before, after))
    borders = sorted({b[math.ceil(k * len(b) / 10) - 1] for k in range(1, 10)})
    found = 0.0
    for low, high in zip([-1, *borders], [*borders, 5000], strict=True):
        expected, actual = (
            max(sum(low < value <= high for value in values) / len(values), 1e-4)
            for values in (b, c)
        )
        found += (actual - expected) * math.log(actual / expected)
    return found


@pytest.mark.parametrize(
    ("moved", "low", "high"), [(0.0, 0.0, 0.02), (0.3, 0.05, 0.3), (3.0, 2.0, 12.0)]
)
@pytest.mark.parametrize("rectified", [False, True])
def test_stability_against_loops(moved: float, low: float, high: float, rectified: bool) -> None:
    rng = np.random.default_rng(2)
    before, after = rng.normal(size=(3000, 1)), rng.normal(size=(2000, 1)) + moved
    if rectified:  # half of the base's answers lie in one bin, which holds five deciles
        before, after = np.maximum(before, 0), np.maximum(after, 0)
    found = drift.population_stability(layer(answers=before), layer(answers=after))
    assert found == pytest.approx(slow_stability(before.ravel(), after.ravel()), rel=1e-9)
    assert low <= found <= high


def test_an_empty_group_gives_a_finite_number() -> None:
    low, high = layer(answers=np.linspace(1, 2, 50)[:, None]), layer(answers=np.full((9, 1), 90.0))
    # All of the candidate lies in the last group, which holds a tenth or less of the base.
    assert 6 < drift.population_stability(low, high) < 12
    same = layer(answers=np.full((9, 1), 3.0))
    assert drift.population_stability(same, same) == 0
    broken = layer(answers=np.full((9, 1), np.nan))
    assert drift.has_answers(low, broken)
    assert math.isnan(drift.population_stability(low, broken))
    assert math.isnan(drift.distance_of_distributions(low, broken))


def test_distance_of_distributions_against_scipy() -> None:
    rng = np.random.default_rng(3)
    before, after = rng.normal(size=(3000, 1)), rng.normal(size=(2000, 1)) * 1.3 + 0.2
    one, other = layer(answers=before), layer(answers=after)
    found = drift.distance_of_distributions(one, other)
    # Of the answers' bins it is SciPy's; of the answers themselves hardly more.
    binned = ks_2samp(bin_of(before).ravel(), bin_of(after).ravel()).statistic
    assert found == pytest.approx(binned, rel=1e-12)
    assert found <= ks_2samp(before.ravel(), after.ravel()).statistic < found + 0.05
    assert drift.distance_of_distributions(one, one) == 0
    far = layer(answers=before - 100)
    assert drift.distance_of_distributions(one, far) == pytest.approx(1)


def test_units_die_and_come_back() -> None:
    base = layer(dead=np.array([True, False, False, True]))
    candidate = layer(dead=np.array([False, True, False, True]))
    assert drift.newly_dead(base, candidate).tolist() == [1]
    assert drift.revived(base, candidate).tolist() == [0]


def test_shifts_are_in_units_of_the_bases_deviation() -> None:
    base = layer(means=np.array([1.0, 1, 2, 2]), deviations=np.array([0.5, 2, 0, 0]))
    candidate = layer(means=np.array([0.0, np.nan, 2, 3]), deviations=np.ones(4))
    np.testing.assert_array_equal(drift.unit_shifts(base, candidate), [-2.0, np.nan, 0.0, np.inf])


def test_layers_are_matched_by_path_and_shape() -> None:
    base = measured(layer("a"), layer("b"), layer("old"))
    candidate = measured(layer("b", shape=(4, 4, 4)), layer("new"), layer("a"))
    found = drift.matched(base, candidate)
    assert [(b.path, c.path) for b, c in found.pairs] == [("a", "a")]
    assert [(b.shape, c.shape) for b, c in found.reshaped] == [((8, 8, 4), (4, 4, 4))]
    assert [one.path for one in found.removed] == ["old"]
    assert [one.path for one in found.added] == ["new"]


def test_images_are_known_by_their_pixels() -> None:
    base, candidate = measured(images=[5, 1, 7, 1]), measured(images=[1, 9, 1, 5, 5])
    assert drift.shared_images(base, candidate).tolist() == [[1, 0], [3, 2], [0, 3]]
    assert drift.shared_images(base, measured(images=[8])).shape == (0, 2)
    assert drift.shared_images(measured(), measured()).shape == (0, 2)


def test_accuracy_over_images_that_both_have() -> None:
    base = measured(images=[1, 2, 3, 4], labels=[0, 1, 2, 0], predicted=[0, 1, 2, 2])
    candidate = measured(images=[3, 9, 2, 1], labels=[2, 0, 1, -1], predicted=[2, 0, 0, 0])
    found = drift.answered(base, candidate)
    assert found.places.tolist() == [[2, 0], [1, 2]]
    assert found.accuracy == (1.0, 0.5)
    nothing = drift.answered(base, measured(images=[1, 2]))
    assert all(map(math.isnan, nothing.accuracy))


def test_flips_tell_losses_first() -> None:
    base = measured(images=[1, 2, 3, 4, 5], labels=[0, 1, 2, 0, -1], predicted=[1, 1, 0, 0, 2])
    candidate = measured(images=[5, 4, 3, 2, 1], labels=[-1, 0, 2, 1, 0], predicted=[0, 0, 1, 2, 0])
    found = drift.flips(base, candidate)
    assert [(f.name, f.base, f.candidate, f.before, f.after, f.change) for f in found] == [
        ("image-2", 1, 3, 1, 2, "right to wrong"),
        ("image-3", 2, 2, 0, 1, "wrong to wrong"),
        ("image-5", 4, 0, 2, 0, "unlabelled"),
        ("image-1", 0, 4, 1, 0, "wrong to right"),
    ]


def test_swapped_names_of_classes_are_flips_and_new_names_are_none() -> None:
    base = measured(images=[1, 2, 3], labels=[0, 1, 2], predicted=[0, 1, 2])
    swapped = measured(images=[1, 2, 3], labels=[1, 0, 2], predicted=[0, 1, 2])
    found = drift.flips(base, swapped, ("cat", "dog", "owl"), ("dog", "cat", "owl"))
    assert [(f.name, f.change) for f in found] == [
        ("image-1", "right to wrong"),
        ("image-2", "right to wrong"),
    ]
    assert drift.answered(base, swapped).accuracy == (1.0, pytest.approx(1 / 3))
    assert drift.flips(base, base, ("cat", "dog", "owl"), ("1", "2", "3")) == ()
    # A class that is called otherwise is none either, where both are right.
    assert drift.flips(base, base, ("cat", "dog", "owl"), ("cat", "hound", "owl")) == ()


def test_a_network_of_one_score_has_no_flips() -> None:
    one = measured(images=[1, 2])
    single = type(one)(
        layers=(),
        names=one.names,
        digests=one.digests,
        labels=one.labels,
        predicted=np.zeros((2, 0), np.int64),
        probabilities=np.zeros((2, 0)),
    )
    assert not drift.has_classes(one, single)
    assert drift.flips(single, single) == ()
    assert math.isnan(drift.answered(single, single).accuracy[0])
