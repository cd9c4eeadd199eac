from html.parser import HTMLParser

import pytest

from reportgen.core.sweep import SweepJob
from reportgen.render.sweep import render_sweep

from .sample import HOSTILE

JOBS = (
    SweepJob(
        number=0,
        overrides=("model=lenet", "seed=1"),
        exit_code=0,
        folder="0",
        title="LeNet",
        thumbnail="0/assets/thumbnail.png",
        metrics={"accuracy": 0.9731, "loss": 0.1},
    ),
    SweepJob(
        number=1, overrides=("model=lenet",), exit_code=3, folder="a b#?", metrics={"accuracy": 0.5}
    ),
    SweepJob(
        number=2,
        overrides=("model=lenett",),
        exit_code=2,
        message="There is no model 'lenett'.\nDid you mean lenet?",
    ),
)


class Page(HTMLParser):
    def __init__(self, source):
        super().__init__()
        self.elements, self.text = [], ""
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def page(folder, jobs=JOBS, title="A sweep"):
    render_sweep(jobs, folder, title)
    return Page((folder / "index.html").read_text())


def test_failed_jobs_are_listed_with_their_message_and_code(tmp_path):
    text = page(tmp_path).text
    assert "There is no model 'lenett'.\nDid you mean lenet?" in text
    assert "exit code 2" in text
    assert "3 jobs, 1 failed" in text


def test_reports_are_linked_by_paths_that_browsers_read(tmp_path):
    found = page(tmp_path)
    links = [a["href"] for tag, a in found.elements if tag == "a" and "report.html" in a["href"]]
    assert set(links) == {"0/report.html", "a%20b%23%3F/report.html"}
    assert [a["src"] for tag, a in found.elements if tag == "img"] == ["0/assets/thumbnail.png"]


def test_metrics_stand_side_by_side(tmp_path):
    text = page(tmp_path).text
    assert "97.31 %" in text
    assert "50 %" in text


def test_style_and_script_are_written_beside_the_page(tmp_path):
    found = page(tmp_path)
    assert (tmp_path / "assets" / "style.css").is_file()
    assert [a["src"] for tag, a in found.elements if tag == "script"] == ["assets/report.js"]


def test_the_page_does_not_change_when_written_again(tmp_path):
    page(tmp_path / "a")
    page(tmp_path / "b")
    assert (tmp_path / "a/index.html").read_bytes() == (tmp_path / "b/index.html").read_bytes()


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_overrides_are_text(name, tmp_path):
    job = SweepJob(
        number=0,
        overrides=(name,),
        exit_code=1,
        message=name,
        folder="x",
        title=name,
        metrics={name: 1.0},
    )
    found = page(tmp_path, (job,), name)
    assert sum(tag == "script" for tag, _ in found.elements) == 1
    assert not any(tag == "img" for tag, _ in found.elements)


def test_no_jobs(tmp_path):
    assert "0 jobs" in page(tmp_path, ()).text
