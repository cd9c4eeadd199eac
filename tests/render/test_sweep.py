import math
from html.parser import HTMLParser
from itertools import product

import numpy as np
import pytest

from reportgen.core import blocks
from reportgen.core.report import Section
from reportgen.core.sweep import SweepJob, headline_numbers
from reportgen.render.report import render_report
from reportgen.render.sweep import render_sweep
from reportgen.render.sweep_matrix import axes, matrix
from reportgen.render.sweep_numbers import compared
from reportgen.render.thumbnail import thumbnail
from reportgen.render.view import section_titles

from .sample import HOSTILE, blob, caption, montage, report, units

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


def swept(**values):
    """A job for every combination, the last key fastest, as Hydra makes them."""
    return [
        SweepJob(
            number=number,
            overrides=(*(f"{key}={value}" for key, value in zip(values, chosen, strict=True)),),
            exit_code=0,
            folder=str(number),
        )
        for number, chosen in enumerate(product(*values.values()))
    ]


def laid_out(jobs):
    """Row keys, the key across, and the jobs' numbers by rows and columns."""
    made = matrix(jobs)
    return made["down"], made["column"], [row["cells"] for row in made["rows"]]


def test_two_keys_are_rows_and_columns():
    found = laid_out(swept(method=["saliency"], model=["a", "b"], colormap=["jet", "hot"]))
    assert found == (["model"], "colormap", [[[0], [1]], [[2], [3]]])


def test_one_key_goes_across_if_it_fits_and_down_if_not():
    assert laid_out(swept(seed=range(3))) == ([], "seed", [[[0], [1], [2]]])
    assert laid_out(swept(seed=range(12))) == (["seed"], "", [[[i]] for i in range(12)])


def test_the_key_across_has_the_most_values_that_a_screen_holds():
    assert axes(swept(a=range(4), b=range(2))).column == "a"
    assert axes(swept(a=range(40), b=range(2))).column == "b"
    assert axes(swept(a=range(40), b=range(50))).column == "a"


def test_of_three_keys_the_rows_are_grouped_by_the_outer_one():
    made = matrix(swept(a=range(2), b=range(2), c=range(3)))
    assert (made["down"], made["column"]) == (["a", "b"], "c")
    heads = [[(head["text"], head["span"]) for head in row["heads"]] for row in made["rows"]]
    assert heads == [[("0", 2), ("0", 1)], [("1", 1)], [("1", 2), ("0", 1)], [("1", 1)]]
    assert made["rows"][2]["cells"] == [[6], [7], [8]]


def test_what_was_not_run_is_an_empty_cell(tmp_path):
    jobs = [job for job in swept(a=range(2), b=range(2)) if job.number != 2]
    assert laid_out(jobs)[2] == [[[0], [1]], [[], [3]]]
    assert page(tmp_path, jobs).text.count("not run") == 1


def test_jobs_that_differ_in_nothing_share_a_cell():
    jobs = [SweepJob(number=i, overrides=("a=1",), exit_code=0) for i in range(2)]
    assert laid_out(jobs) == ([], "", [[[0, 1]]])


def test_a_key_that_is_added_is_the_same_key_without_its_plus():
    jobs = [SweepJob(number=i, overrides=(f"+a.b={i}",), exit_code=0) for i in range(2)]
    assert list(axes(jobs).values) == ["a.b"]


def test_long_values_are_shortened_and_there_in_full(tmp_path):
    long = "[" + ",".join(f"method{i}" for i in range(40)) + "]"
    text = page(tmp_path, swept(method=[long, "[saliency]"], seed=range(2))).text
    assert text.count(long) == 3  # once for its row, and in the table for each of its jobs
    assert text.count("[method0,method1,method…") == 1


def test_what_all_jobs_have_is_said_once(tmp_path):
    jobs = swept(method=["saliency"], seed=range(2))
    assert page(tmp_path, jobs).text.count("method=saliency") == 1


def measured(*metrics):
    return [
        SweepJob(number=i, overrides=(f"seed={i}",), exit_code=0, folder=str(i), metrics=found)
        for i, found in enumerate(metrics)
    ]


def said(jobs, name):
    found = compared(jobs)["jobs"]
    return [(found[job.number][name]["change"], found[job.number][name]["mark"]) for job in jobs]


def test_numbers_that_all_reports_share_are_set_apart():
    found = compared(
        measured({"accuracy": 0.5, "parameters": 7}, {"accuracy": 1.0, "parameters": 7})
    )
    assert [one["name"] for one in found["shared"]] == ["parameters"]
    assert found["differing"] == ["accuracy"]


def test_metrics_come_before_what_every_report_has():
    found = compared(measured({"warnings": 0}, {"accuracy": 0.5, "warnings": 1}))
    assert found["differing"] == ["accuracy", "warnings"]


def test_a_number_that_one_report_lacks_is_not_shared():
    assert compared(measured({"accuracy": 0.5}, {}))["differing"] == ["accuracy"]


def test_changes_are_from_the_first_report_and_in_points_for_shares():
    jobs = measured({"accuracy": 0.5, "x": 2.0}, {"accuracy": 0.525, "x": 1.5})
    assert said(jobs, "accuracy") == [("", ""), ("+2.5 points", "best")]
    assert said(jobs, "x") == [("", ""), ("−0.5", "")]


