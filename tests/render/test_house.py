"""A house's templates, logo and colours: used, kept, checked, and told of where they are wrong."""

import io
import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image
from pypdf import PdfReader

from reportgen.core.errors import ConfigError, OutputError
from reportgen.core.report import Rendering
from reportgen.render import accent, house, templating
from reportgen.render.report import render_report

from .sample import report

LOGO = (
    b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 120 40"><path d="M0 0h120v40z"/></svg>'
)
SECTION = """{% import "parts.html.j2" as parts %}
<p class="ours">{{ report.model.name }} has {{ report.sections | length }} sections & more.</p>
"""
TYPST = """#import "/parts.typ": soften
#let draw(view, render) = soften("Ours: " + view.model.name)
"""


def settings(**changes):
    """``report`` of the configuration, as far as a house is concerned."""
    given = dict.fromkeys(("templates", "logo", "accent", "accent_dark", "max_mb"))
    return SimpleNamespace(**given | {"bundle": "dir", "pdf": "a-2"} | changes)


def folder_of(place, **files):
    for name, text in files.items():
        path = place / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(place)


def made(place, name="conv1", **changes):
    """The folder of a report of the house's."""
    own = house.gathered(settings(**changes))
    own.write(place)
    render_report(replace(report(name=name), rendering=own.rendering), place)
    return place


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    """A report with everything that a house can have."""
    files = {
        "sections__10-cost_of_it.html.j2": SECTION,
        "sections__10-cost_of_it.typ": TYPST,
        "sections___shared.html.j2": "{# no section of its own #}",
        "style__ours.css": ".ours { font-weight: 700; }",
        "script__ours.js": "document.body.dataset.ours = 1;",
        "blocks__text.html.j2": '<p class="text">★ {{ block.text }}</p>\n',
        "blocks__text.typ": '#let draw(view, render) = par("★ " + view.text)\n',
    }
    place = tmp_path_factory.mktemp("ours")
    logo = place / "house.svg"
    logo.write_bytes(LOGO)
    templates = folder_of(place / "own", **files)
    return made(place / "report", templates=templates, logo=str(logo), accent="darkgreen")


def page_of(folder):
    return (folder / "report.html").read_text()


def words_of(folder):
    return "".join(page.extract_text() for page in PdfReader(folder / "report.pdf").pages)


def test_a_section_is_added_to_both_outputs_and_their_contents(ours):
    page = page_of(ours)
    assert '<p class="ours">conv1 has 2 sections & more.</p>' in page
    assert page.count('<a href="#10-cost-of-it">Cost of it</a>') == 1
    assert page.index('id="gradcam"') < page.index('id="10-cost-of-it"') < page.index('id="prov')
    assert "Ours: conv1" in words_of(ours)
    outline = PdfReader(ours / "report.pdf").outline
    titles = [entry.title for entry in outline if not isinstance(entry, list)]
    assert titles[-2:] == ["Cost of it", "Provenance"]
    assert "shared" not in page


def test_a_shipped_template_is_overridden_in_both_outputs(ours):
    assert '<p class="text">★ conv1</p>' in page_of(ours)
    assert "★" in words_of(ours)


def test_own_sheets_and_scripts_come_last(ours):
    sheet = (ours / "assets" / "style.css").read_text()
    assert sheet.index("@media print") < sheet.index(".ours {")
    assert (ours / "assets" / "report.js").read_text().endswith("document.body.dataset.ours = 1;")


def test_the_logo_is_on_the_page_and_on_the_cover(ours, drawn):
    assert '<img src="assets/logo.svg" width="120" height="40" alt="Logo">' in page_of(ours)
    assert (ours / "assets" / "logo.svg").read_bytes() == LOGO


def test_the_accent_is_in_both_themes_and_in_the_pdf(ours, drawn):
    sheet = (ours / "assets" / "style.css").read_text()
    light, *dark = re.findall(r"--accent: (#[0-9a-f]{6})", sheet)[-3:]
    assert light == "#006400"
    assert dark[0] == dark[1] != light

    def colours(folder):
        pages = PdfReader(folder / "report.pdf").pages
        return b"".join(page.get_contents().get_data() for page in pages)

    drawn_in = b"0 0.39215687 0"
    assert drawn_in in colours(ours)
    assert drawn_in not in colours(drawn)


