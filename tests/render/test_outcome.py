"""junit.xml, summary.md and summary.json say what the page says."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from reportgen.core.blocks import Finding
from reportgen.core.checks import Check
from reportgen.render.junit import render_junit
from reportgen.render.summary import render_summary, render_summary_json

from .sample import HOSTILE, report

CHECKS = (
    Check(name="accuracy", title="Accuracy", outcome="fail", message="Low.", where="all",
          value=0.123456, warn=0.5, fail=0.2, measured=1),
    Check(name="dead_units", title="Dead units", outcome="warn", message="Some.", where="conv1",
          value=0.6, warn=0.5, fail=0.9, measured=3),
    Check(name="calibration", title="Calibration", outcome="skipped", message="No <labels>."),
)  # fmt: skip
FINDINGS = (
    Finding(severity="fail", check="accuracy", message="Low.", value=0.123456, threshold=0.2),
    Finding(severity="warn", check="dead_units", message="Some.", where="conv1", advice="Prune."),
    Finding(severity="warn", check="data", message="3 images were skipped."),
)


def audited(fail_on="fail", findings=FINDINGS, name="conv1"):
    return replace(report(name=name), checks=CHECKS, findings=findings, fail_on=fail_on)


def cases(found):
    suite = ElementTree.fromstring(render_junit(found))
    return suite, {case.get("name"): case for case in suite}


@pytest.mark.parametrize(
    ("fail_on", "failed"),
    [("fail", {"accuracy"}), ("warn", {"accuracy", "dead_units", "data"}), ("never", set())],
)
def test_cases_fail_as_the_command_does(fail_on, failed):
    found = audited(fail_on)
    suite, by_name = cases(found)
    assert set(by_name) == {"accuracy", "dead_units", "calibration", "data"}
    assert {name for name, case in by_name.items() if case.find("failure") is not None} == failed
    assert int(suite.get("failures")) == len(failed)
    assert found.failed == bool(failed)
    assert by_name["calibration"].find("skipped").get("message") == "No <labels>."
    assert (suite.get("tests"), suite.get("skipped")) == ("4", "1")


def test_a_failure_says_what_where_how_much_and_what_to_do():
    _, by_name = cases(audited("warn"))
    assert by_name["accuracy"].find("failure").text == "fail: Low. | value 0.1235, threshold 0.2"
    assert by_name["dead_units"].find("failure").text == "warn: conv1 | Some. | Prune."


def test_the_summary_has_verdict_checks_and_findings_gravest_first():
    text = render_summary(audited()).decode()
    assert "**1 failure, 2 warnings**" in text
    assert "| Accuracy | ❌ fail | 0\\.1235 | all | 0\\.5 | 0\\.2 |" in text
    order = [line for line in text.splitlines() if line.startswith("- **")]
    assert [line[4:8] for line in order] == ["fail", "warn", "warn"]


@pytest.mark.parametrize(
    "name", ["<script>x</script>", "a | b\n| c", "[x](http://y)", "\x00\x1b[31m", "`` ` ``", "**"]
)
def test_hostile_names_are_text(name):
    findings = (Finding(severity="warn", check="data", message=name, where=name),)
    found = audited(findings=findings, name=name)
    ElementTree.fromstring(render_junit(found))
    text = render_summary(found).decode()
    assert "<script" not in text
    assert not re.search(r"(?<!\\)\]\(http", text)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {7}
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("fail_on", "exit_code"),
    [("fail", 3), ("warn", 3), ("never", 0)],
)
def test_programs_read_the_verdict_and_the_unrounded_numbers(fail_on, exit_code):
    found = json.loads(render_summary_json(audited(fail_on)))
    assert found["schema_version"] == 1
    assert (found["severity"], found["verdict"]) == ("fail", "1 failure, 2 warnings")
    assert (found["failed"], found["exit_code"]) == (exit_code == 3, exit_code)
    assert found["findings"] == {"fail": 1, "warn": 2, "info": 0}
    assert found["metrics"]["accuracy"] == 0.973125
    assert [(c["name"], c["outcome"], c["value"], c["fail"]) for c in found["checks"]] == [
        ("accuracy", "fail", 0.123456, 0.2),
        ("dead_units", "warn", 0.6, 0.9),
        ("calibration", "skipped", None, None),
    ]
    assert found["weights_sha256"] == "ab" * 32
    assert found["git_dirty"] is True


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_a_summary_is_strict_json_whatever_the_names_and_numbers(name):
    def refuse(constant):
        raise ValueError(constant)

    made = replace(audited(name=name), title=name, metrics={name: float("nan"), "x": float("-inf")})
    found = json.loads(render_summary_json(made), parse_constant=refuse)
    assert list(found["metrics"].values()) == ["NaN", "-Infinity"]
