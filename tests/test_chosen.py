"""Tests of maps find maps to test; every method runs from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reportgen.archive.folder import read_report
from reportgen.compose import options


def test_a_test_of_maps_alone_brings_its_makers(reportgen: Any, tmp_path: Path) -> None:
    code, _, error = reportgen("method=[weights,road]", "method.road.count=2", "report.dir=out")
    assert code == 0, error
    report = read_report(tmp_path / "out")
    assert [s.method for s in report.sections] == [
        *("weights", "saliency", "gradcam", "road", "side_by_side")
    ]
    assert not any(section.skipped for section in report.sections)
    assert "maps" not in report.sections[3].settings
    assert report.sections[3].command == (
        "reportgen method.road.count=2 'method=[saliency,gradcam,road]'"
    )


def test_keys_of_makers_stand_under_the_test(reportgen: Any, tmp_path: Path) -> None:
    keys = ("method.road.maps.saliency.target=3", "~method.road.maps.gradcam")
    code, _, error = reportgen("method=road", "method.road.count=2", *keys, "report.dir=out")
    assert code == 0, error
    report = read_report(tmp_path / "out")
    assert [s.method for s in report.sections] == ["saliency", "road"]
    assert report.sections[0].settings["target"] == 3
    assert "method.saliency.target=3" in report.sections[1].command
    assert report.command.endswith("method.road.maps.saliency.target=3 '~method.road.maps.gradcam'")


def test_makers_beside_a_test_are_the_only_ones(reportgen: Any, tmp_path: Path) -> None:
    code, _, error = reportgen("method=[eigencam,road]", "method.road.count=2", "report.dir=out")
    assert code == 0, error
    assert [s.method for s in read_report(tmp_path / "out").sections] == ["eigencam", "road"]


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (
            ("method=road", "~method.road.maps"),
            ("method.road.maps: a value is missing",),
        ),
        (
            ("method=road", "method.road.maps=null"),
            ("method.road.maps", "found None"),
        ),
        (
            ("method=road", "~method.road.maps.saliency", "~method.road.maps.gradcam"),
            ("none that makes maps is chosen", "method=[gradcam,road]"),
        ),
        (
            ("method=[road,infidelity]", "method.road.maps.saliency.target=true"),
            ("method.road.maps.saliency and method.infidelity.maps.saliency differ",
             "method=[saliency,road,infidelity]"),
        ),
        (
            ("method=road", "+method/weights@method.road.maps.weights=weights"),
            ("method",),
        ),
        (
            ("method=road", "method.road.maps.saliency._target_=reportgen.methods.road.ROAD"),
            ("method.road.maps.saliency",),
        ),
    ],
)  # fmt: skip
def test_maps_that_cannot_be_tested_are_refused(
    reportgen: Any, tmp_path: Path, overrides: tuple[str, ...], told: tuple[str, ...]
) -> None:
    code, _, error = reportgen(*overrides, "report.dir=out")
    assert code == 2
    for part in told:
        assert part in error
    assert not (tmp_path / "out").exists()


def test_every_method_runs_alone_in_a_sweep(reportgen: Any, tmp_path: Path) -> None:
    code, _, error = reportgen(
        "-m", "method=glob(*)", "layers=conv2", "data.count=8", "hydra.sweep.dir=all"
    )
    made = {
        section.method
        for folder in (tmp_path / "all").glob("*_method=*")
        for section in read_report(folder).sections
        if not section.skipped
    }
    # LeNet's head is no pooled one, so CAM is refused, and the page of the sweep says why.
    assert set(options("method")) - made == {"cam"}
    assert code == 2, error
    page = (tmp_path / "all" / "index.html").read_text()
    assert page.count("exit code 2") <= 1
    assert "cam needs" in page