def test_what_is_used_is_kept_and_draws_the_same_without_its_origin(ours, tmp_path):
    rendering = Rendering(
        templates=tuple(sorted(p.relative_to(ours / "templates").as_posix()
                               for p in (ours / "templates").rglob("*")
                               if p.is_file() and p.name != "logo.svg")),
        logo="logo.svg", accent="#006400", accent_dark=accent.readable("#006400", "dark"),
    )  # fmt: skip
    assert "sections/10-cost_of_it.typ" in rendering.templates
    render_report(replace(report(), rendering=rendering), tmp_path, source=ours)
    for name in ("report.html", "report.pdf", "assets/style.css", "assets/logo.svg"):
        assert (tmp_path / name).read_bytes() == (ours / name).read_bytes()


def test_a_kept_file_that_is_gone_or_damaged_is_told(ours, tmp_path):
    kept = Rendering(templates=("blocks/text.typ",), logo="logo.svg")
    shutil.copytree(ours / "templates", tmp_path / "templates")
    (tmp_path / "templates" / "logo.svg").write_text("<svg>")
    with pytest.raises(OutputError, match=r"logo\.svg is missing or damaged"):
        house.kept(kept, tmp_path)
    (tmp_path / "templates" / "blocks" / "text.typ").unlink()
    with pytest.raises(OutputError, match=r"text\.typ is missing or damaged"):
        house.kept(kept, tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("sections/a.html.j2", "\n{% if %}", r"templates/sections/a\.html\.j2, line 2: Expected"),
        ("sections/a.html.j2", "x\n\n{{ 1 | nofilter }}", r"line 3: No filter named 'nofilter'"),
        (
            "sections/a.typ",
            "#let draw(view, render) = {\n  (",
            r"sections/a\.typ, line [12]: unclo",
        ),
        ("blocks/montag.html.j2", "x", r"holds blocks/montag\.html\.j2: no template"),
        ("style/a.scss", "x", r"holds style/a\.scss: no template"),
        ("sections/Ä.typ", "x", "no template has this name"),
        ("sections/a.typ", '#import "@preview/x:1.0.0": y', r"package @preview/x:1\.0\.0, which"),
    ],
)
def test_a_slip_is_told_before_anything_is_computed(name, text, message, tmp_path):
    folder = folder_of(tmp_path, **{name.replace("/", "__"): text})
    with pytest.raises((ConfigError, OutputError), match=message):
        house.gathered(settings(templates=folder))


def test_a_near_name_is_named(tmp_path):
    folder = folder_of(tmp_path, **{"blocks__montag.html.j2": "x"})
    with pytest.raises(ConfigError) as caught:
        house.gathered(settings(templates=folder))
    assert "blocks/montage.html.j2" in caught.value.hint


@pytest.mark.parametrize("content", [None, {}])
def test_a_folder_without_templates_is_refused(content, tmp_path):
    folder = tmp_path / "own"
    if content is not None:
        folder.mkdir()
        (folder / ".hidden.typ").write_text("x")
    with pytest.raises(ConfigError, match=r"no such folder|holds no template"):
        house.gathered(settings(templates=str(folder)))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("sections/a.html.j2", "\n{{ report.modle.name }}", r"a\.html\.j2, line 2: .*'modle'"),
        ("sections/a.html.j2", '{% include "b.html.j2" %}', r"line 1: there is no template 'b"),
        ("blocks/text.html.j2", "{{ block.text / 2 }}", r"blocks/text\.html\.j2, line 1: unsupp"),
        ("sections/a.html.j2", "{{ ''.__class__ }}", r"line 1: .*unsafe"),
        (
            "sections/a.typ",
            "#let draw(view, render) = {\n  view.modle\n}",
            r"a\.typ, line 2: dict.*modle",
        ),
        ("report.typ", "\n#nothing", r"report\.typ, line 2: unknown variable: nothing"),
    ],
)
def test_what_shows_only_with_a_report_is_one_message_and_no_page(name, text, message, tmp_path):
    folder = folder_of(tmp_path / "own", **{name.replace("/", "__"): text})
    with pytest.raises(OutputError, match=message):
        made(tmp_path / "report", templates=folder)
    assert not (tmp_path / "report" / "report.html").exists()


def test_the_readmes_section_is_one(tmp_path):
    text = (Path(__file__).parents[2] / "README.md").read_text()
    found = re.findall(r"```(?:jinja|typst)\n((?:\{#|//) own/(\S+):.*?)```", text, re.DOTALL)
    assert len(found) == 2
    files = {name.replace("/", "__"): content for content, name in found}
    folder = made(tmp_path / "report", templates=folder_of(tmp_path / "own", **files))
    assert "<p>conv1: 1 failure</p>" in page_of(folder)
    assert '<a href="#10-sign-off">Sign off</a>' in page_of(folder)
    assert "conv1: 1 failure" in words_of(folder)


