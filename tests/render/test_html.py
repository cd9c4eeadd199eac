import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from typing import get_args

import numpy as np
import pytest

from reportgen.core import blocks
from reportgen.core.report import Section
from reportgen.render.assets import Assets
from reportgen.render.html import render_html
from reportgen.render.painter import Painter
from reportgen.render.templating import templates_dir
from reportgen.render.text import printable
from reportgen.render.view import report_view

from .sample import HOSTILE, caption, every_block, montage, report


class Page(HTMLParser):
    """Elements in their order with attributes, and all text."""

    def __init__(self, source):
        super().__init__()
        self.elements, self.text = [], ""
        self.feed(source.decode())

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def all(self, *tags):
        return [attributes for tag, attributes in self.elements if tag in tags]


def seen(made):
    with Painter() as painter:
        return report_view(made, Assets(painter))


def drawn_page(made):
    return Page(render_html(seen(made)))


@pytest.fixture(scope="module")
def page(drawn):
    return Page((drawn / "report.html").read_bytes())


def block_types():
    union = get_args(blocks.Block)[0]
    return [part.type for part in get_args(union)]


@pytest.mark.parametrize("kind", block_types())
@pytest.mark.parametrize("suffix", [".html.j2", ".typ"])
def test_every_block_type_has_its_two_templates(kind, suffix):
    assert (templates_dir() / "blocks" / f"{kind}{suffix}").is_file()


def test_no_template_is_left_without_a_block_type():
    found = {path.name.split(".")[0] for path in (templates_dir() / "blocks").iterdir()}
    assert found == set(block_types())


def test_the_sample_holds_every_block_type():
    def kinds(found):
        for block in found:
            yield block.type
            yield from kinds(getattr(block, "blocks", ()))

    assert set(kinds(every_block(np.random.default_rng(0)))) == set(block_types())


def test_nothing_is_inline_that_a_strict_policy_forbids(page):
    assert not page.all("style", "iframe", "object", "embed", "base", "form", "foreignobject")
    for _, attributes in page.elements:
        assert not [name for name in attributes if name == "style" or name.startswith("on")]
        for name in ("src", "href", "srcset"):
            assert not re.match(r"(data|javascript|https?|//|file):?", attributes.get(name) or "")
    assert [script.get("src") for script in page.all("script")] == ["assets/report.js"]


def test_the_policy_is_in_the_page(page):
    policy = next(m["content"] for m in page.all("meta") if m.get("http-equiv"))
    assert policy.startswith("default-src 'none'; img-src 'self'")
    assert "unsafe" not in policy


def test_every_linked_file_exists_and_no_picture_is_left_over(page, drawn):
    linked = {
        attributes[name]
        for _, attributes in page.elements
        for name in ("src", "href", "srcset", "data-values")
        if attributes.get(name) and not attributes[name].startswith("#")
    }
    assert all((drawn / path).is_file() for path in linked)
    written = {path.relative_to(drawn).as_posix() for path in (drawn / "assets").iterdir()}
    assert written - linked == {"assets/thumbnail.png"}


def test_every_fragment_leads_somewhere_and_ids_are_unique(page):
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {a["href"][1:] for a in page.all("a") if a.get("href", "").startswith("#")}
    assert targets <= set(ids)


def test_every_image_has_words_and_a_size_and_is_lazy(page):
    images = page.all("img")
    assert len(images) > 10
    for image in images:
        assert image["alt"].strip()
        assert int(image["width"]) > 0
        assert int(image["height"]) > 0
        assert image["decoding"] == "async"
    at_once = [image for image in images if image["loading"] != "lazy"]
    assert len(at_once) <= 6  # those of the first screen


def test_headings_do_not_skip_a_level(page):
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_text(name):
    plain, hostile = drawn_page(report()), drawn_page(report(name=name))
    count = [(tag, len(hostile.all(tag))) for tag in ("script", "img", "link", "figure", "table")]
    assert count == [(tag, len(plain.all(tag))) for tag, _ in count]
    assert hostile.text.count(printable(name)) > 40


def test_numbers_are_printed_rounded_and_shares_in_percent(page):
    assert "97.31 %" in page.text
    assert "0.01235" in page.text
    assert "61,706" in page.text
    assert "0.01234567" not in page.text


def test_summary_comes_before_sections(page):
    order = [a["id"] for a in page.all("section") if "id" in a]
    assert order[:6] == ["summary", "findings", "about", "model", "data", "run"]
    assert order.index("findings") < order.index("weights")
    assert order[-1] == "provenance"


