"""Deletion and insertion against loops over NumPy arrays, their laws, and what is told of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from reportgen.archive.folder import read_report
from reportgen.core.errors import NotApplicableError
from reportgen.core.spec import InputSpec
from reportgen.methods.deletion_insertion import area, replaced, steps_of
from reportgen.methods.faithfulness import BLOB, RANDOM

STEPS = "method.deletion_insertion.steps=9"
ONE = "method.deletion_insertion.count=1"


class Linear(nnx.Module):
    """Ten scores: a weighted sum of the pixels, and nine times 0."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.dense = nnx.Linear(784, 10, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        return self.dense(x.reshape(len(x), -1))


@pytest.fixture(scope="module")
def linear(model_of: Any, lenet: Any) -> Any:
    model = model_of(lambda: Linear(nnx.Rngs(0)), lenet.spec)
    weights = np.random.default_rng(2).normal(0, 0.1, (784, 10)).astype(np.float32)
    weights[:, 1:] = 0
    return model.with_parameters(
        {"dense.kernel": jnp.asarray(weights), "dense.bias": jnp.zeros(10)}
    )


def _curves(result: Any) -> dict[str, dict[str, np.ndarray]]:
    curves = [block for block in result.blocks if block.type == "curve"]
    return {c.caption.title: {line.name: np.asarray(line.y) for line in c.series} for c in curves}


def test_the_area_is_the_authors() -> None:
    assert area(np.array([1.0, 0.5, 0.25])) == (1.75 - 0.5 - 0.125) / 2
    assert area(np.full(12, 0.3)) == pytest.approx(0.3)
    assert steps_of(224 * 224, 224) == (224, 224)
    assert steps_of(784, 9) == (88, 9)  # the last step is smaller


def test_pixels_are_replaced_in_order_and_whole() -> None:
    x, other = np.zeros((2, 3, 2)), np.ones((2, 3, 2))
    seen = [one[..., 0].ravel() for one in replaced(x, other, np.array([4, 0, 1, 5, 3, 2]), 4)]
    np.testing.assert_array_equal(
        seen, [[0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 1, 0], [1, 1, 0, 0, 1, 1], [1] * 6]
    )
    assert x.max() == 0


def test_curves_and_areas_are_those_of_loops(
    lenet: Any, digits: Any, numpy_lenet: Any, run_method: Any, explained: dict[str, Any]
) -> None:
    more = ("method.deletion_insertion.blur=0.1", STEPS, ONE)
    maps = {"saliency": explained["saliency"]}
    result = run_method("deletion_insertion", *more, maps=maps)
    heat = maps["saliency"].maps[0]
    x = np.asarray(lenet.spec.normalise(digits.pixels[0]), np.float64)[..., 0]
    weights = np.exp(-0.5 * (np.subtract.outer(np.arange(28), np.arange(28)) / 2.8) ** 2)
    weights /= weights.sum(axis=1, keepdims=True)
    blurred = weights @ x @ weights.T
    target = numpy_lenet(x[..., None])["ip2"].argmax()
    order = sorted((-heat[i, j], i, j) for i in range(28) for j in range(28))
    means = next(block for block in result.blocks if block.type == "table")
    for title, arrow, one, other in (
        ("Deletion", "↓", x, np.zeros_like(x)),
        ("Insertion", "↑", blurred, x),
    ):
        expected = []
        for taken in (*range(0, 784, 88), 784):
            changed = one.copy()
            for _, i, j in order[:taken]:
                changed[i, j] = other[i, j]
            scores = numpy_lenet(changed[..., None])["ip2"]
            expected.append(1 / np.exp(scores - scores[target]).sum())
        np.testing.assert_allclose(_curves(result)[title]["Saliency"], expected, atol=1e-4)
        total = (sum(expected) - expected[0] / 2 - expected[-1] / 2) / 9
        found = means.rows[0][means.columns.index(f"{title.lower()} AUC {arrow}")]
        assert found == pytest.approx(total, abs=1e-4)


def test_no_order_deletes_a_linear_network_faster_than_its_contributions(
    linear: Any, digits: Any, run_method: Any
) -> None:
    more = (STEPS, ONE, "method.gradient_x_input.target=0")
    result = run_method("deletion_insertion", *more, model=linear, maps=("gradient_x_input",))
    x = np.asarray(linear.spec.normalise(digits.pixels[0])).ravel()
    given = np.sort(x * np.asarray(linear.parameters["dense.kernel"])[:, 0])[::-1]
    rest = np.array([given[taken:].sum() for taken in (*range(0, 784, 88), 784)])
    curves = _curves(result)["Deletion"]
    np.testing.assert_allclose(curves["Gradient × input"], 1 / (1 + 9 * np.exp(-rest)), atol=1e-5)
    for control in (RANDOM, BLOB):
        assert (curves["Gradient × input"] <= curves[control] + 1e-6).all()
    assert not [f for f in result.findings if "deletion" in f.message]


def test_a_map_that_says_nothing_is_the_random_one_and_is_told(
    run_method: Any, explained: dict[str, Any]
) -> None:
    made = explained["saliency"]
    flat = {"saliency": replace(made, maps=np.zeros_like(made.maps))}
    blur = "method.deletion_insertion.blur=0.2"
    result = run_method("deletion_insertion", STEPS, ONE, blur, maps=flat)
    for curves in _curves(result).values():
        np.testing.assert_array_equal(curves["Saliency"], curves[RANDOM])
    told = {finding.where: finding for finding in result.findings}
    assert told["saliency"].severity == "warn"
    own = result.metrics["Saliency: deletion AUC ↓"]
    assert f"deletion AUC is {own:.4g}, a random map's {own:.4g}" in result.findings[0].message