def test_a_houses_section_cannot_unescape_names_by_accident(tmp_path):
    folder = folder_of(tmp_path / "own", **{"sections__a.html.j2": SECTION})
    page = page_of(made(tmp_path / "report", name="<script>1</script>", templates=folder))
    assert '<p class="ours">&lt;script&gt;1&lt;/script&gt; has' in page


def picture(kind, size=(60, 20)):
    buffer = io.BytesIO()
    Image.new("RGB", size, "navy").save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (picture("PNG"), "logo.png"),
        (picture("WEBP"), "logo.webp"),
        (picture("JPEG"), "logo.jpg"),
        (LOGO, "logo.svg"),
    ],
)
def test_a_logo_is_told_by_its_content(content, name, tmp_path):
    (tmp_path / "any.name").write_bytes(content)
    own = house.gathered(settings(logo=str(tmp_path / "any.name")))
    assert own.rendering.logo == name
    own.write(tmp_path)
    render_report(replace(report(), rendering=own.rendering), tmp_path)
    assert f"assets/{name}" in page_of(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (LOGO.replace(b"<path", b"<script>1</script><path"), "holds a <script>"),
        (LOGO.replace(b"<path", b'<path onload="x()"'), "runs a script on load"),
        (LOGO.replace(b"<path", b'<image href="http://x/y.png"/><path'), "links 'http://x/y.png'"),
        (LOGO.replace(b"<path", b'<a href="javascript:x()"/><path'), "links 'javascript:x"),
        (b"<!DOCTYPE svg [<!ENTITY a 'b'>]>" + LOGO, "declares entities"),
        (LOGO.replace(b'viewBox="0 0 120 40"', b""), "no SVG with a viewBox"),
        (b"<svg", "no picture that can be read"),
        (picture("GIF"), "picture of another kind"),
        (LOGO + b" " * (1 << 20), "expected 1,048,576 at the most"),
    ],
)
def test_what_is_no_logo_is_refused(content, message, tmp_path):
    (tmp_path / "logo").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        house.gathered(settings(logo=str(tmp_path / "logo")))


def test_a_logo_that_is_missing_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"report\.logo: .*none cannot be read: No such file"):
        house.gathered(settings(logo=str(tmp_path / "none")))


def test_grounds_are_those_of_the_style_sheet():
    sheet = templating.stylesheet().decode()
    blocks = re.findall(r"\{([^{}]*--page:[^{}]*)\}", sheet)
    for block, theme in zip(blocks, ("light", "dark", "dark"), strict=True):
        found = dict(re.findall(r"(--[a-z-]+):\s*(#[0-9a-f]{6})", block))
        assert accent.GROUNDS[theme] == (found["--page"], found["--surface"], found["--soft"])


@pytest.mark.parametrize("name", ["darkgreen", "#0a7d5a", "navy", "#000", "darkred"])
def test_a_dark_accent_is_made_of_the_light_one_and_can_be_read(name):
    light, dark = accent.accents(name, None)
    for theme, colour in (("light", light), ("dark", dark)):
        assert min(accent.contrast(colour, ground) for ground in accent.GROUNDS[theme]) >= 4.5
    assert accent.accents(name, "white") == (light, "#ffffff")


@pytest.mark.parametrize(
    ("light", "dark", "message"),
    [
        ("yellow", None, r"report\.accent: #ffff00 has a contrast of 1\.0 : 1 to the light page's"),
        (
            "darkgreen",
            "#222",
            r"report\.accent_dark: #222222 has a contrast of 1\.0 : 1",
        ),
        ("tael", None, r"report\.accent: 'tael' is no colour"),
    ],
)
def test_an_accent_that_cannot_be_read_is_refused_with_the_contrast_found(light, dark, message):
    with pytest.raises(ConfigError, match=message) as caught:
        accent.accents(light, dark)
    assert "#" in caught.value.hint


def test_a_report_from_elsewhere_reaches_no_file_or_rule_of_its_choice():
    from pydantic import TypeAdapter, ValidationError

    for wrong in (
        {"templates": ["../../etc/passwd"]},
        {"templates": ["/etc/passwd"]},
        {"templates": ["a/../b.typ"]},
        {"logo": "../logo.png"},
        {"accent": "red } body { display: none"},
        {"accent": "#00808"},
    ):
        with pytest.raises(ValidationError):
            TypeAdapter(Rendering).validate_python(wrong)
