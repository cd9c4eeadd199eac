"""From the command line: exit codes, page, junit.xml and summary.md of a network with a fault."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file


@pytest.fixture
def dead(lenet: Any, tmp_path: Path) -> str:
    """A weights file whose ip1 answers nothing."""
    tensors = {name: np.array(value) for name, value in lenet.parameters.items()}
    tensors["ip1.bias"] -= 1e3
    save_file(tensors, tmp_path / "dead.safetensors")
    return f"weights.path={tmp_path / 'dead.safetensors'}"


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ((), 3),
        (("audit=[dead_units]", "audit.fail_on=never"), 0),
        (("audit=[dead_units]", "audit.dead_units.fail=null", "audit.fail_on=warn"), 3),
    ],
)
def test_a_fault_decides_the_exit_code(
    reportgen: Callable[..., tuple[int, str, str]],
    dead: str,
    tmp_path: Path,
    more: tuple[str, ...],
    code: int,
) -> None:
    made, out, _ = reportgen(dead, "method=summary", "audit=standard", "report.dir=out", *more)
    assert made == code, out
    report = json.loads((tmp_path / "out" / "results.json").read_text())
    outcomes = {check["name"]: check["outcome"] for check in report["checks"]}
    page = (tmp_path / "out" / "report.html").read_text()
    junit = (tmp_path / "out" / "junit.xml").read_text()
    summary = (tmp_path / "out" / "summary.md").read_text()
    if not more:
        assert (outcomes["dead_units"], outcomes["accuracy"]) == ("fail", "fail")
        assert outcomes["non_finite"] == "passed"
        assert 'id="audit"' in page
        assert "500 of 500 units of ip1 are dead" in page
        assert 'name="dead_units"' in junit
        assert "<failure" in junit
        assert "❌ fail" in summary
        assert reportgen("verify", "out")[0] == 0
    assert ("<failure" in junit) == (code == 3)


def test_no_audit_is_possible(
    reportgen: Callable[..., tuple[int, str, str]], dead: str, tmp_path: Path
) -> None:
    code, out, _ = reportgen(dead, "method=summary", "audit=[]", "report.dir=out")
    assert code == 0, out
    report = json.loads((tmp_path / "out" / "results.json").read_text())
    assert report["checks"] == []
    assert 'id="audit"' not in (tmp_path / "out" / "report.html").read_text()


def test_a_file_with_nan_is_audited_if_asked(
    reportgen: Callable[..., tuple[int, str, str]], lenet: Any, tmp_path: Path
) -> None:
    tensors = {name: np.array(value) for name, value in lenet.parameters.items()}
    tensors["conv2.kernel"][0, 0, 0, 0] = np.nan
    save_file(tensors, tmp_path / "nan.safetensors")
    chosen = ("weights.path=nan.safetensors", "method=summary", "report.dir=out")
    code, _, error = reportgen(*chosen)
    assert code == 2
    assert "weights.finite=false" in error
    assert not (tmp_path / "out").exists()
    assert reportgen(*chosen, "weights.finite=false")[0] == 3
    report = json.loads((tmp_path / "out" / "results.json").read_text())
    (check,) = (check for check in report["checks"] if check["name"] == "non_finite")
    assert check["outcome"] == "fail"
    first = next(f for f in report["findings"] if f["check"] == "non_finite")
    assert "1 of 25,000 values of kernel of conv2" in first["message"]