def test_a_failed_first_job_is_no_reference():
    failed = SweepJob(number=0, overrides=("seed=x",), exit_code=2, message="no")
    others = [
        SweepJob(
            number=i, overrides=(f"seed={i}",), exit_code=0, folder="f", metrics={"x": 1.0 * i}
        )
        for i in (1, 2)
    ]
    found = compared([failed, *others])
    assert found["reference"] == 1
    assert found["jobs"][2]["x"]["change"] == "+1"


@pytest.mark.parametrize(
    ("name", "marks"),
    [
        ("accuracy", ["worst", "", "best"]),
        ("Saliency: deletion ↓", ["best", "", "worst"]),
        ("warnings", ["best", "", "worst"]),
        ("parameters", ["lowest", "", "highest"]),
    ],
)
def test_extremes_are_marked_by_what_is_known_of_the_number(name, marks):
    jobs = measured({name: 0.1}, {name: 0.2}, {name: 0.3})
    assert [mark for _, mark in said(jobs, name)] == marks


def test_an_extreme_that_most_reports_share_is_none():
    jobs = measured(*[{"warnings": 0}] * 3, {"warnings": 1}, {"warnings": 2})
    assert [mark for _, mark in said(jobs, "warnings")] == ["", "", "", "", "worst"]


def test_numbers_that_are_not_finite_are_told_and_compared_with_nothing():
    jobs = measured({"x": 1.0}, {"x": math.nan}, {"x": math.inf}, {"x": 3.0})
    found = compared(jobs)["jobs"]
    assert [found[i]["x"]["exact"] for i in range(4)] == ["1.0", "NaN", "Infinity", "3.0"]
    assert said(jobs, "x") == [("", ""), ("", ""), ("", ""), ("+2", "")]


def test_numbers_stand_in_the_page_unrounded(tmp_path):
    found = page(tmp_path, measured({"accuracy": 0.973125}, {"accuracy": 0.9}))
    cells = [a for tag, a in found.elements if tag == "td" and a.get("data-value") == "0.973125"]
    assert len(cells) == 1
    values = [a["value"] for tag, a in found.elements if tag == "data"]
    assert values == ["0.973125", "0.9"]


def test_pictures_wait_until_they_are_seen_and_say_what_they_show(tmp_path):
    job = SweepJob(
        number=0, overrides=(), exit_code=0, folder="0", thumbnail="0/a.png", shown="Saliency: four"
    )
    found = page(tmp_path, (job,))
    (image,) = [a for tag, a in found.elements if tag == "img"]
    assert image["alt"] == "Saliency: four"
    assert image["loading"] == "lazy"


def test_reports_may_be_framed_and_nothing_else(tmp_path):
    found = page(tmp_path)
    (policy,) = [a["content"] for _, a in found.elements if a.get("http-equiv")]
    assert policy.endswith("; frame-src 'self' file:")
    assert "unsafe" not in policy


def test_nothing_is_inline_that_a_strict_policy_forbids(tmp_path):
    for tag, attributes in page(tmp_path).elements:
        assert tag not in ("style", "iframe", "form", "svg")
        assert not [name for name in attributes if name == "style" or name.startswith("on")]


def test_headline_numbers_are_metrics_findings_and_the_size_of_the_network():
    found = headline_numbers(report())
    assert found["accuracy"] == 0.973125
    assert (found["failures"], found["warnings"]) == (1, 0)
    assert (found["parameters"], found["FLOPs"]) == (61706, 830_000)


def test_sections_are_found_under_the_ids_of_the_report_page(tmp_path):
    made = report()
    render_report(made, tmp_path)
    found = Page((tmp_path / "report.html").read_text())
    ids = {
        a["id"] for tag, a in found.elements if tag == "section" and "method" in str(a.get("class"))
    }
    assert set(section_titles(made)) == ids


def heatmap(image, number):
    return blocks.Heatmap(
        image=image,
        map=blob(image.shape[0], np.random.default_rng(number)),
        low=0.0,
        high=1.0,
        colormap="jet",
        caption=caption(),
    )


def sectioned(*found):
    return report(
        Section(method="m", title="Maps", blocks=(blocks.Group(title="g", blocks=found),))
    )


def test_thumbnails_of_attributions_are_the_first_four_overlays():
    grey = np.full((10, 10, 1), 50, np.uint8)
    maps = [heatmap(grey, i) for i in range(5)]
    kernels = montage(np.zeros((4, 5, 5)))
    made = thumbnail(sectioned(kernels, *maps))
    assert made.shown == "Maps: first four images"
    drawn = made.draw()
    assert drawn.shape == (21, 21, 3)
    alone = thumbnail(sectioned(maps[3]))
    assert alone.shown == "Maps: first image"
    np.testing.assert_array_equal(drawn[11:, 11:], alone.draw())


def test_kernels_in_colour_are_no_synthesised_images():
    kernels = montage(np.ones((4, 7, 7, 3)), colormap=None)
    grey = np.full((10, 10, 1), 50, np.uint8)
    assert thumbnail(sectioned(kernels, heatmap(grey, 0))).shown == "Maps: first image"


def test_thumbnails_show_as_many_tiles_as_can_be_seen():
    tiles = np.random.default_rng(0).uniform(size=(512, 64, 64))
    drawn = thumbnail(sectioned(montage(tiles, gap=0))).draw()
    assert drawn.shape == (4 * 64, 4 * 64, 3)


def test_thumbnails_of_units_are_one_picture_each():
    made = thumbnail(sectioned(units(count=9)))
    assert made.shown == "Maps: conv1"
    height, width = units().pictures.shape[1:3]
    rows, columns = made.draw().shape[:2]
    assert (rows // height, columns // width) == (3, 3)
