"""Checks of a report's own numbers: maps against controls, size of the pages, cost of the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

import pytest

from reportgen.auditing import Auditing
from reportgen.audits.choice import chosen_audits
from reportgen.audits.evidence import Evidence
from reportgen.audits.finished import Finished
from reportgen.config import read
from reportgen.core.blocks import Finding
from reportgen.core.checks import Check
from reportgen.core.report import Report
from reportgen.engine.rows import Engine
from reportgen.methods.survey import Survey
from tests.audits.reports import report

METRICS = {
    "accuracy": 0.98,
    "Saliency: deletion AUC ↓": 0.11,
    "Grad-CAM: deletion AUC ↓": 0.65,
    "random map: deletion AUC ↓": 0.37,
    "centred blob: deletion AUC ↓": 0.1,
    "Saliency: ROAD ↑": -0.6,
    "random map: ROAD ↑": 0.01,
    "Saliency: rank correlation, weights shuffled ↓": 0.38,
    "Grad-CAM: rank correlation, weights shuffled ↓": 0.995,
}
TAKEN = Finished(
    sizes={"report.html": 90_000_000, "assets/": 0, "report.pdf": 20_000_000},
    seconds=20_000.25,
    memory=3_000_000_000,
    timings=True,
)


@pytest.fixture
def begun(
    lenet: Any, digits: Any, composed: Callable[..., Any]
) -> Callable[..., tuple[Auditing, Report]]:
    """An audit before the pages are drawn."""

    def run(metrics: Mapping[str, float], *overrides: str) -> tuple[Auditing, Report]:
        audits = chosen_audits(read(composed(*overrides)).audit)
        evidence = Evidence(Survey(lenet, digits, Engine.local(16)), metrics)
        own = Finding(severity="info", check="data", message="a draft's own")
        draft = report(None, findings=(own,))
        auditing = Auditing(audits, evidence, draft, date(2026, 1, 15))
        return auditing, auditing.before_pages(lambda done: None)

    return run


def checks_of(made: Report) -> dict[str, Check]:
    return {check.name: check for check in made.checks}


def test_maps_are_held_against_the_random_one(begun: Any) -> None:
    _, made = begun(METRICS, "audit=[faithfulness]")
    check = checks_of(made)["faithfulness"]
    # Saliency's and Grad-CAM's deletion, Saliency's ROAD, and the blob's; not the random map's own.
    assert check.measured == 4
    assert (check.outcome, check.where) == ("fail", "Saliency")
    assert check.value == pytest.approx(-0.61)
    assert check.message == "Saliency: ROAD ↑ is -0.6, a random map's 0.01."
    told = {(f.where, f.severity): f.value for f in made.findings if f.check == "faithfulness"}
    assert told == {
        ("Saliency", "fail"): pytest.approx(-0.61),
        ("Grad-CAM", "warn"): pytest.approx(-0.28),
    }


def test_maps_must_change_with_the_weights(begun: Any) -> None:
    _, made = begun(METRICS, "audit=[sanity]")
    check = checks_of(made)["sanity"]
    assert (check.outcome, check.where, check.value) == ("fail", "Grad-CAM", 0.995)
    assert check.measured == 2


def test_without_tests_of_maps_it_is_said_which_to_add(begun: Any) -> None:
    _, made = begun({"accuracy": 0.98}, "audit=[faithfulness,sanity]")
    checks = checks_of(made)
    assert {check.outcome for check in checks.values()} == {"skipped"}
    assert "method=[…,deletion_insertion]" in checks["faithfulness"].message
    assert "method=[…,sanity_check]" in checks["sanity"].message


def test_pages_and_run_are_judged_when_they_are_there(begun: Any) -> None:
    auditing, early = begun(METRICS, "audit=[report_size,sanity,run_time,run_memory]")
    assert [check.name for check in early.checks] == ["sanity"]
    made = auditing.after_pages(TAKEN)
    # In the order of the configuration, each once, before what the draft says itself.
    names = ["report_size", "sanity", "run_time", "run_memory"]
    assert [check.name for check in made.checks] == names
    found = [finding.check for finding in made.findings]
    assert found == ["report_size", "sanity", "run_time", "data"]
    checks = checks_of(made)
    assert (checks["report_size"].outcome, checks["report_size"].value) == ("warn", 110.0)
    assert "report.html 90 MB, report.pdf 20 MB" in checks["report_size"].message
    assert (checks["run_time"].outcome, checks["run_time"].value) == ("warn", 20_000.25)
    assert "20,000.2 seconds" in checks["run_time"].message
    assert (checks["run_memory"].outcome, checks["run_memory"].value) == ("passed", 3.0)


def test_without_timings_the_report_tells_outcomes_alone(begun: Any) -> None:
    quiet = Finished(sizes=TAKEN.sizes, seconds=20_000, memory=1, timings=False)
    other = Finished(sizes=TAKEN.sizes, seconds=30_000, memory=2, timings=False)
    made = []
    for taken in (quiet, other):
        auditing, _ = begun(METRICS, "audit=[run_time,run_memory]")
        made.append(auditing.after_pages(taken))
    # Equal runs give equal reports, whatever they took.
    assert made[0].checks == made[1].checks
    assert made[0].findings == made[1].findings
    check, finding = made[0].checks[0], made[0].findings[0]
    assert (check.outcome, check.value, finding.value) == ("warn", None, None)
    assert finding.severity == "warn"
    assert "report.timings=false" in check.message