def test_insertion_is_not_judged_where_the_blurred_image_shows_the_class(
    run_method: Any, explained: dict[str, Any]
) -> None:
    result = run_method("deletion_insertion", STEPS, maps=explained)
    sharp = result.findings
    assert [f.severity for f in sharp if "nsertion" in f.message] == ["info"]
    assert "blur=0.067" in sharp[-1].advice
    assert not [name for name in result.metrics if "insertion" in name]
    blur = "method.deletion_insertion.blur=0.2"
    soft = run_method("deletion_insertion", STEPS, blur, maps=explained)
    assert [name for name in soft.metrics if "insertion" in name]
    assert not [f for f in soft.findings if f.severity == "info"]


def test_numbers_stand_beside_each_map(run_method: Any, explained: dict[str, Any]) -> None:
    two = "method.deletion_insertion.count=2"
    result = run_method("deletion_insertion", STEPS, two, maps=explained)
    assert set(result.evidence) == {(m, i) for m in ("saliency", "gradcam") for i in range(2)}
    means, deleted, inserted = (block for block in result.blocks if block.type == "table")
    assert deleted.columns == ("image", "class", "Saliency", "Grad-CAM", RANDOM, BLOB)
    facts = dict(result.evidence["gradcam", 1])
    _, _, _, value, noise, blob = deleted.rows[1]
    assert facts["deletion AUC (controls)"] == f"{value:.3g} ({noise:.3g}, {blob:.3g})"
    assert [row[0] for row in means.rows] == ["Saliency", "Grad-CAM", RANDOM, BLOB]
    assert means.rows[1][1] == pytest.approx(np.mean([row[3] for row in deleted.rows]))
    assert means.rows[1][2] == pytest.approx(np.mean([row[3] for row in inserted.rows]))
    assert means.rows[1][3] == 2


def test_maps_of_several_classes_have_controls_of_their_own(
    run_method: Any, explained: dict[str, Any]
) -> None:
    same = run_method("deletion_insertion", ONE, STEPS, maps=explained)
    elsewhere = run_method("gradcam", "method.gradcam.target=3").explained
    maps = {**explained, "gradcam": elsewhere}
    other = run_method("deletion_insertion", ONE, STEPS, maps=maps)
    table = [block for block in other.blocks if block.type == "table"][1]
    assert [row[3] is None for row in table.rows] == [True, False]
    assert [row[2] is None for row in table.rows] == [False, True]
    assert table.rows[1][1] == "3"
    first = [block for block in same.blocks if block.type == "table"][1]
    assert table.rows[0][4:] == first.rows[0][4:]
    assert table.rows[1][4:] != first.rows[0][4:]


def test_no_number_depends_on_the_size_of_batches(
    run_method: Any, explained: dict[str, Any]
) -> None:
    one, other = (
        run_method("deletion_insertion", STEPS, ONE, f"engine.batch={batch}", maps=explained)
        for batch in (3, 16)
    )
    assert one.metrics
    for name, value in one.metrics.items():
        assert value == pytest.approx(other.metrics[name], rel=1e-4)


def test_a_network_of_one_score_has_no_probability(model_of: Any, run_method: Any) -> None:
    spec = InputSpec(height=28, width=28, channels=1)
    model = model_of(Linear, spec, score="norm")
    with pytest.raises(NotApplicableError, match="score=norm has one score here"):
        run_method("deletion_insertion", model=model)


def test_a_whole_report_says_how_to_make_the_section_again(reportgen: Any, tmp_path: Any) -> None:
    chosen = "method=[saliency,weights,deletion_insertion]"
    code, _, error = reportgen(chosen, STEPS, ONE, "layers=conv1", "report.dir=out")
    assert code == 0, error
    report = read_report(tmp_path / "out")
    tested = next(s for s in report.sections if s.method == "deletion_insertion")
    assert "method=[saliency,deletion_insertion]" in tested.command
    saliency = next(s for s in report.sections if s.method == "saliency")
    assert "deletion AUC (controls)" in dict(saliency.blocks[0].blocks[0].facts)
    assert "deletion AUC (controls)" not in dict(saliency.blocks[1].blocks[0].facts)


def test_maps_that_are_not_finite_are_left_out(run_method: Any, explained: dict[str, Any]) -> None:
    broken = explained["saliency"].maps.copy()
    broken[0, 3, 4] = np.nan
    more = (STEPS, "method.deletion_insertion.count=2")
    maps = explained | {"saliency": replace(explained["saliency"], maps=broken)}
    result = run_method("deletion_insertion", *more, maps=maps)
    means, deleted, _ = (block for block in result.blocks if block.type == "table")
    assert deleted.rows[0][2] is None
    assert means.rows[0][1] == deleted.rows[1][2]
    assert [row[3] for row in means.rows] == [1, 2, 2, 2]
    assert ("saliency", 0) not in result.evidence


@pytest.mark.parametrize("name", ["deletion_insertion", "road", "infidelity", "sanity_check"])
def test_without_any_finite_map_nothing_is_tested(
    name: str, run_method: Any, explained: dict[str, Any]
) -> None:
    made = explained["saliency"]
    broken = replace(made, maps=np.full_like(made.maps, np.nan))
    result = run_method(name, maps={"saliency": broken})
    (block,) = result.blocks
    assert "so nothing is tested" in block.text
    assert (result.findings, result.metrics, result.evidence) == ((), {}, {})
