"""Tests of maps find maps to test; every method runs from the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reportgen.archive.folder import read_report
from reportgen.chosen import chosen_methods
from reportgen.compose import options
from reportgen.config import read
from reportgen.core.errors import UserError

QUICK = ("method.road.count=2", "audit=[]", "report.dir=out")


def test_a_test_of_maps_alone_brings_its_makers(reportgen: Any, tmp_path: Path) -> None:
    code, _, error = reportgen("method=[weights,road]", *QUICK)
    assert code == 0, error
    report = read_report(tmp_path / "out")
    assert [s.method for s in report.sections] == [
        *("weights", "saliency", "gradcam", "road", "side_by_side")
    ]
    assert not any(section.skipped for section in report.sections)
    assert "maps" not in report.sections[3].settings
    assert report.sections[3].command == (
        "reportgen method.road.count=2 'audit=[]' 'method=[saliency,gradcam,road]'"
    )


def test_keys_of_makers_stand_under_the_test(reportgen: Any, tmp_path: Path) -> None:
    keys = ("method.road.maps.saliency.target=3", "~method.road.maps.gradcam")
    code, _, error = reportgen("method=road", *keys, *QUICK)
    assert code == 0, error
    report = read_report(tmp_path / "out")
    assert [s.method for s in report.sections] == ["saliency", "road"]
    assert report.sections[0].settings["target"] == 3
    assert "method.saliency.target=3" in report.sections[1].command
    assert "method.road.maps.saliency.target=3 '~method.road.maps.gradcam'" in report.command


def test_makers_beside_a_test_are_the_only_ones(reportgen: Any, tmp_path: Path) -> None:
    code, _, error = reportgen("method=[eigencam,road]", *QUICK)
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
            ("method=[road,infidelity]", "method.road.maps.saliency.target=true"),
            ("method.road.maps.saliency and method.infidelity.maps.saliency differ",
             "method=[saliency,road,infidelity]"),
        ),
        (
            ("method=road", "method.road.maps.saliency._target_=reportgen.methods.road.ROAD"),
            ("method.road.maps.saliency",),
        ),
    ],
)  # fmt: skip
def test_maps_that_cannot_be_tested_are_refused(
    composed: Callable[..., Any], overrides: tuple[str, ...], told: tuple[str, ...]
) -> None:
    with pytest.raises(UserError) as refused:
        chosen_methods(read(composed(*overrides)), overrides)
    for part in told:
        assert part in str(refused.value)


def test_a_test_of_maps_that_is_left_with_none_is_refused(reportgen: Any, tmp_path: Path) -> None:
    none = ("~method.road.maps.saliency", "~method.road.maps.gradcam")
    code, _, error = reportgen("method=road", *none, "report.dir=out")
    assert code == 2
    assert "none that makes maps is chosen" in error
    assert "method=[gradcam,road]" in error
    code, _, error = reportgen(
        "method=road", "+method/weights@method.road.maps.weights=weights", "report.dir=out"
    )
    assert code == 2
    assert "config group 'method/weights' does not exist" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_method_that_is_refused_is_told_on_the_page_of_the_sweep(
    reportgen: Any, tmp_path: Path
) -> None:
    """LeNet's head is no pooled one, so that CAM is refused."""
    code, _, error = reportgen(
        "-m", "method=glob([cam,weights])", "layers=conv2", "audit=[]", "hydra.sweep.dir=all"
    )
    assert code == 2, error
    assert "error: cam needs" in error
    assert (tmp_path / "all" / "1_method=weights" / "report.html").is_file()
    page = (tmp_path / "all" / "index.html").read_text()
    assert page.count("exit code 2") == 1
    assert "cam needs" in page


@pytest.mark.slow
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
