"""From the command line: a run that is compared with an earlier report."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

METHODS = "method=[predictions,gradcam]"
STRICT = (METHODS, "audit=strict", "report.timings=false")
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of LeNet as it comes with reportgen."""
    from reportgen import cli

    folder = tmp_path_factory.mktemp("healthy") / "v1"
    assert cli.run([*STRICT, f"report.dir={folder}"]) == 0
    return folder


def _changed(lenet: Any, name: str, change: Callable[[np.ndarray], None]) -> str:
    tensors = {key: np.array(value) for key, value in lenet.parameters.items()}
    change(tensors[name])
    save_file(tensors, "changed.safetensors")
    return "weights.path=changed.safetensors"


def _results(folder: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(folder, "results.json").read_text())
    return found


@pytest.mark.slow
def test_equal_runs_beside_a_baseline_are_equal_files(reportgen: Command, healthy: Path) -> None:
    """Though the pages are drawn twice, since checks look at them."""
    for folder in ("one", "other"):
        assert reportgen(*STRICT, f"baseline={healthy}", f"report.dir={folder}")[0] == 0
    assert Path("one/SHA256SUMS").read_text() == Path("other/SHA256SUMS").read_text()


@pytest.mark.slow
def test_a_whole_run_of_a_network_beside_itself(reportgen: Command, healthy: Path) -> None:
    alone = _results(str(healthy))
    assert reportgen(*STRICT, f"baseline={healthy}", "report.dir=one")[0] == 0
    made = _results("one")
    skipped = {c["name"] for c in made["checks"] if c["outcome"] == "skipped"}
    assert skipped == {"faithfulness", "sanity"}
    assert {c["outcome"] for c in made["checks"] if c["name"] not in skipped} == {"passed"}
    assert len([c for c in alone["checks"] if c["outcome"] == "skipped"]) == 11
    [told] = [f for f in made["findings"] if f["check"] == "baseline"]
    assert told["severity"] == "info"
    assert alone["model"]["weights_sha256"][:12] in told["message"]
    # What one report says of the other, or of the run, is no change.
    [changes] = [section for section in made["sections"] if section["method"] == "changes"]
    counts = {row[0]: row[1:] for row in changes["blocks"][1]["rows"]}
    assert counts["checks"] == [0, 12]
    assert reportgen("compare", str(healthy), "one", "audit=standard", "report.dir=both")[0] == 0
    [nothing] = [f["message"] for f in _results("both")["findings"] if f["check"] == "compare"]
    assert nothing.startswith("Nothing changed")
    # The two were made in different folders, of which one may be a repository.
    assert {name for name, row in counts.items() if row[0]} <= {"facts of the environment"}
    assert reportgen("verify", "one")[0] == 0
    # The pages are drawn twice, since checks look at them. What was judged is the first drawing;
    # the last one has a line more for each late check.
    names = (
        "report.html",
        "report.pdf",
        *(f"assets/{p.name}" for p in Path("one/assets").iterdir()),
    )
    final = sum(Path("one", name).stat().st_size for name in names) / 1e6
    [size] = [c["value"] for c in made["checks"] if c["name"] == "report_size"]
    assert final - 0.05 < size < final
    page = Path("one/report.html").read_text()
    assert "Drift of answers (PSI)" in page
    assert "Compared with" in page


def test_a_shuffled_last_layer(reportgen: Command, lenet: Any, healthy: Path) -> None:
    def shuffle(kernel: np.ndarray) -> None:
        kernel[...] = np.random.default_rng(3).permutation(kernel)

    weights = _changed(lenet, "ip2.kernel", shuffle)
    code, out, _ = reportgen(
        "method=summary", weights, "audit=standard", f"baseline={healthy}", "report.dir=out"
    )
    assert code == 3, out
    made = _results("out")
    outcomes = {c["name"]: c["outcome"] for c in made["checks"]}
    failed = {"accuracy", "drift_psi", "drift_ks", "drift_accuracy", "drift_predictions"}
    assert failed <= {name for name, outcome in outcomes.items() if outcome == "fail"}
    # Trained again or shuffled: a layer's weights alone do not tell.
    assert (outcomes["drift_weights"], outcomes["non_finite"]) == ("passed", "passed")
    # Of the checks of both reports those are told that judge a network, as they ended.
    [changes] = [section for section in made["sections"] if section["method"] == "changes"]
    [rows] = [b["rows"] for b in changes["blocks"] if b.get("caption", "").startswith("Checks")]
    ended = {row[0]: row[1:3] for row in rows}
    assert ended["accuracy"] == ["passed", "fail"]
    assert not [name for name in ended if name.startswith(("drift", "run_", "report_"))]
    junit = Path("out/junit.xml").read_text()
    assert 'name="drift_accuracy"' in junit
    summary = Path("out/summary.md").read_text()
    assert "Loss of accuracy" in summary


