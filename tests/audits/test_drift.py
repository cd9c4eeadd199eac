"""Checks that compare two reports: planted faults, what cannot be compared, maps, no alarm."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from reportgen.audits.baseline import baseline_findings
from reportgen.audits.choice import chosen_audits
from reportgen.audits.pair import Pair
from reportgen.audits.run import run_drift, told
from reportgen.config import read
from reportgen.core.agreement import rank_correlation, similarity
from reportgen.core.blocks import Finding
from reportgen.core.checks import Check
from reportgen.core.errors import ModelError
from reportgen.core.report import Report
from reportgen.engine.rows import Engine
from reportgen.measurements import measured as measure
from reportgen.methods.survey import Survey
from tests.audits.reports import maps, report
from tests.core.measurements import layer, measured

TODAY = date(2026, 1, 15)
RANDOM = np.random.default_rng(0)


@pytest.fixture(scope="module")
def judge(composed: Callable[..., Any]) -> Callable[..., tuple[dict[str, Check], list[Finding]]]:
    """What the checks of two reports say."""

    def run(
        base: Report, candidate: Report, *overrides: str
    ) -> tuple[dict[str, Check], list[Finding]]:
        audits = chosen_audits(read(composed(*(overrides or ("audit=standard",)))).audit)
        checks, findings = told(run_drift(audits, Pair(base, candidate), TODAY))
        return {check.name: check for check in checks}, list(findings)

    return run


@pytest.fixture(scope="module")
def surveyed(lenet: Any, digits: Any) -> Callable[..., Report]:
    """The report of LeNet with some parameters changed, or of other images."""

    def run(images: Any = digits, **changes: Callable[[np.ndarray], np.ndarray]) -> Report:
        own = {name.replace("_", "."): change for name, change in changes.items()}
        parameters = {
            name: jnp.asarray(own[name](np.array(value))) if name in own else value
            for name, value in lenet.parameters.items()
        }
        model = lenet.with_parameters(parameters)
        return report(measure(Survey(model, images, Engine.local(16))))

    return run


@pytest.fixture(scope="module")
def healthy(surveyed: Callable[..., Report]) -> Report:
    return surveyed()


@pytest.mark.parametrize("preset", ["standard", "strict"])
def test_a_network_has_not_drifted_from_itself(
    judge: Any, surveyed: Any, healthy: Report, preset: str
) -> None:
    section = maps("saliency", [1, 2], RANDOM.random((2, 12, 12)))
    again = replace(surveyed(), sections=(section,))
    checks, findings = judge(replace(healthy, sections=(section,)), again, f"audit={preset}")
    assert findings == []
    assert len(checks) == 9
    assert {check.outcome for check in checks.values()} == {"passed"}
    zero = {name for name, check in checks.items() if check.value == 0}
    assert zero == checks.keys() - {"drift_rank_correlation", "drift_ssim"}


def shuffled(kernel: np.ndarray) -> np.ndarray:
    return np.asarray(np.random.default_rng(3).permutation(kernel))


def broken(kernel: np.ndarray) -> np.ndarray:
    kernel[0, 0, 0, 3] = np.nan
    return kernel


@pytest.mark.parametrize(
    ("fault", "failed", "where"),
    [
        ({"ip2_kernel": shuffled}, {"drift_psi", "drift_ks", "drift_accuracy"}, "ip2"),
        (
            {"ip1_bias": lambda bias: bias - 1e3},
            {"drift_weights", "drift_psi", "newly_dead", "drift_accuracy"},
            "ip1",
        ),
        ({"conv1_kernel": broken}, {"drift_weights", "drift_psi", "drift_accuracy"}, "conv1"),
    ],
)
def test_planted_faults(
    judge: Any, surveyed: Any, healthy: Report, fault: Any, failed: set[str], where: str
) -> None:
    checks, findings = judge(healthy, surveyed(**fault))
    assert failed <= {name for name, check in checks.items() if check.outcome == "fail"}
    changed = [f for f in findings if f.check == "drift_weights"]
    untouched = {"conv2", "conv1"} - {where}
    assert not untouched & {finding.where for finding in changed}
    accuracy = next(f for f in findings if f.check == "drift_accuracy")
    assert accuracy.value == pytest.approx(0.88, abs=0.02)
    assert accuracy.threshold == 0.05
    assert "196 in the baseline" in accuracy.message


def test_newly_dead_units_are_those_that_lived(judge: Any, surveyed: Any, healthy: Report) -> None:
    before = healthy.measured.layer("ip1").dead  # type: ignore[union-attr]
    changed = surveyed(ip1_bias=lambda bias: bias - 1e3)
    checks, _ = judge(healthy, changed, "audit=[newly_dead]")
    assert checks["newly_dead"].value == (~before).sum() / 500
    assert 400 < (~before).sum() < 500
    back, _ = judge(changed, healthy, "audit=[newly_dead]")
    assert back["newly_dead"].outcome == "passed"


def test_swapped_class_names(judge: Any, healthy: Report) -> None:
    labels = healthy.measured.labels.copy()  # type: ignore[union-attr]
    labels[labels == 3], labels[labels == 5] = 50, 3
    labels[labels == 50] = 5
    names = (*"012", "5", "4", "3", *"6789")
    swapped = replace(
        healthy,
        measured=replace(healthy.measured, labels=labels),  # type: ignore[type-var]
        model=replace(healthy.model, classes=names),
    )
    checks, findings = judge(healthy, swapped)
    assert checks["drift_accuracy"].outcome == "fail"
    classes = [f.where for f in findings if f.check == "drift_class_accuracy"]
    assert sorted(classes) == ["3", "5"]
    assert checks["drift_predictions"].value == 0.2
    assert "right to wrong" in checks["drift_predictions"].message
    # What a layer answers has not changed.
    assert {checks[name].value for name in ("drift_weights", "drift_psi", "drift_ks")} == {0}


def test_weights_that_moved(judge: Any) -> None:
    weights = RANDOM.normal(size=20_000)
    base = report(measured(layer("a", weights), layer("b", weights), layer("c")))
    moved = report(measured(layer("a", 4 * weights), layer("b", weights), layer("c")))
    checks, [finding] = judge(base, moved, "audit=[drift_weights]")
    assert checks["drift_weights"].value == pytest.approx(3, rel=0.1)
    assert checks["drift_weights"].measured == 2
    assert (finding.where, finding.severity) == ("a", "warn")
    assert "(cosine 1.0000)" in finding.message or "(cosine 0.9" in finding.message
    globbed, findings = judge(base, moved, "audit=[drift_weights]", "audit.drift_weights.layers=b")
    assert findings == []
    assert globbed["drift_weights"].message == "The weights of b are the baseline's, bit by bit."
    waived, [finding] = judge(
        base,
        moved,
        "audit=[drift_weights]",
        "audit.drift_weights.waivers=[{where: a, reason: scaled on purpose, until: '2026-02-01'}]",
    )
    assert (waived["drift_weights"].outcome, finding.severity) == ("waived", "info")
    with pytest.raises(ModelError, match="'nowhere'"):
        judge(base, moved, "audit=[drift_weights]", "audit.drift_weights.layers=nowhere")


def seen(count: int = 3, **fields: Any) -> Report:
    answers = np.random.default_rng(1).normal(size=(50, 4))
    images = measured(
        layer("a", np.ones(2000), answers),
        images=list(range(count)),
        labels=[0] * count,
        predicted=[0] * count,
    )
    return report(replace(images, **fields))


@pytest.mark.parametrize(
    ("check", "base", "candidate", "reason"),
    [
        ("drift_weights", report(None), seen(), "(schema version 1)"),
        ("drift_accuracy", report(None), seen(), "The baseline 'Report on net' does not tell"),
        ("drift_psi", report(measured()), seen(), "No layer has the same path"),
        ("newly_dead", seen(), report(measured(layer("b"))), "No layer has the same path"),
        ("drift_psi", seen(2), seen(5), "2 of the baseline's 2 are among these 5"),
        ("drift_ks", seen(), seen(0), "There are no images."),
        ("newly_dead", seen(), seen(), "There are 3 images; 100 are needed"),
        ("drift_accuracy", seen(0), seen(), "There are no images."),
        (
            "drift_predictions",
            seen(),
            seen(digests=np.zeros((3, 16), np.uint8)),
            "None of the baseline's 3 images",
        ),
        ("drift_accuracy", seen(labels=np.full(3, -1)), seen(), "is labelled in both"),
        ("drift_class_accuracy", seen(), seen(), "No class has 10 images"),
        (
            "drift_predictions",
            seen(predicted=np.zeros((3, 0), np.int64)),
            seen(),
            "one score, and no classes",
        ),
        ("drift_ssim", seen(), seen(), "No method of this report makes maps"),
    ],
)
def test_what_cannot_be_compared_is_skipped_with_the_reason(
    judge: Any, base: Report, candidate: Report, check: str, reason: str
) -> None:
    checks, findings = judge(base, candidate, f"audit=[{check}]")
    assert findings == []
    assert checks[check].outcome == "skipped"
    assert reason in checks[check].message


def test_accuracy_is_of_images_that_both_have(judge: Any) -> None:
    classes = list(range(10))
    one = report(measured(images=classes, labels=classes, predicted=classes))
    wrong = [*range(1, 5), 0]
    other = report(measured(images=[*range(5), 77], labels=[*range(5), 9], predicted=[*wrong, 0]))
    checks, _ = judge(one, other, "audit=[drift_accuracy]")
    assert checks["drift_accuracy"].value == 1
    assert checks["drift_accuracy"].message.startswith("0 of 5 images")


def test_maps_are_matched_by_method_and_image(judge: Any) -> None:
    heat = RANDOM.random((4, 12, 12))
    new = heat[[2, 0]] + 0.4 * RANDOM.random((2, 12, 12))
    base = report(None, maps("saliency", [0, 1, 2], heat[:3]), maps("gradcam", [0], heat[:1]))
    # The images come in another order, and one is new; nothing is told of methods that one lacks.
    candidate = report(
        None,
        maps("saliency", [2, 9, 0], [new[0], heat[3], new[1]], "class 2"),
        maps("lrp", [0], heat[:1]),
    )
    checks, _ = judge(base, candidate, "audit=[drift_rank_correlation,drift_ssim]")
    for name, agreement in (
        ("drift_rank_correlation", rank_correlation),
        ("drift_ssim", similarity),
    ):
        check = checks[name]
        found = [agreement(heat[2], new[0]), agreement(heat[0], new[1])]
        assert check.where == "saliency"
        assert check.measured == 1
        assert check.value == pytest.approx(np.mean(found))
        assert f"lowest for image-{2 if found[0] < found[1] else 0}" in check.message
        assert "the mean of 2 images" in check.message
        assert "2 of them explain another class now." in check.message


def test_blank_maps_agree_with_blank_ones_alone(judge: Any) -> None:
    heat, blank = RANDOM.random((12, 12)), np.zeros((12, 12))
    base = report(None, maps("gradcam", [0, 1, 2], [heat, blank, heat]))
    candidate = report(None, maps("gradcam", [0, 1, 2], [heat, blank, blank]))
    chosen = "audit=[drift_rank_correlation,drift_ssim]"
    checks, _ = judge(base, candidate, chosen)
    assert checks["drift_rank_correlation"].value == pytest.approx(2 / 3)
    assert "lowest for image-2, 0." in checks["drift_rank_correlation"].message
    assert 2 / 3 < checks["drift_ssim"].value < 0.75
    broken = report(None, maps("gradcam", [0], [np.full((12, 12), np.nan)]))
    checks, findings = judge(base, broken, chosen)
    assert {check.outcome for check in checks.values()} == {"fail"}
    assert all(math.isnan(finding.value or 0) for finding in findings)
    assert "Of 1 of 1 images the maps of gradcam are not finite" in findings[0].message


@pytest.mark.parametrize(
    ("base", "candidate", "reason"),
    [
        ((), ("saliency", [1]), "No method of the baseline makes maps."),
        (("lrp", [1]), ("saliency", [1]), "The baseline's maps are by lrp, these by saliency."),
        (("lrp", [1]), ("lrp", [2]), "of other images"),
    ],
)
def test_maps_that_cannot_be_compared(judge: Any, base: Any, candidate: Any, reason: str) -> None:
    made = [
        report(None, *(maps(*one, RANDOM.random((1, 12, 12))) for one in (part,) if part))
        for part in (base, candidate)
    ]
    checks, _ = judge(*made, "audit=[drift_ssim]")
    assert checks["drift_ssim"].outcome == "skipped"
    assert reason in checks["drift_ssim"].message


def test_what_a_report_is_compared_with_is_told() -> None:
    base = report(measured(images=[1, 2, 3]), title="Report on v1")
    [known] = baseline_findings(Pair(base, base))
    assert (known.severity, known.check) == ("info", "baseline")
    assert known.message == (
        "Compared with 'Report on v1': net, weights 0123456789ab (weights.safetensors)."
    )
    other = report(measured(images=[3, 4]), seed=7)
    _, images, seed = baseline_findings(Pair(base, other))
    assert (images.severity, images.value) == ("warn", 1.0)
    assert "1 of its 3 are among these 2" in images.message
    assert "The seed is 7, the baseline's 0" in seed.message
    _, old = baseline_findings(Pair(report(None), other.__class__(**vars(other))))[:2]
    assert "schema version 1" in old.message


def test_two_reports_are_judged_without_jax(tmp_path: Path) -> None:
    script = """
import sys
from datetime import date
from hydra import compose, initialize_config_dir
from reportgen.audits.choice import chosen_audits
from reportgen.audits.pair import Pair
from reportgen.audits.run import run_drift
from reportgen.compose import conf_dir
from reportgen.config import read
from tests.audits.reports import report
from tests.core.measurements import layer, measured
with initialize_config_dir(str(conf_dir()), version_base="1.3"):
    audits = chosen_audits(read(compose("config", ["audit=strict"])).audit)
one = report(measured(layer(weights=[1.0, 2.0])))
found = run_drift(audits, Pair(one, one), date(2026, 1, 1))
assert found["drift_weights"][0].outcome == "passed"
heavy = [name for name in ("jax", "jaxlib", "flax", "optax") if name in sys.modules]
print(len(audits), len(found), heavy)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.split(maxsplit=2) == ["24", "9", "[]\n"]
