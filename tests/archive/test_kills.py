"""A few of the runs that ``kills.py`` kills by the hundred."""

from __future__ import annotations

import pytest

from tests.archive.kills import trial

pytestmark = pytest.mark.slow

JOB = (
    *("method=[predictions,saliency]", "data.count=8", "report.timings=false"),
    "archive.release=v1",
)


def test_a_killed_run_leaves_nothing_half_and_goes_on() -> None:
    seen = trial(3, seed=1, job=JOB, warm=False)
    assert seen.kills == 3
    assert seen.whole > 0
    assert seen.found > 0
