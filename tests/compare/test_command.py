"""The command line: two folders in, one out; exit codes, old schema versions, a baseline."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from reportgen.archive.folder import read_report, write_results
from reportgen.archive.verify import verify
from reportgen.compare.compared import compared
from reportgen.core.blocks import Gallery, Montage
from reportgen.core.report import Report
from reportgen.render.report import render_report
from tests.archive.making import archived
from tests.audits.reports import maps
from tests.compare.reading import groups, of_type, table
from tests.core.measurements import layer, measured
from tests.render import sample

Run = Callable[..., tuple[int, str, str]]
V1 = Path(__file__).parent / "reports" / "v1"
# What the test file was made by.
MADE_BY = (
    *("data.count=6", "method=[predictions,weights,saliency]", "layers=conv1"),
    *("method.predictions.show=6", "method.saliency.count=3", "report.timings=false", "audit=[]"),
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, lenet: Any) -> tuple[Path, Path]:
    """A report of today, and one of a network whose last layer's classes are shuffled."""
    from reportgen import cli

    place = tmp_path_factory.mktemp("releases")
    tensors = {name: np.array(value) for name, value in lenet.parameters.items()}
    for name in ("ip2.kernel", "ip2.bias"):
        tensors[name] = np.roll(tensors[name], 1, axis=-1)
    tensors["conv1.kernel"][..., 3] *= 1.5
    save_file(tensors, place / "faulty.safetensors")
    for name, more in (("base", ()), ("faulty", (f"weights.path={place}/faulty.safetensors",))):
        assert cli.run([*MADE_BY, *more, f"report.dir={place / name}"]) == 0
    return place / "base", place / "faulty"


