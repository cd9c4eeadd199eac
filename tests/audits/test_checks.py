"""Planted faults are found, each by its check; healthy networks pass; numbers against NumPy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from reportgen.audits.base import Audit, judged
from reportgen.audits.calibration import expected_calibration_error
from reportgen.audits.choice import chosen_audits
from reportgen.audits.evidence import Evidence
from reportgen.audits.run import run_audit, told
from reportgen.config import read
from reportgen.core.blocks import Finding
from reportgen.core.checks import Check
from reportgen.core.errors import ConfigError
from reportgen.engine.rows import Engine
from reportgen.methods.survey import Survey

TODAY = date(2026, 1, 15)
BATCH = 16  # the command line's, whose programs are compiled once for all tests
DRIFT = {
    *("drift_weights", "drift_psi", "drift_ks", "newly_dead", "drift_accuracy"),
    *("drift_class_accuracy", "drift_predictions", "drift_rank_correlation", "drift_ssim"),
}
UNMEASURED = {*DRIFT, "faithfulness", "sanity"}


@pytest.fixture(scope="module")
def audits(composed: Callable[..., Any]) -> Callable[..., dict[str, Audit]]:
    return lambda *overrides: chosen_audits(read(composed(*overrides)).audit)


@pytest.fixture(scope="module")
def found(digits: Any, audits: Any) -> Callable[..., tuple[dict[str, Check], list[Finding]]]:
    """What an audit says of a network."""

    def run(
        model: Any, *overrides: str, images: Any = digits, survey: Survey | None = None
    ) -> tuple[dict[str, Check], list[Finding]]:
        chosen = audits(*(overrides or ("audit=standard",)))
        chosen = {name: audit for name, audit in chosen.items() if audit.about != "report"}
        evidence = Evidence(survey or Survey(model, images, Engine.local(BATCH)))
        checks, findings = told(run_audit(chosen, evidence, TODAY, lambda done: None))
        return {check.name: check for check in checks}, list(findings)

    return run


def changed(model: Any, name: str, change: Callable[[np.ndarray], Any]) -> Any:
    """The network with one parameter changed."""
    values = np.array(model.parameters[name])
    return model.with_parameters({**model.parameters, name: jnp.asarray(change(values))})


@pytest.mark.parametrize("name", ["lenet", pytest.param("digits_cnn", marks=pytest.mark.slow)])
def test_a_healthy_network_gives_no_alarm(
    opened: Callable[..., Any], found: Any, digits: Any, name: str
) -> None:
    model = opened(f"model={name}")
    survey = Survey(model, digits, Engine.local(BATCH))
    for preset in ("quick", "standard", "strict"):
        checks, findings = found(model, f"audit={preset}", survey=survey)
        assert findings == [], preset
        # Skipped are those that need a report to compare with, or a method that tests maps.
        judged = {check.outcome for name, check in checks.items() if name not in UNMEASURED}
        assert judged == {"passed"}, preset
        assert {checks[name].outcome for name in UNMEASURED & checks.keys()} <= {"skipped"}


def test_a_nan_in_a_kernel(lenet: Any, found: Any) -> None:
    def plant(kernel: np.ndarray) -> np.ndarray:
        kernel[0, 0, 0, 3] = np.nan
        return kernel

    checks, findings = found(changed(lenet, "conv1.kernel", plant))
    assert checks["non_finite"].outcome == "fail"
    own = [finding for finding in findings if finding.check == "non_finite"]
    # conv1 itself, then whatever reads its fourth channel: all that follows.
    assert (own[0].where, own[0].value, own[0].threshold) == ("conv1", 1.0, 0.0)
    assert "1 of 500 values of kernel of conv1" in own[0].message
    answers = [f.value for f in own if f.where == "conv1" and "answers" in f.message]
    assert answers == [200.0]
    assert {"conv2", "ip1", "ip2"} <= {finding.where for finding in own}


def test_a_dead_layer(lenet: Any, found: Any) -> None:
    checks, findings = found(changed(lenet, "ip1.bias", lambda bias: bias - 1e3))
    check = checks["dead_units"]
    assert (check.outcome, check.where, check.value) == ("fail", "ip1", 1.0)
    assert check.message.startswith("500 of 500 units of ip1 are dead: 0, 1, 2,")
    # All images get one answer, then: accuracy falls to one class of ten.
    assert checks["accuracy"].value == pytest.approx(0.1)
    assert {"dead_units", "accuracy", "class_accuracy"} <= {finding.check for finding in findings}


def test_units_that_hardly_answer(lenet: Any, found: Any) -> None:
    checks, _ = found(lenet, "audit=[dead_units]", "audit.dead_units.threshold=0.5")
    kept, _ = found(lenet, "audit=[dead_units]")
    assert 0.06 == kept["dead_units"].value < checks["dead_units"].value < 1
    assert "are dead (never above 0.5):" in checks["dead_units"].message


def test_copied_filters(lenet: Any, found: Any) -> None:
    def plant(kernel: np.ndarray) -> np.ndarray:
        kernel[..., 7] = 2 * kernel[..., 3]
        return kernel

    both = "audit=[repeated_units,copied_units]"
    checks, [near, same] = found(changed(lenet, "conv2.kernel", plant), both)
    assert checks["repeated_units"].value == pytest.approx(1 / 50)
    assert (near.severity, near.where) == ("warn", "conv2")
    assert "7 repeats 3" in near.message
    assert (same.severity, same.where, same.value) == ("fail", "conv2", 1)
    assert "7 is 3 again" in same.message


def test_a_filter_that_is_nearly_another_is_no_copy(lenet: Any, found: Any) -> None:
    def plant(kernel: np.ndarray) -> np.ndarray:
        kernel[..., 7] = kernel[..., 3] * (1 + 0.02 * np.sign(kernel[..., 3] - kernel[..., 4]))
        return kernel

    checks, [finding] = found(
        changed(lenet, "conv2.kernel", plant), "audit=[repeated_units,copied_units]"
    )
    assert checks["copied_units"].outcome == "passed"
    assert finding.check == "repeated_units"


def test_swapped_class_names(lenet: Any, found: Any, digits: Any) -> None:
    labels = digits.labels.copy()
    labels[digits.labels == 3], labels[digits.labels == 5] = 5, 3
    facts = replace(digits.facts(), labels=labels)
    checks, findings = found(lenet, images=replace(digits, facts=lambda: facts))
    check = checks["class_accuracy"]
    assert check.outcome == "fail"
    swapped = [f.where for f in findings if f.check == "class_accuracy" and f.severity == "fail"]
    assert swapped == ["3", "5"]
    assert "are taken for" in check.message


def test_a_shuffled_last_layer(lenet: Any, found: Any) -> None:
    shuffle = np.random.default_rng(3).permutation
    checks, _ = found(changed(lenet, "ip2.kernel", lambda kernel: shuffle(kernel)))
    assert checks["accuracy"].outcome == "fail"


def test_a_weight_out_of_scale(lenet: Any, found: Any) -> None:
    def plant(kernel: np.ndarray) -> np.ndarray:
        kernel[0, 0] = 80.0
        return kernel

    model = changed(lenet, "ip1.kernel", plant)
    checks, _ = found(model, "audit=[weight_scale]")
    kernel = np.asarray(model.parameters["ip1.kernel"], np.float64)
    expected = np.abs(kernel).max() / np.sqrt(np.square(kernel).mean())
    assert checks["weight_scale"].value == pytest.approx(expected, rel=1e-9)
    assert (checks["weight_scale"].outcome, checks["weight_scale"].where) == ("warn", "ip1")


def test_units_that_answer_the_same_to_all(lenet: Any, found: Any) -> None:
    def plant(bias: np.ndarray) -> np.ndarray:
        bias[[2, 9, 11]] = 1e4
        return bias

    checks, findings = found(changed(lenet, "conv1.bias", plant), "audit=[saturated_units]")
    assert findings[0].where == "conv1"
    assert findings[0].message == "3 of 20 units of conv1 answer the same to all: 2, 9, 11."
    assert checks["saturated_units"].measured > 2


def test_calibration_against_loops() -> None:
    rng = np.random.default_rng(0)
    confidence = np.concatenate([rng.random(300), [0.0, 1.0, 0.2, 0.4]])
    right = rng.random(304) < confidence**2
    expected = 0.0
    for low in np.arange(10) / 10:
        held = (confidence > low) & (confidence <= low + 0.1)
        held |= (low == 0) & (confidence == 0)
        if held.any():
            expected += held.sum() / 304 * abs(right[held].mean() - confidence[held].mean())
    error, over = expected_calibration_error(confidence, right, 10)
    assert error == pytest.approx(expected, rel=1e-9)
    assert over == pytest.approx(confidence.mean() - right.mean(), rel=1e-9)


def test_without_labels_or_images_checks_are_skipped(lenet: Any, found: Any, digits: Any) -> None:
    facts = replace(digits.facts(), labels=None)
    checks, findings = found(lenet, images=replace(digits, facts=lambda: facts))
    assert findings == []
    skipped = {name for name, check in checks.items() if check.outcome == "skipped"} - UNMEASURED
    assert skipped == {"accuracy", "class_accuracy", "calibration"}
    assert checks["accuracy"].message == "The images have no labels."
    few = replace(digits, listed=40)
    checks, _ = found(lenet, "audit=[dead_units]", images=few)
    assert checks["dead_units"].outcome == "skipped"
    assert "100 are needed" in checks["dead_units"].message


@pytest.mark.parametrize(
    ("until", "severity", "outcome"),
    [("2026-01-15", "info", "waived"), ("2026-01-14", "fail", "fail")],
)
def test_a_waiver_holds_until_its_last_day(
    lenet: Any, audits: Any, digits: Any, until: str, severity: str, outcome: str
) -> None:
    waiver = f"{{where:'ip*',reason:'known, see ticket 7',until:'{until}'}}"
    chosen = audits("audit=[dead_units]", f"audit.dead_units.waivers=[{waiver}]")
    model = changed(lenet, "ip1.bias", lambda bias: bias - 1e3)
    evidence = Evidence(Survey(model, digits, Engine.local(BATCH)))
    audit = chosen["dead_units"]
    check, [finding] = judged("dead_units", audit, lambda: audit.measure(evidence), TODAY)
    assert (finding.severity, check.outcome) == (severity, outcome)
    assert "known, see ticket 7" in finding.message
    assert until in finding.message


def test_layers_are_chosen(lenet: Any, found: Any) -> None:
    model = changed(lenet, "ip1.bias", lambda bias: bias - 1e3)
    _, findings = found(model, "audit=[dead_units]", "audit.dead_units.layers=[conv*]")
    assert findings == []


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (("audit=[accuracy]", "audit.accuracy.warn=0.1"), "expected warn to come first"),
        (("audit=[accuracy]", "audit.accuracy.warn=much"), "audit.accuracy.warn"),
        (("audit=[dead_units]", "+audit.dead_units.wran=1"), "warn"),
        (("audit.fail_on=sometimes",), "fail_on"),
        (("+audit.accurracy.warn=1",), "audit=[…,accurracy]"),
        (
            ("audit=[accuracy]", "audit.accuracy.waivers=[{where: x, reason: y, until: soon}]"),
            "until",
        ),
    ],
)
def test_wrong_settings_are_told(audits: Any, overrides: tuple[str, ...], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        audits(*overrides)
    assert told in str(caught.value)
