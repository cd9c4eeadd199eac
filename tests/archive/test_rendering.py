"""However a report is drawn, drawing it again gives the same bytes, and verify knows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reportgen import cli
from reportgen.archive.folder import SUMS, read_json
from reportgen.archive.rerender import rerender
from reportgen.archive.verify import verify
from reportgen.core.errors import UserError

FEW = ("method=weights", "layers=conv1", "audit=[]")
LOGO = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 120 40"><path d="M0 0h120v40z"/></svg>'


@pytest.fixture
def own(tmp_path: Path) -> Path:
    folder = tmp_path / "own"
    (folder / "sections").mkdir(parents=True)
    (folder / "sections" / "ours.html.j2").write_text("<p>Ours: {{ report.title }}</p>")
    (tmp_path / "logo.svg").write_text(LOGO)
    return folder


def test_a_report_of_a_house_is_whole_without_what_it_was_made_of(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    folder = tmp_path / "report"
    logo = tmp_path / "logo.svg"
    look = (f"report.templates={own}", f"report.logo={logo}", "report.accent=darkgreen")
    kinds = ("report.bundle=single", "report.pdf=a-3", "report.max_mb=0.06")
    assert cli.run([*FEW, *look, *kinds, f"report.dir={folder}"]) == 0
    told = capsys.readouterr().out
    assert "report.max_mb=0.06" in told
    assert "report.max_mb=0.06" in (folder / "log.txt").read_text()
    sums = (folder / SUMS).read_text()
    assert "templates/sections/ours.html.j2" in sums
    for path in (own / "sections" / "ours.html.j2", logo):
        path.unlink()
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    assert verify(folder) == []
    rerender(folder)
    assert (folder / SUMS).read_text() == sums
    (folder / "templates" / "sections" / "ours.html.j2").write_text("<p>Theirs</p>")
    problems = verify(folder)
    assert "templates/sections/ours.html.j2 was changed" in problems
    assert any("drawn again" in problem and "report.html" in problem for problem in problems)
    (folder / "templates" / "sections" / "ours.html.j2").unlink()
    assert any("is missing or damaged" in problem for problem in verify(folder))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("report.pdf=a-3", "SOURCE_DATE_EPOCH"),
        ("report.pdf=a-4", "report.pdf: expected 'a-2' or 'a-3', found 'a-4'"),
        ("report.bundle=zip", "report.bundle: expected 'dir' or 'single', found 'zip'"),
        ("report.max_mb=0", "report.max_mb: expected greater than 0"),
        ("report.templates=nowhere", "report.templates is 'nowhere'"),
        ("report.logo=nowhere.png", "report.logo: nowhere.png cannot be read"),
        ("report.accent=yellow", "has a contrast of 1.0 : 1"),
    ],
)
def test_a_wrong_option_is_one_message_before_anything_is_computed(
    override: str,
    message: str,
    composed: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from reportgen import pipeline, terminal

    monkeypatch.setattr(pipeline, "open_network", lambda config: pytest.fail("it was too late"))
    chosen = (*FEW, override)
    with pytest.raises(UserError) as refused:
        pipeline.run(
            composed(*chosen),
            target=tmp_path / "outputs" / "r",
            overrides=chosen,
            progress=terminal.TerminalProgress(),
        )
    assert message in str(refused.value).replace("\n", " ")
    assert not (tmp_path / "outputs").exists()


def test_a_template_that_goes_wrong_leaves_nothing(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (own / "sections" / "ours.html.j2").write_text("\n{{ report.modle }}")
    folder = tmp_path / "outputs" / "r"
    assert cli.run([*FEW, f"report.templates={own}", f"report.dir={folder}"]) == 2
    assert "templates/sections/ours.html.j2, line 2" in capsys.readouterr().err
    assert list(folder.parent.iterdir()) == []


def test_old_results_are_drawn_as_they_were(tmp_path: Path) -> None:
    """results.json of before these options has none of them."""
    import json

    folder = tmp_path / "report"
    assert cli.run([*FEW, "report.max_mb=null", f"report.dir={folder}"]) == 0
    before = (folder / "report.html").read_bytes()
    data = read_json(folder)
    assert isinstance(data, dict)
    del data["rendering"]
    (folder / "results.json").write_text(json.dumps(data))
    rerender(folder)
    assert (folder / "report.html").read_bytes() == before
