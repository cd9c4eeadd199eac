import io
from dataclasses import replace

import numpy as np
import pytest
from pypdf import PdfReader

from reportgen.core import blocks
from reportgen.core.errors import OutputError
from reportgen.core.report import Rendering, Section
from reportgen.render.assets import Assets
from reportgen.render.painter import Painter
from reportgen.render.pdf import render_pdf
from reportgen.render.report import render_report
from reportgen.render.templating import SHIPPED, names
from reportgen.render.view import report_view

from .sample import HOSTILE, montage, report


def made(found, folder):
    with Painter() as painter:
        assets = Assets(painter)
        view = report_view(found, assets)
        assets.write(folder)
    return PdfReader(io.BytesIO(render_pdf(view, folder)))


def words(reader):
    """All text without spaces: lines break anywhere in a long name."""
    text = "".join(page.extract_text() for page in reader.pages)
    return "".join(text.replace("\u200b", "").split())


@pytest.fixture(scope="module")
def reader(drawn):
    return PdfReader(drawn / "report.pdf")


def titles(outline):
    return [titles(entry) if isinstance(entry, list) else entry.title for entry in outline]


def test_the_outline_has_sections_and_their_groups(reader):
    found = titles(reader.outline)
    assert [entry for entry in found if isinstance(entry, str)] == [
        "Summary",
        "Findings",
        "Weights of conv1",
        "Grad-CAM",
        "Provenance",
    ]
    assert found[found.index("Weights of conv1") + 1][:2] == ["conv1", "conv1"]


def test_pages_are_numbered_of_their_count(reader):
    count = len(reader.pages)
    assert count >= 4
    for number, page in enumerate(reader.pages, 1):
        assert f"page {number} of {count}" in page.extract_text()


def test_the_running_head_names_report_and_section(reader):
    head = reader.pages[-1].extract_text().splitlines()[:3]
    assert "Report on conv1" in " ".join(head)


def test_every_page_bears_the_banner(reader):
    assert all("Banner conv1" in page.extract_text() for page in reader.pages)


def test_a_long_banner_is_one_line_of_the_head(tmp_path):
    found = made(replace(report(), banners=("Nothing was learned. " * 20,)), tmp_path)
    lines = found.pages[-1].extract_text().splitlines()
    assert lines[0].startswith("Nothing was learned.")
    assert lines[0].endswith("…")
    assert "Report on conv1" in lines[1]


def test_batch_statistics_are_told_apart_from_parameters(tmp_path):
    found = report()
    found = replace(found, model=replace(found.model, statistics=9600))
    assert "9,600besides,measuredandnottrained" in words(made(found, tmp_path))


def test_the_cover_tells_the_verdict_and_the_model(reader):
    cover = reader.pages[0].extract_text()
    for expected in ("Report on conv1", "1 failure", "97.31 %", "61,706", "Banner conv1"):
        assert expected in cover


def test_without_a_known_date_there_is_none(reader):
    assert reader.metadata.title == "Report on conv1"
    assert "/CreationDate" not in reader.metadata
    assert b"pdfuaid:part" in reader.xmp_metadata.stream.get_data()


def test_with_a_date_it_is_pdf_a(tmp_path):
    """With pictures that are enlarged, and one that is not."""
    large = Section(method="w", title="W", blocks=(montage(np.zeros((1, 500, 500))),))
    dated = report(created="2026-01-02T03:04:05+00:00")
    found = made(replace(dated, sections=(*dated.sections, large)), tmp_path)
    assert found.metadata.creation_date.isoformat().startswith("2026-01-02T03:04:05")
    xmp = found.xmp_metadata.stream.get_data()
    assert b"pdfaid:part" in xmp
    assert b"pdfuaid:part" in xmp


def test_no_template_asks_for_pictures_to_be_smoothed():
    """PDF/A refuses them, and only a dated report with a large picture would tell."""
    asking = [name for name in names(".typ") if b'"smooth"' in SHIPPED.read(name)]
    assert asking == []


DATED = "2026-01-02T03:04:05+00:00"


@pytest.fixture(scope="module")
def archived(tmp_path_factory):
    """A folder whose PDF carries results.json, which no PDF should change a byte of."""
    folder = tmp_path_factory.mktemp("archived")
    (folder / "results.json").write_bytes('{"title": "naïve", "n": 1}\r\n'.encode())
    render_report(replace(report(created=DATED), rendering=Rendering(pdf="a-3")), folder)
    return folder