@pytest.fixture(scope="module")
def faulty(folders: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The comparison of the two."""
    from reportgen import cli

    target = tmp_path_factory.mktemp("compared") / "base-faulty"
    with contextlib.chdir(target.parent):  # outside of a repository
        assert cli.run(["compare", *map(str, folders), f"report.dir={target}"]) == 3
    return target


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two reports made by hand, with one layer and one image, of which all has changed."""
    place = tmp_path_factory.mktemp("small")
    for name, factor in (("base", 1.0), ("moved", 1.5)):
        weights = factor * np.random.default_rng(0).normal(size=64)
        seen = measured(layer("conv1", weights), images=[1], labels=[1], predicted=[factor == 1])
        (place / name).mkdir()
        write_results(replace(sample.report(name="net"), sections=(), measured=seen), place / name)
        (place / name / "config.yaml").write_text("seed: 0\n")
    return place / "base", place / "moved"


def test_a_fault_fails_the_command_and_the_page_shows_it(faulty: Path) -> None:
    report = read_report(faulty)
    assert report.title == "base → faulty"
    assert report.exit_code == 3
    outcomes = {check.name: check.outcome for check in report.checks}
    assert outcomes["drift_accuracy"] == "fail"
    assert "accuracy" not in outcomes  # it needs the network
    assert report.metrics["Δ accuracy"] == -report.metrics["right → wrong"] / 6 == -1.0
    assert report.metrics["accuracy"] == 0.0
    assert report.model.weights.endswith("faulty.safetensors (safetensors)")
    (gallery,) = of_type(
        next(one for one in report.sections if one.method == "changed_predictions").blocks, Gallery
    )
    assert len(gallery.items) == 6
    layers = next(one for one in report.sections if one.method == "changed_layers")
    rows = table(layers.blocks, "").rows
    assert {row[0] for row in rows[:2]} == {"conv1", "ip2"}
    pictures = next(one for one in report.sections if one.method == "changed_pictures")
    kernel = of_type(groups(pictures.blocks)["conv1 · kernel"].blocks, Montage)
    assert [one.labels for one in kernel[:2]] == [("filter 3, channel 0",)] * 2
    words = (faulty / "report.html").read_text()
    assert words.index('id="changes"') < words.index('id="about"')
    assert "10" not in report.provenance.device
    assert "−100 pp" in words


def test_the_comparison_is_a_report_folder_like_any_other(faulty: Path, reportgen: Run) -> None:
    page = (faulty / "report.html").read_bytes()
    code, _, _ = reportgen("render", str(faulty))
    assert code == 0
    assert (faulty / "report.html").read_bytes() == page
    assert reportgen("verify", str(faulty))[0] == 0
    junit = (faulty / "junit.xml").read_text()
    assert 'name="drift_accuracy"' in junit
    assert "<failure" in junit


def test_the_same_two_reports_give_the_same_bytes(
    folders: tuple[Path, Path], faulty: Path, reportgen: Run, tmp_path: Path
) -> None:
    code, out, _ = reportgen("compare", *map(str, folders))
    assert code == 3
    made = tmp_path / "outputs" / "compare-base-faulty"
    assert str(made.relative_to(tmp_path)) in out
    sums = [(folder / "SHA256SUMS").read_text() for folder in (made, faulty)]
    assert sums[0] == sums[1]


def test_a_report_has_not_changed_from_itself(
    folders: tuple[Path, Path], reportgen: Run, tmp_path: Path
) -> None:
    target = tmp_path / "same"
    code, out, _ = reportgen("compare", str(folders[0]), str(folders[0]), f"report.dir={target}")
    assert code == 0
    assert "Nothing changed: all that was compared is equal." in out
    assert read_report(target).title == "base → base"


@pytest.mark.parametrize(
    ("overrides", "code"),
    [
        (("audit.fail_on=never",), 0),
        (("audit=[]",), 0),
        (("audit=[drift_weights]", "audit.drift_weights={warn: null, fail: 0.01}"), 3),
        (("audit=[drift_weights]", "audit.drift_weights.warn=0.01", "audit.fail_on=warn"), 3),
    ],
)
def test_the_configuration_judges(
    small: tuple[Path, Path],
    reportgen: Run,
    tmp_path: Path,
    overrides: tuple[str, ...],
    code: int,
) -> None:
    target = tmp_path / "compared"
    more = (*overrides, f"report.dir={target}", "report.title=Ours", "report.bundle=single")
    assert reportgen("compare", *map(str, small), *more)[0] == code
    report = read_report(target)
    assert report.title == "Ours"
    assert report.rendering.bundle == "single"
    assert overrides[0] in report.command
    assert "report.dir" not in report.command


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Two folders are expected, found 0."),
        (["base"], "Two folders are expected, found 1."),
        (["nowhere", "base"], "There is no report 'nowhere': no such folder"),
        (["base", "empty"], "empty is no report: it has no results.json."),
        (["base", "torn"], "results.json is damaged"),
        (["base", "later"], "results.json has schema version 99; this reportgen reads 1 to 2."),
        (["base", "base", "third"], "'third' is no KEY=VALUE."),
        (["base", "base", "seed=1"], "compare computes nothing, so it takes no 'seed'"),
        (["base", "base", "report.dri=x"], "There is no key 'dri' under report.\nDid you mean dir"),
        (["base", "base", "audit=[drift_weight]"], "Did you mean drift_weights"),
        (["base", "base", "audit.drift_psi.fial=1"], "There is no key 'fial'"),
        (["base", "base", "report.dir=base"], "which is one of the two reports that are compared"),
        (["base", "base", "report.logo=nope.png"], "nope.png"),
    ],
)
def test_wrong_input_is_one_clear_message_and_leaves_nothing(
    folders: tuple[Path, Path], reportgen: Run, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "base").symlink_to(folders[0])
    (tmp_path / "empty").mkdir()
    for name, text in (("torn", '{"schema_version'), ("later", '{"schema_version": 99}')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_text(text)
    before = sorted(path.name for path in tmp_path.iterdir())
    code, _, err = reportgen("compare", *arguments)
    assert code == 2
    assert message in err
    assert "Traceback" not in err
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_missing_array_and_a_damaged_configuration(
    folders: tuple[Path, Path], reportgen: Run, tmp_path: Path
) -> None:
    shutil.copytree(folders[0], tmp_path / "torn")
    (tmp_path / "torn" / "config.yaml").write_text("a: [1\nb")
    code, _, err = reportgen("compare", "torn", str(folders[0]))
    assert code == 2
    assert "config.yaml is damaged" in err
    (tmp_path / "torn" / "config.yaml").unlink()
    (tmp_path / "torn" / "arrays" / "weights.npz").unlink()
    code, _, err = reportgen("compare", "torn", str(folders[0]))
    assert code == 2
    assert "weights.npz is missing or damaged" in err


def test_a_comparison_is_compared_with_nothing(
    folders: tuple[Path, Path], faulty: Path, reportgen: Run, tmp_path: Path
) -> None:
    code, _, err = reportgen("compare", str(folders[0]), str(faulty))
    assert code == 2
    assert f"{faulty} is itself a comparison of two reports." in " ".join(err.split())
    assert list(tmp_path.iterdir()) == []


def test_names_that_are_alike_are_told_apart(
    small: tuple[Path, Path], reportgen: Run, tmp_path: Path
) -> None:
    for release in ("v1", "v2"):
        (tmp_path / release).mkdir()
        (tmp_path / release / "net").symlink_to(small[0])
    assert reportgen("compare", "v1/net", "v2/net")[0] == 0
    target = tmp_path / "outputs" / "compare-v1_net-v2_net"
    assert read_report(target).title == "v1/net → v2/net"


def test_releases_are_compared_by_their_names_in_the_archive(
    reportgen: Run, tmp_path: Path
) -> None:
    for release in ("v1", "v2"):
        seen = measured(layer("conv1", np.ones(64)), images=[1], labels=[1], predicted=[1])
        archived(tmp_path / "archive", release, measured=seen)
    code, out, _ = reportgen("compare", "v1", "latest")
    assert code == 0
    assert "all results are equal" in out or "Nothing changed" in out
    assert read_report(tmp_path / "outputs" / "compare-v1-v2").title == "v1 → v2"
    code, _, err = reportgen("compare", "v1", "v3")
    assert code == 2
    assert "There is no report 'v3'" in err


def test_a_report_of_schema_version_1_is_compared_as_far_as_it_goes(
    folders: tuple[Path, Path], reportgen: Run, tmp_path: Path
) -> None:
    target = tmp_path / "old-new"
    assert json.loads((V1 / "results.json").read_text())["schema_version"] == 1
    code, _, _ = reportgen("compare", str(V1), str(folders[0]), f"report.dir={target}")
    assert code == 0
    report = read_report(target)
    assert verify(target) == []
    outcomes = {check.name: check.outcome for check in report.checks}
    assert outcomes["drift_weights"] == "skipped"
    assert outcomes["drift_rank_correlation"] == "passed"
    why = dict(table(report.sections[-1].blocks).rows)
    assert "the base keeps no measurements" in str(why["predictions and layers"])
    counts = {row[0]: row[1:] for row in table(report.sections[0].blocks).rows}
    assert counts["metrics"] == (0, 1)
    assert counts["maps of images"][1] == 3 - counts["maps of images"][0]
    assert sum(counts["pictures"]) == 1
    # The other way round, and against the network with the fault.
    code, _, _ = reportgen("compare", str(folders[1]), str(V1), f"report.dir={target}")
    report = read_report(target)
    pictures = next(one for one in report.sections if one.method == "changed_pictures")
    assert list(groups(pictures.blocks)) == ["conv1 · kernel"]
    assert [row[0] for row in table(report.sections[0].blocks, "Metrics").rows] == ["accuracy"]


def test_a_whole_run_with_a_baseline_holds_the_comparison_itself(
    folders: tuple[Path, Path], reportgen: Run, tmp_path: Path
) -> None:
    moved, target = tmp_path / "moved", tmp_path / "run"
    shutil.copytree(folders[1], moved)
    code, _, _ = reportgen(*MADE_BY, f"baseline={moved}", f"report.dir={target}")
    assert code == 0
    shutil.rmtree(moved)
    assert verify(target) == []
    report = read_report(target)
    methods = [one.method for one in report.sections]
    assert methods[:4] == ["predictions", "weights", "saliency", "changes"]
    assert "changed_pictures" in methods
    assert report.metrics["Δ accuracy"] == 1.0
    settings = table(report.sections[3].blocks, "Configuration").rows
    assert [row[0] for row in settings] == ["weights.path"]
    assert (target / "arrays" / "changed_pictures.npz").is_file()


def test_hostile_names_are_text_on_the_page_and_in_the_pdf(tmp_path: Path) -> None:
    names = "".join(sample.HOSTILE[:4]) + sample.HOSTILE[5]
    random = np.random.default_rng(0)

    def made(seed: int) -> Report:
        weights = random.normal(size=64)
        seen = measured(
            layer(names, weights, random.normal(size=(30, 4)) + seed),
            layer(f"{names}{seed}"),
            images=[1, 2],
            labels=[0, 1],
            predicted=[0, seed],
        )
        report = sample.report(name=names)
        blocks = sample.every_block(np.random.default_rng(seed), names)
        section = replace(report.sections[0], blocks=blocks)
        classes = replace(report.model, classes=(names, f"{names}1"))
        explained = replace(maps("saliency", [1], [random.random((9, 9))]), title=names)
        sections = (section, explained)
        return replace(report, sections=sections, measured=seen, model=classes)

    found = compared(made(0), made(1), ({names: {"a": names}}, {names: {"a": 1}}))
    report = replace(made(1), title=names, sections=found.sections, findings=found.findings)
    assert [one.method for one in found.sections] == [
        *("changes", "changed_predictions", "changed_layers", "changed_pictures"),
        *("changed_maps", "not_compared"),
    ]
    write_results(report, tmp_path)
    render_report(report, tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "&lt;script&gt;alert" in page
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
