import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import reportgen
from reportgen.core import blocks
from reportgen.core.errors import ConfigError, OutputError
from reportgen.core.report import Section
from reportgen.render import templating
from reportgen.render.report import render_report
from reportgen.render.thumbnail import thumbnail

from .sample import montage, report


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_same_report_gives_the_same_bytes_anywhere(drawn, tmp_path):
    render_report(report(), tmp_path / "another place")
    first, second = contents(drawn), contents(tmp_path / "another place")
    assert list(first) == list(second)
    assert [name for name in first if first[name] != second[name]] == []


def test_another_process_gives_the_same_bytes(drawn, tmp_path):
    """Hash seeds, locale and time zone are another process's own."""
    code = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1])\n"
        "from render.sample import report\n"
        "from reportgen.render.report import render_report\n"
        "render_report(report(), pathlib.Path(sys.argv[2]))\n"
    )
    tests = str(Path(__file__).parents[1])
    environment = {"PYTHONHASHSEED": "77", "TZ": "Asia/Tokyo", "LC_ALL": "C.UTF-8"}
    subprocess.run(
        [sys.executable, "-c", code, tests, str(tmp_path)],
        check=True,
        env=os.environ | environment,
    )
    first, second = contents(drawn), contents(tmp_path)
    assert [name for name in first if first[name] != second[name]] == []


def test_other_files_in_the_folder_stay(tmp_path):
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "mine.txt").write_text("mine")
    (tmp_path / "results.json").write_text("{}")
    render_report(report(), tmp_path)
    assert (tmp_path / "assets" / "mine.txt").read_text() == "mine"
    assert (tmp_path / "results.json").read_text() == "{}"


def test_rendering_imports_no_jax():
    code = (
        "import sys, reportgen.render.report, reportgen.render.sweep\n"
        "print(sorted({'jax', 'flax', 'optax', 'matplotlib.pyplot'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_unknown_colormap_in_a_block_is_a_clear_error(tmp_path):
    section = Section(method="w", title="W", blocks=(montage(np.eye(2)[None], colormap="virdis"),))
    with pytest.raises(ConfigError, match="no colormap 'virdis'"):
        render_report(report(section), tmp_path)


def test_missing_templates_are_a_clear_error(monkeypatch, tmp_path):
    package = tmp_path / "reportgen"
    package.mkdir()
    monkeypatch.setattr(reportgen, "__file__", str(package / "__init__.py"))
    with pytest.raises(OutputError, match="templates of reports are in neither") as caught:
        templating.templates_dir()
    assert "install reportgen again" in caught.value.hint


def test_an_installed_package_uses_the_templates_inside_it(monkeypatch, tmp_path):
    inside = tmp_path / "reportgen" / "templates"
    shutil.copytree(templating.templates_dir(), inside)
    monkeypatch.setattr(reportgen, "__file__", str(tmp_path / "reportgen" / "__init__.py"))
    assert templating.templates_dir() == inside


def section(*found):
    return Section(method="w", title="W", blocks=(blocks.Group(title="g", blocks=found),))


def test_the_thumbnail_prefers_synthesised_images():
    painted = montage(np.zeros((1, 24, 24)))
    synthesised = montage(np.ones((1, 24, 24, 3)), colormap=None)
    both = report(section(painted), section(synthesised))
    alone = report(section(synthesised))
    assert thumbnail(both).png() == thumbnail(alone).png()
    assert thumbnail(report(section(painted))).png() != thumbnail(alone).png()


def test_a_report_without_pictures_has_no_thumbnail(tmp_path):
    made = report(section(blocks.Text(text="nothing")))
    assert thumbnail(made) is None
    render_report(made, tmp_path)
    assert not (tmp_path / "assets" / "thumbnail.png").exists()


def test_a_bare_report(tmp_path):
    """Nothing run, nothing known: a page and a document all the same."""
    made = replace(
        report(), sections=(), findings=(), banners=(), metrics={}, command="", title="Bare"
    )
    made = replace(made, data=replace(made.data, skipped=()))
    made = replace(made, provenance=replace(made.provenance, packages={}, git_commit=""))
    render_report(made, tmp_path)
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