def test_pdf_a_3_carries_the_results(archived):
    reader = PdfReader(archived / "report.pdf")
    assert reader.attachments == {"results.json": [(archived / "results.json").read_bytes()]}
    xmp = reader.xmp_metadata.stream.get_data()
    assert b"<pdfaid:part>3</pdfaid:part>" in xmp
    assert b"<pdfaid:conformance>A</pdfaid:conformance>" in xmp
    assert b"pdfuaid:part" in xmp
    (entry,) = reader.trailer["/Root"]["/AF"]
    assert entry.get_object()["/AFRelationship"] == "/Source"


def test_pdf_a_3_is_a_whole_document_in_fonts_of_its_own(archived):
    reader = PdfReader(archived / "report.pdf")
    assert titles(reader.outline)[-2:] == ["Provenance", ["Size"]]
    assert f"page {len(reader.pages)} of {len(reader.pages)}" in reader.pages[-1].extract_text()
    assert "naïve" not in words(reader)
    fonts = [
        font.get_object()
        for page in reader.pages
        for font in page["/Resources"].get("/Font", {}).values()
    ]
    assert fonts
    for font in fonts:
        (inner,) = font["/DescendantFonts"]
        descriptor = inner.get_object()["/FontDescriptor"]
        assert "DejaVu" in descriptor["/FontName"]
        assert {"/FontFile2", "/FontFile3"} & set(descriptor)


def test_pdf_a_3_is_the_same_bytes_again(archived, tmp_path):
    made = replace(report(created=DATED), rendering=Rendering(pdf="a-3"))
    render_report(made, tmp_path, source=archived)
    assert (tmp_path / "report.pdf").read_bytes() == (archived / "report.pdf").read_bytes()


def test_pdf_a_3_without_a_date_says_what_to_set(archived, tmp_path):
    made = replace(report(), rendering=Rendering(pdf="a-3"))
    with pytest.raises(OutputError, match="needs the report's date") as caught:
        render_report(made, tmp_path, source=archived)
    assert "SOURCE_DATE_EPOCH" in caught.value.hint


def test_the_ledger_is_in_the_pdf(reader):
    last = reader.pages[-1].extract_text()
    assert "Page, style and script" in last
    assert "report.html and assets/" in last


# By default the one in Typst's notation, which is what the PDF is set in, and the longest.
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name.startswith(("#let", "xxx")) else pytest.mark.slow)
        for name in HOSTILE
        if name.isascii()
    ],
)
def test_hostile_names_are_printed_as_they_are(name, tmp_path):
    found = words(made(report(name=name), tmp_path))
    assert found.count("".join(name.split())) > 20


def test_names_beyond_the_font_are_typeset(tmp_path):
    name = "".join(name for name in HOSTILE if not name.isascii())
    assert "Weightsof" in words(made(report(name=name), tmp_path))


def test_characters_that_the_font_lacks_are_told_apart_by_their_code_points(tmp_path):
    found = words(made(report(name="层"), tmp_path))
    assert found.count("U+5C42") > 20
    assert "层" not in found


def test_pictures_are_not_wider_or_taller_than_a_page(tmp_path):
    tall = montage(np.zeros((400, 8, 8)), columns=1)
    wide = montage(np.zeros((400, 8, 8)), columns=400)
    section = Section(method="w", title="W", blocks=(tall, wide))
    render_report(report(section), tmp_path)
    found = PdfReader(tmp_path / "report.pdf")
    assert len(found.pages) <= 6
    images = sum(len(page.images) for page in found.pages)
    assert images >= 2


def test_long_tables_repeat_their_head(tmp_path):
    table = blocks.Table(
        columns=("layerhead", "parameters"), rows=tuple((f"layer{i}", i) for i in range(200))
    )
    section = Section(method="w", title="W", blocks=(table,))
    found = made(report(section), tmp_path)
    pages = [page.extract_text() for page in found.pages]
    with_rows = [text for text in pages if "layer1" in text.replace("layerhead", "")]
    assert len(with_rows) > 2
    assert all("layerhead" in text for text in with_rows)