@pytest.mark.parametrize(
    ("parameter", "planted", "check", "where"),
    [
        ("ip1.bias", -1e3, "newly_dead", "ip1"),
        ("conv1.kernel", np.nan, "drift_weights", "conv1"),
    ],
)
def test_a_dead_layer_and_a_nan(
    reportgen: Command,
    lenet: Any,
    healthy: Path,
    parameter: str,
    planted: float,
    check: str,
    where: str,
) -> None:
    def plant(values: np.ndarray) -> None:
        values[..., 3 if np.isnan(planted) else slice(None)] = planted

    weights = (_changed(lenet, parameter, plant), "weights.finite=false")
    code, out, _ = reportgen(
        "method=summary", *weights, f"audit=[{check}]", f"baseline={healthy}", "report.dir=out"
    )
    assert code == 3, out
    found = [f for f in _results("out")["findings"] if f["severity"] == "fail"]
    assert {(f["check"], f["where"]) for f in found} >= {(check, where)}


def test_swapped_class_names(reportgen: Command, healthy: Path) -> None:
    names = 'model.classes=["0","1","2","5","4","3","6","7","8","9"]'
    code, _, _ = reportgen(
        *("method=summary", names, "audit=[drift_class_accuracy]"),
        *(f"baseline={healthy}", "report.dir=out"),
    )
    assert code == 3
    found = [f["where"] for f in _results("out")["findings"] if f["severity"] == "fail"]
    assert sorted(found) == ["3", "5"]


def test_a_copied_filter(reportgen: Command, lenet: Any, healthy: Path) -> None:
    def copy(kernel: np.ndarray) -> None:
        kernel[..., 7] = kernel[..., 3]

    weights = _changed(lenet, "conv2.kernel", copy)
    audit = "audit=[copied_units,drift_weights,drift_accuracy,dead_units]"
    chosen = ("method=weights", "layers=conv1", audit, f"baseline={healthy}", "report.dir=out")
    code, out, _ = reportgen(*chosen, weights)
    assert code == 3, out
    (found,) = (f for f in _results("out")["findings"] if f["severity"] == "fail")
    assert (found["check"], found["where"]) == ("copied_units", "conv2")
    assert "7 is 3 again" in found["message"]


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda folder: shutil.rmtree(folder), "no such folder"),
        (lambda folder: (folder / "results.json").unlink(), "is no report: it has no results.json"),
        (lambda folder: (folder / "results.json").write_text("{"), "is damaged"),
        (lambda folder: (folder / "arrays/gradcam.npz").unlink(), "is missing or damaged"),
        (lambda folder: _cut(folder / "arrays/measured.npz"), "is missing or damaged"),
        (lambda folder: _garble(folder / "arrays/measured.npz"), "is missing or damaged"),
        (lambda folder: _of_version(folder, 3), "has schema version 3"),
    ],
)
def test_a_baseline_that_cannot_be_read_is_told_before_anything_is_computed(
    reportgen: Command,
    healthy: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Path], Any],
    told: str,
) -> None:
    from reportgen import pipeline

    shutil.copytree(healthy, tmp_path / "spoiled")
    spoil(tmp_path / "spoiled")
    monkeypatch.setattr(pipeline, "open_network", lambda config: pytest.fail("it was too late"))
    code, _, error = reportgen(METHODS, "baseline=spoiled", "report.dir=out")
    assert code == 2
    text = " ".join(error.split())
    assert "baseline=spoiled cannot be compared with" in text
    assert told in text
    assert not (tmp_path / "out").exists()


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _garble(path: Path) -> None:
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(64)
    path.write_bytes(content)


def _of_version(folder: Path, version: int) -> None:
    path = folder / "results.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema_version": version}))
