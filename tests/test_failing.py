"""A failing method takes no other with it: section, findings and exit code say so."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from reportgen.archive.verify import verify
from reportgen.core.errors import ResourceError
from reportgen.methods.weights import Weights

Run = Callable[..., tuple[int, str, str]]

SMALL = ("method=[weights,summary]", "layers=conv1", "audit=[]", "report.dir=out")


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (ResourceError("It needs 9 GiB.", "Take fewer."), 2, "It needs 9 GiB."),
        (ZeroDivisionError("of what?"), 1, "Internal error (a bug): ZeroDivisionError: of what?"),
    ],
)
def test_the_others_go_on(
    reportgen: Run, tmp_path: Path, monkeypatch: Any, error: Exception, code: int, told: str
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(Weights, "run", fail)
    found, out, _ = reportgen(*SMALL)
    assert found == code
    folder = tmp_path / "out"
    report = json.loads((folder / "results.json").read_text())
    weights, summary = report["sections"]
    assert (weights["failed"], weights["exit_code"], weights["blocks"]) == (told, code, [])
    assert (summary["failed"], summary["exit_code"]) == ("", 0)
    assert summary["blocks"]
    (finding,) = (one for one in report["findings"] if one["check"] == "weights")
    assert finding["severity"] == "fail"
    assert told in finding["message"]
    assert told in out
    assert told in (folder / "report.html").read_text()
    (case,) = ElementTree.parse(folder / "junit.xml").findall("testcase[failure]")
    assert case.get("name") == "weights"
    trace = "ZeroDivisionError: of what?\n" in (folder / "log.txt").read_text()
    assert trace == (code == 1)
    assert verify(folder) == []


def test_alone_it_ends_the_run(reportgen: Run, tmp_path: Path, monkeypatch: Any) -> None:
    def fail(*_: Any) -> None:
        raise ResourceError("It needs 9 GiB.", "Take fewer.")

    monkeypatch.setattr(Weights, "run", fail)
    code, _, error = reportgen("method=weights", *SMALL[1:])
    assert code == 2
    assert "It needs 9 GiB." in error
    assert not (tmp_path / "out").exists()
