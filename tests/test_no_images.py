"""data=none: what needs no images is made without any."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.linear import LINEAR

Run = Callable[..., tuple[int, str, str]]


def test_methods_that_need_no_images_are_made(reportgen: Run, tmp_path: Path) -> None:
    chosen = ("method=[summary,weights,saliency]", "layers=conv1", "audit=[]")
    code, _, error = reportgen("data=none", *chosen, "report.dir=out")
    assert code == 0, error
    report = json.loads((tmp_path / "out" / "results.json").read_text())
    skipped = {section["method"]: section["skipped"] for section in report["sections"]}
    assert skipped == {
        "summary": "",
        "weights": "",
        "saliency": "saliency needs images, and data=none gives none.",
    }
    assert report["data"]["count"] == 0
    assert not report["data"]["labelled"]


def test_a_method_that_needs_them_is_refused_alone(reportgen: Run, tmp_path: Path) -> None:
    code, _, error = reportgen("data=none", "method=predictions", "report.dir=out")
    assert code == 2
    assert "predictions needs images, and data=none gives none." in error
    assert not (tmp_path / "out").exists()


def test_the_digits_serve_any_network_without_their_labels(reportgen: Run, tmp_path: Path) -> None:
    more = (*LINEAR, "weights=random", "+model.kwargs.classes=3", "model.classes=[a,b,c]")
    chosen = ("method=predictions", "audit=[]", "report.dir=out")
    code, _, error = reportgen(*chosen, *more)
    assert code == 2
    assert "data=embedded has the 10 digits; the network has 3 classes." in error
    code, _, error = reportgen(*chosen, *more, "data.labels=null")
    assert code == 0, error
    assert json.loads((tmp_path / "out" / "results.json").read_text())["metrics"] == {}
