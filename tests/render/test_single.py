"""A report that is one file: all is inside, each picture once, under a policy as strict."""

import base64
import hashlib
import re
from dataclasses import replace

import pytest
from pypdf import PdfReader

from reportgen.core.report import Rendering
from reportgen.render.report import render_report
from reportgen.render.single import single

from .sample import HOSTILE, report


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("single")
    render_report(replace(report(), rendering=Rendering(bundle="single")), made)
    return made


@pytest.fixture(scope="module")
def page(folder):
    return (folder / "report.html").read_text()


def linked(page):
    return [value for value in re.findall(r' (?:src|href)="([^"]*)"', page) if value[:1] != "#"]


def test_the_page_links_no_file_and_the_thumbnail_is_all_that_lies_beside_it(folder, page):
    assert linked(page)
    assert all(value.startswith("data:image/") for value in linked(page))
    beside = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    outcome = {"junit.xml", "summary.md", "summary.json"}
    assert beside == outcome | {"report.html", "report.pdf", "assets/thumbnail.png"}


def test_the_policy_names_what_is_inside_by_hash_and_allows_nothing_else(page):
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]

    def hashes(tag):
        texts = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digests = [hashlib.sha256(text.encode()).digest() for text in texts]
        return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)

    assert policy == (
        f"default-src 'none'; img-src data:; style-src {hashes('style')}; "
        f"script-src {hashes('script')}; base-uri 'none'; form-action 'none'"
    )
    assert not re.findall(r"<[^>]+ (?:style|on\w+)=", page)


def test_the_pdf_has_the_pictures_of_a_folders(folder, drawn):
    def pictures(made):
        return [len(page.images) for page in PdfReader(made / "report.pdf").pages]

    assert pictures(folder) == pictures(drawn)
    assert sum(pictures(folder)) > 5


def test_each_picture_is_in_the_page_once_however_often_it_is_shown(page):
    pictures = re.findall(r"data:image/(?:webp|svg\+xml|png);base64,[A-Za-z0-9+/=]+", page)
    assert len(pictures) > 10
    assert len(pictures) == len(set(pictures))
    shown = re.findall(r'data-picture="(\d+)"', page)
    rules = re.findall(r'img\[data-picture="(\d+)"\]', page)
    assert len(shown) > len(rules) > 1
    assert set(shown) == set(rules)


FILES = {
    "assets/style.css": b"a { color: red }\r\n/* </style> */",
    "assets/report.js": b'"use strict"; const a = "</script><!--";',
    "assets/values-1.js": b'reportgen.values["assets/values-1.js"]={};',
    "assets/one.webp": b"one",
    "assets/two.svg": b"<svg/>",
}
PAGE = """<head><meta http-equiv="Content-Security-Policy" content="default-src 'self'">
<link rel="stylesheet" href="assets/style.css">
<script src="assets/report.js" defer></script>
</head><body><figure id="first"><a href="assets/one.webp"><img src="assets/one.webp"></a></figure>
<figure id="second" data-values="assets/values-1.js"><img src="assets/two.svg"></figure>
<p>src=&#34;assets/one.webp&#34; &lt;/body&gt;</p></body>"""


def test_style_and_scripts_cannot_end_their_elements_and_values_come_last():
    made = single(PAGE, FILES)
    assert made.count("</style>") == 1
    assert made.count("</script>") == 2
    assert "\r" not in made
    assert made.index("use strict") < made.index("reportgen.values[")
    assert made.rstrip().endswith("</script>\n</body>")


def test_a_link_to_a_picture_leads_to_its_figure():
    assert '<a href="#first"><img src="data:image/webp;base64,b25l"></a>' in single(PAGE, FILES)


def test_a_sheet_that_drawings_use_parts_of_is_inside():
    sheet = '<svg><image id="sheet" href="assets/one.webp" width="9"/></svg>'
    made = single(PAGE.replace("</body>", f"{sheet}</body>"), FILES)
    inside = '<image id="sheet" href="data:image/webp;base64,b25l" width="9"/>'
    assert inside in made


def test_what_only_looks_like_a_link_stays_text():
    made = single(PAGE, FILES)
    assert "<p>src=&#34;assets/one.webp&#34; &lt;/body&gt;</p>" in made
    assert 'data-values="assets/values-1.js"' in made


@pytest.mark.parametrize("name", [*HOSTILE[:4], ' src="assets/style.css"', "</body></style>"])
def test_names_that_look_like_parts_of_a_page_change_nothing(name, tmp_path, page):
    made = replace(report(name=name), rendering=Rendering(bundle="single"))
    render_report(made, tmp_path)
    hostile = (tmp_path / "report.html").read_text()
    for tag in ("<script", "<style", "<img", "<link", "</body>"):
        assert hostile.count(tag) == page.count(tag)
