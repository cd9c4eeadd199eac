"""The tables at the top: what differs, what is counted as equal, and a page where nothing does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from reportgen.compare.changes import flattened
from reportgen.compare.compared import beside, compared
from reportgen.core.blocks import Finding, Text
from reportgen.core.checks import Check
from reportgen.core.report import Report, Section
from reportgen.render import numbers
from tests.audits.reports import maps, report
from tests.compare.reading import section, table, titles
from tests.core.measurements import layer, measured

WEIGHTS = np.arange(1.0, 9.0)


def made(**fields: Any) -> Report:
    answers = np.random.default_rng(1).normal(size=(40, 4))
    seen = measured(
        layer(weights=WEIGHTS, answers=answers), images=[1, 2], labels=[0, 1], predicted=[0, 1]
    )
    changes = {name: fields.pop(name) for name in ("metrics", "checks") if name in fields}
    sections = fields.pop("sections", (maps("saliency", [1], [np.eye(4)]),))
    return replace(report(seen, *sections, **fields), **changes)


def rows(found: Any, caption: str) -> tuple[tuple[Any, ...], ...]:
    return table(section(found, "changes").blocks, caption).rows


def test_equal_reports_say_that_nothing_changed() -> None:
    config = {"seed": 0, "model": {"name": "lenet"}}
    found = compared(
        made(metrics={"accuracy": 0.5}), made(metrics={"accuracy": 0.5}), (config,) * 2
    )
    words = "Nothing changed: all that was compared is equal."
    assert [finding.message for finding in found.findings] == [words]
    assert titles(found) == ["What changed", "What could not be compared"]
    text, counts = section(found, "changes").blocks
    assert isinstance(text, Text)
    assert text.text == words
    assert ("layers", 0, 1) in table([counts]).rows
    assert ("maps of images", 0, 1) in table([counts]).rows
    assert ("keys of the configuration", 0, 2) in table([counts]).rows
    assert found.metrics["Δ accuracy"] == 0
    (nothing,) = section(found, "not_compared").blocks
    assert isinstance(nothing, Text)
    assert nothing.text == "All that both reports hold was compared."


def test_another_machine_is_no_change_of_the_network() -> None:
    base, candidate = made(), made()
    other = replace(candidate.provenance, device="1 × gpu", packages={"jax": "9"})
    found = compared(base, replace(candidate, provenance=other))
    (finding,) = found.findings
    assert finding.message == (
        "Nothing changed but facts of the environment: all results are equal."
    )
    assert rows(found, "Environment: 2 of") == (
        ("device", "none", "1 × gpu"),
        ("package jax", None, "9"),
    )


def test_metrics_are_unrounded_and_only_those_that_differ_are_listed() -> None:
    before = {"accuracy": 0.1 + 0.2, "same": 1.0, "gone": 2.0, "saliency: deletion": 0.25}
    after = {"accuracy": 0.25, "same": 1.0, "new": 3.0, "saliency: deletion": 0.5}
    found = compared(made(metrics=before), made(metrics=after))
    assert rows(found, "Metrics: 4 of 5 differ") == (
        ("accuracy", 0.1 + 0.2, 0.25, 0.25 - (0.1 + 0.2)),
        ("new", None, 3.0, None),
        ("saliency: deletion", 0.25, 0.5, 0.25),
        ("gone", 2.0, None, None),
    )
    deltas = {k: v for k, v in found.metrics.items() if k.startswith(numbers.CHANGE)}
    assert deltas == {"Δ accuracy": 0.25 - (0.1 + 0.2), "Δ same": 0.0}
    text = section(found, "changes").blocks[0]
    assert isinstance(text, Text)
    assert text.text == "Accuracy 30 % → 25 % (−5 pp)."


def test_checks_of_both_reports() -> None:
    passed = Check(name="accuracy", title="Accuracy", outcome="passed", message="", value=0.9)
    warned = replace(passed, outcome="warn", value=0.5)
    other = Check(name="dead_units", title="Dead", outcome="skipped", message="")
    found = compared(made(checks=(passed, other)), made(checks=(warned, other)))
    assert rows(found, "Checks of each report: 1 of 2") == (
        ("accuracy", "passed", "warn", 0.9, 0.5, 0.5 - 0.9),
    )
    found = compared(made(checks=()), made(checks=(warned,)))
    assert rows(found, "Checks of each report: 1 of 1") == (
        ("accuracy", None, "warn", None, 0.5, None),
    )


def test_findings_that_are_new_and_gone() -> None:
    one = Finding(severity="warn", check="units", where="conv1", message="3 dead")
    two = Finding(severity="fail", check="units", where="conv2", message="all dead")
    still = replace(one, message="4 dead", where="ip1")
    found = compared(
        made(findings=(one, replace(still, message="5 dead"))), made(findings=(two, still))
    )
    assert rows(found, "Findings: 2 of 3") == (
        ("new", "fail", "units", "conv2", "all dead"),
        ("gone", "warn", "units", "conv1", "3 dead"),
    )


def test_cards_of_model_and_data() -> None:
    base = made()
    model = replace(base.model, parameters=12, weights_sha256="f" * 64, weights="other.npz")
    data = replace(base.data, sha256="0123456789ab" + "c" * 52, labelled=False)
    found = compared(
        replace(base, data=replace(base.data, sha256="0123456789ab" + "d" * 52)),
        replace(base, model=model, data=data),
    )
    assert rows(found, "Model: 2 of 15") == (
        ("parameters", 0, 12),
        ("weights, SHA-256", "0123456789ab", "f" * 12),
    )
    # Where the first digits do not tell them apart, all of them are printed.
    assert rows(found, "Data: 2 of 4") == (
        ("labelled", True, False),
        ("SHA-256", "0123456789ab" + "d" * 52, "0123456789ab" + "c" * 52),
    )
    assert rows(found, "Environment: 1 of") == (("weights", "weights.safetensors", "other.npz"),)


def test_swapped_names_of_classes_are_listed() -> None:
    found = compared(made(classes=("cat", "dog", "eel")), made(classes=("dog", "cat", "eel")))
    assert rows(found, "Model: 2 of") == (("class 0", "cat", "dog"), ("class 1", "dog", "cat"))


def test_images_that_only_one_report_has_and_labels_that_changed() -> None:
    one = report(measured(images=[1, 2, 3], labels=[0, 1, 2], predicted=[0, 1, 2]))
    two = report(measured(images=[3, 1, 9, 8], labels=[2, 5, 0, 0], predicted=[2, 5, 0, 0]))
    found = compared(one, two)
    assert rows(found, "Data: 2 of") == (
        ("that the other has, by their pixels", "2 of 3 images", "2 of 4 images"),
        ("the same images with another label", None, 1),
    )
    why = dict(table(section(found, "not_compared").blocks).rows)
    assert "2 are in both; the base has 3, the candidate 4" in str(why["images"])


def test_configurations_differ_key_by_key() -> None:
    before = {"seed": 0, "model": {"name": "a", "kwargs": {}}, "layers": ["a", "b"], "x": None}
    after = {"seed": 0, "model": {"name": "b", "kwargs": {"w": 2}}, "layers": ["a"], "x": None}
    found = compared(made(), made(), ({**before, "baseline": None}, {**after, "baseline": "v1"}))
    assert rows(found, "Configuration: 3 of 5") == (
        ("model.name", "a", "b"),
        ("model.kwargs.w", None, "2"),
        ("layers", "[a, b]", "[a]"),
    )
    # A method that one of them has not is one row.
    more = {**before, "method": {"lrp": {"rule": "epsilon", "keys": {"a": 1, "b": 2}}}}
    found = compared(made(), made(), ({**before, "method": {}}, more))
    assert rows(found, "Configuration: 1 of 6") == (("method.lrp", None, "3 keys"),)
    assert flattened({"a": {"b": {"c": True}}, "d": 0.5}) == {"a.b.c": "true", "d": "0.5"}


def test_what_could_not_be_compared_is_told() -> None:
    only = Section(method="weights", title="Weights", blocks=())
    mine = replace(maps("saliency", [1], [np.eye(4)]), settings={"percentile": 99, "top": [1]})
    other = replace(mine, settings={"percentile": 95, "top": [1]})
    skipped = Section(method="lrp", title="LRP", blocks=(), skipped="no rectifier")
    failed = replace(skipped, skipped="", failed="out of memory")
    found = compared(made(sections=(mine, only, skipped)), made(sections=(other, failed), seed=3))
    assert [tuple(row) for row in table(section(found, "not_compared").blocks).rows] == [
        ("LRP", "failed in the candidate: out of memory"),
        ("configuration", "no config.yaml of the base and the candidate"),
        (
            "saliency",
            "other settings, for which its pictures differ as well: percentile 99 → 95",
        ),
        ("LRP", "skipped in the base: no rectifier"),
        ("Weights", "only the base has it"),
        (
            "random numbers",
            "seed 0 → 3: a sample of images, and pictures that begin with noise, differ for that "
            "reason as well",
        ),
    ]
    (warning,) = [finding for finding in found.findings if finding.severity == "warn"]
    assert warning.message == (
        "Not all could be compared. LRP: failed in the candidate: out of memory."
    )


def test_what_a_report_tells_of_its_own_baseline_is_not_compared() -> None:
    first, second, third = (made(metrics={"accuracy": value}) for value in (0.5, 0.75, 0.25))
    chained = beside(second, compared(first, second))
    assert chained.metrics["Δ accuracy"] == 0.25
    found, alone = (compared(base, third) for base in (chained, second))
    assert titles(found) == titles(alone)
    assert found.metrics == alone.metrics
    assert rows(found, "Metrics") == (("accuracy", 0.75, 0.25, -0.5),)


def test_metrics_of_other_images_are_said_to_be() -> None:
    base = replace(made(), measured=None)
    other = replace(base, data=replace(base.data, sha256="f" * 64))
    found = compared(base, other)
    why = dict(table(section(found, "not_compared").blocks).rows)
    assert "the images are not the same" in str(why["metrics"])
    (warning,) = [finding for finding in found.findings if finding.severity == "warn"]
    assert "metrics: the images are not the same" in warning.message


def test_beside_a_run_its_own_sections_and_numbers_stay() -> None:
    base, candidate = made(metrics={"accuracy": 0.5}), made(metrics={"accuracy": 0.25})
    both = beside(candidate, compared(base, candidate))
    assert [one.method for one in both.sections] == ["saliency", "changes", "not_compared"]
    assert both.metrics["accuracy"] == 0.25
    assert both.metrics["Δ accuracy"] == -0.25
    assert both.title == candidate.title


@pytest.mark.parametrize(
    ("value", "name", "text"),
    [
        (-0.055, "accuracy", "−5.5 pp"),
        (0.00004, "accuracy", "+0.004 pp"),
        (0.01, "accuracy", "+1 pp"),
        (-1.5, "loss", "−1.5"),
        (2.0, "loss", "+2"),
        (0.0, "loss", "0"),
        (float("nan"), "accuracy", "NaN"),
    ],
)
def test_changes_have_a_sign_and_shares_are_in_points(value: float, name: str, text: str) -> None:
    assert numbers.change(value, name) == text
    assert numbers.cell(value, f"Δ {name}") == text
