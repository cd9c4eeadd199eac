"""Programs whose answers are known: right builds pass, wrong ones are told of, and it is kept."""

from __future__ import annotations

import json
import platform
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jaxlib
import numpy as np
import pytest

from reportgen import doctor
from reportgen.archive import provenance
from reportgen.archive.folder import read_report
from reportgen.core.known_answers import KnownAnswers, WrongAnswer
from reportgen.engine import known_answers, known_programs
from reportgen.engine.known_programs import Known
from reportgen.rewrite import pooling

RIGHT = Known(("right",), lambda x: x + 1, lambda x: x + 1, (np.ones(3, np.float32),))
WRONG = replace(RIGHT, parts=("planted",), of=lambda x: 1.008 * (x + 1))
# What was measured on x86-64; any other build is taken to be right.
FAULTS = {"0.10.2": {"sum of squares of a matrix times each row, 32769 × 3"}}


def faults() -> set[str]:
    on_cpu = jax.default_backend() == "cpu" and platform.machine() in ("x86_64", "AMD64")
    return FAULTS.get(jaxlib.__version__, set()) if on_cpu else set()


def wrong(*known: Known) -> set[str]:
    return {one.program for one in known_answers.compared(known, jax.devices()[0]).wrong}


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., list[bool]]:
    """Set what reports compare, and an empty cache; every comparison is then written down."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def use(*known: Known) -> list[bool]:
        asked: list[bool] = []

        def given(lowerings: bool) -> tuple[Known, ...]:
            asked.append(lowerings)
            return known

        monkeypatch.setattr(known_answers, "programs_of_reports", given)
        return asked

    return use


@pytest.mark.parametrize("lowers", [False, True])
def test_every_program_gives_what_numpy_gives(lowers: bool) -> None:
    found = [one for one in known_programs.programs() if one.lowers == lowers]
    assert len(found) > 15
    assert wrong(*found) == (set() if lowers else faults())


@pytest.mark.parametrize("lowerings", [False, True])
def test_what_reports_compare_is_of_each_kind(lowerings: bool) -> None:
    parts = {part for one in known_programs.programs_of_reports(lowerings) for part in one.parts}
    for kind in ("sum of squares", "rank 6", "matrix product", "softmax", "scan", "17 largest"):
        assert any(kind in part for part in parts), kind
    for kind in ("stride 2", "dilation 2", "groups 2", "transposed", "maximum"):
        own = {part for part in parts if kind in part}
        assert {"gradient by the input" in part for part in own} == {False, True}
        assert {part.endswith("as lowered for CPUs") for part in own} == {lowerings}


def test_programs_that_crash_are_right_where_they_run() -> None:
    for known in known_programs.risky_programs():
        made = known.answer(*known.inputs)
        (expected,) = known.expected()
        np.testing.assert_allclose(made, expected, rtol=1e-5)


def test_a_wrong_program_is_told_with_both_numbers() -> None:
    found = known_answers.compared((RIGHT, WRONG), jax.devices()[0])
    assert (found.count, len(found.wrong)) == (2, 1)
    (one,) = found.wrong
    assert (one.program, one.expected) == ("planted", 2.0)
    assert one.got == pytest.approx(2.016)
    assert found.words.startswith("1 of 2 right; planted: 2.01")


def test_nan_and_what_does_not_compile_are_wrong() -> None:
    nan = replace(WRONG, of=lambda x: x * np.float32("nan"))
    (one,) = known_answers.compared((nan,), jax.devices()[0]).wrong
    assert np.isnan(one.got or 0)
    broken = replace(WRONG, of=lambda x: x.no_such_thing)
    (one,) = known_answers.compared((broken,), jax.devices()[0]).wrong
    assert "planted: AttributeError" in one.words


def test_a_wrong_lowering_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = pooling._spread
    monkeypatch.setattr(pooling, "_spread", lambda line, shares: whole(line, shares[::-1]))
    known = [one for one in known_programs.programs_of_reports(True) if "maximum" in one.parts[0]]
    assert wrong(*known) == {
        "maximum of 3 × 1, stride 2: gradient by the input, as lowered for CPUs"
    }


def test_answers_are_kept_for_versions_and_options(
    programs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = programs(RIGHT, WRONG)
    first = known_answers.known_answers(lowerings=True)
    assert [one.program for one in first.wrong] == ["planted"]
    assert known_answers.known_answers(lowerings=True) == first
    assert asked == [True]
    known_answers.known_answers(lowerings=False)
    assert asked == [True, False]
    with monkeypatch.context() as patch:
        patch.setattr(known_answers.metadata, "version", lambda name: "99.9")
        known_answers.known_answers(lowerings=True)
    monkeypatch.setenv("XLA_FLAGS", "--of_another_run")
    known_answers.known_answers(lowerings=True)
    assert asked == [True, False, True, True]


@pytest.mark.parametrize(
    "harm",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.replace('"count"', '"counts"'),
        lambda text: text.replace(jax.__version__, "0.0"),
        lambda text: "[]",
        lambda text: "\udcff",
    ],
)
def test_a_damaged_file_is_made_anew(
    programs: Any, tmp_path: Path, harm: Callable[[str], str]
) -> None:
    asked = programs(RIGHT)
    first = known_answers.known_answers(lowerings=True)
    (path,) = (tmp_path / "cache" / "reportgen" / "known_answers").iterdir()
    whole = path.read_text()
    path.write_text(harm(whole), errors="surrogateescape")
    assert known_answers.known_answers(lowerings=True) == first
    assert path.read_text() == whole
    assert asked == [True, True]


def test_where_nothing_can_be_kept_all_is_compared_again(programs: Any, tmp_path: Path) -> None:
    asked = programs(RIGHT)
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert known_answers.known_answers(lowerings=True) == KnownAnswers(count=1)
    known_answers.known_answers(lowerings=True)
    assert len(asked) == 2


def test_a_report_tells_what_is_wrong(programs: Any, reportgen: Any, tmp_path: Path) -> None:
    programs(RIGHT, WRONG)
    small = ("method=weights", "layers=conv1", "data=none")
    code, _, _ = reportgen(*small, "report.dir=bad")
    assert code == 3
    report = read_report(tmp_path / "bad")
    (finding,) = (one for one in report.findings if one.check == "known_answers")
    assert (finding.severity, finding.where) == ("fail", "planted")
    for part in ("planted: 2.01", "instead of 2", f"jaxlib {jaxlib.__version__}"):
        assert part in finding.message
    assert "pip install 'jax" in finding.advice
    made = report.provenance.known_answers
    assert made is not None
    assert (made.count, [one.program for one in made.wrong]) == (2, ["planted"])
    page = (tmp_path / "bad" / "report.html").read_text()
    assert "1 of 2 right; planted: 2.01" in page
    stated = json.loads((tmp_path / "bad" / "provenance.json").read_bytes())["predicate"]
    assert "planted" in stated["buildDefinition"]["internalParameters"]["knownAnswers"]
    # It was kept, and is told again.
    assert reportgen(*small, "report.dir=again")[0] == 3
    assert reportgen(*small, "report.dir=never", "audit.fail_on=never")[0] == 0


def test_a_report_tells_that_all_is_right(programs: Any, reportgen: Any, tmp_path: Path) -> None:
    programs(RIGHT)
    code, _, _ = reportgen("method=weights", "layers=conv1", "data=none", "report.dir=good")
    assert code == 0
    report = read_report(tmp_path / "good")
    assert not [one for one in report.findings if one.check == "known_answers"]
    page = (tmp_path / "good" / "report.html").read_text()
    assert page.count("1 of 1 right") == 1
    assert "1 of 1 right" in page[page.index("Known answers") :][:100]  # named, in the provenance


BEGUN = """
import json, os, signal, sys, time
say = lambda **told: print(json.dumps(told), flush=True)
say(runs="the programs of reports")
say(count=40, wrong=[])
say(runs="sum of rank 7")
"""


@pytest.mark.parametrize(
    ("ends", "problem"),
    [
        (f"os.kill(os.getpid(), {int(signal.SIGKILL)})", "the process was ended by SIGKILL"),
        ("time.sleep(60)", "no answer within 1.5 s"),
        ("raise SystemExit('no room')", "the process failed: no room"),
    ],
)
def test_the_doctor_outlives_a_program_that_does_not_end(ends: str, problem: str) -> None:
    found = doctor.known_answers((sys.executable, "-c", BEGUN + ends), 1.5)
    assert found == KnownAnswers(
        count=41, wrong=(WrongAnswer(program="sum of rank 7", problem=problem),)
    )


def test_the_doctor_says_what_to_install(reportgen: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    say = "say(count=1, wrong=[dict(program='sum of rank 7', got=2.5, expected=3.0)])"
    monkeypatch.setattr(doctor, "_COMPARE", (sys.executable, "-c", BEGUN + say))
    code, out, _ = reportgen("doctor")
    assert code == 2
    lines = " ".join(out.split())
    assert "40 of 41 right" in lines
    assert "sum of rank 7: 2.5 instead of 3" in lines
    assert f"Install another one: {provenance.other_jax()}" in lines


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (["jax>=0.10.1,!=0.10.2", "numpy"], "jax>=0.10.1,!=0.10.2"),
        (["jaxtyping>=1", "jax >=0.10.1 ; python_version > '3'"], "jax>=0.10.1,!=0.10.2"),
        (["numpy"], "jax!=0.10.2"),
    ],
)
def test_what_to_install_is_within_what_reportgen_runs_on(
    monkeypatch: pytest.MonkeyPatch, asked: list[str], told: str
) -> None:
    monkeypatch.setattr(provenance.metadata, "requires", lambda name: asked)
    monkeypatch.setattr(provenance.metadata, "version", lambda name: "0.10.2")
    assert provenance.other_jax() == f"pip install '{told}'"