def test_worst_findings_come_first(page):
    assert page.text.index("3 dead") < page.text.index("No conv1")
    severities = [a["class"] for a in page.all("article")]
    assert severities[:2] == ["finding fail", "finding info"]


@pytest.mark.parametrize(
    ("severities", "words"),
    [
        ((), "No warnings"),
        (("info",), "No warnings"),
        (("warn", "warn"), "2 warnings"),
        (("warn", "fail"), "1 failure, 1 warning"),
    ],
)
def test_verdict(severities, words):
    findings = tuple(blocks.Finding(severity=s, check="c", message="m") for s in severities)
    view = seen(replace(report(), findings=findings))
    assert view["verdict"]["text"] == words


def test_a_skipped_section_says_why(page):
    assert "No conv1." in page.text
    assert "Skipped." in page.text


def test_ids_of_groups_are_made_of_method_and_title_and_survive_other_sections():
    def ids(*sections):
        view = seen(report(*sections))
        return [group["id"] for section in view["sections"] for group in section["groups"]]

    def section(method, *titles):
        groups = tuple(blocks.Group(title=title, blocks=()) for title in titles)
        return Section(method=method, title=method.title(), blocks=groups)

    wanted = section("weights", "conv1", "conv1", "block/2")
    expected = ["weights-conv1", "weights-conv1-2", "weights-block-2"]
    assert ids(wanted) == expected
    assert ids(section("gradcam", "conv1"), wanted)[1:] == expected


def test_small_montages_are_enlarged_by_whole_factors_and_large_ones_not():
    def image(shape, columns):
        made = montage(np.zeros(shape), columns=columns, gap=0)
        section = Section(method="weights", title="Weights", blocks=(made,))
        return drawn_page(report(section)).all("img")[0]

    small = image((16, 5, 5), 8)
    assert int(small["width"]) % 40 == 0
    assert 480 <= int(small["width"]) <= 760
    assert small["class"] == "pixelated"
    large = image((64, 224, 224), 8)
    assert (large["width"], large["height"]) == ("1792", "1792")
    assert "class" not in large


def test_values_that_are_not_finite_are_told():
    tiles = np.zeros((1, 2, 2))
    tiles[0, 0, 0] = np.nan
    section = Section(method="w", title="W", blocks=(montage(tiles),))
    assert "1 of 4 values is not finite" in drawn_page(report(section)).text


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (("unit 7", "unit 8", "unit 9"), "unit 7 to unit 9"),
        (("unit 7", "unit 9", "unit 8"), "unit 7, unit 9, unit 8"),
        (("a1", "b2", "c3"), "a1, b2, c3"),
        (("1", "2"), "1, 2"),
    ],
)
def test_tiles_are_named_in_reading_order(labels, words):
    made = montage(np.zeros((len(labels), 2, 2)), labels=labels)
    section = Section(method="w", title="W", blocks=(made,))
    found = drawn_page(report(section))
    assert any(f"Tiles: {words}." in image["alt"] for image in found.all("img"))
    assert f"Tiles, in reading order: {words}" in found.text


@pytest.mark.parametrize("detail", ["8 of 8", "8 of 8."])
def test_details_end_before_the_next_sentence(detail):
    made = montage(np.zeros((1, 2, 2)), caption=caption(detail=detail))
    section = Section(method="w", title="W", blocks=(made,))
    assert "8 of 8. 1 tile of 2 × 2 values." in drawn_page(report(section)).text


def test_bars_are_told_in_words():
    made = blocks.Bars(
        names=("a", "b"),
        series=(blocks.BarSeries(name="dead units", values=np.array([0.068, np.nan])),),
        x_label="share",
        caption=caption("Health"),
    )
    found = drawn_page(report(Section(method="w", title="W", blocks=(made,))))
    assert found.all("img")[0]["alt"] == "Health: bars of share. dead units: a 6.8 %."


def test_a_large_matrix_is_a_picture_with_a_range():
    made = blocks.Matrix(
        values=np.eye(100),
        row_labels=("x",) * 100,
        column_labels=("x",) * 100,
        row_title="truth",
        column_title="prediction",
        colormap="Blues",
        caption=caption("confusion"),
    )
    section = Section(method="w", title="W", blocks=(made,))
    found = drawn_page(report(section))
    assert found.all("img")[0]["src"].endswith(".webp")
    assert "Rows: truth; columns: prediction." in found.text


def test_tiles_with_a_range_of_their_own_say_so():
    section = Section(
        method="w", title="W", blocks=(montage(np.eye(4)[None], scale="each", high=1.0),)
    )
    found = drawn_page(report(section)).text
    assert "Every tile has its own range; all lie within 0 … 1." in found
