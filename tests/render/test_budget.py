"""report.max_mb: what is left out, what is drawn smaller, and that the page says so."""

import io
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from reportgen.core.report import Rendering, Section
from reportgen.render import pictures
from reportgen.render.assets import Assets
from reportgen.render.budget import SCRIPT, SHEET, page_within
from reportgen.render.painter import Painter
from reportgen.render.report import render_report
from reportgen.render.view import report_view

from .sample import caption, montage, report

RNG = np.random.default_rng(0)
LARGE = montage(RNG.uniform(size=(4, 200, 200)), caption=caption("large"))
SMALL = montage(RNG.uniform(size=(4, 60, 60)), caption=caption("small"))
# Also the thumbnail, which would else be noise.
TINY = montage(np.zeros((1, 17, 17, 3)), colormap=None, caption=caption("tiny"))


def noisy(**rendering):
    sections = (
        Section(method="a", title="First", blocks=(LARGE, SMALL)),
        Section(method="b", title="Second", blocks=(LARGE, TINY)),
    )
    return replace(report(*sections), rendering=Rendering(**rendering))


def taken(folder):
    """Bytes of the page and its files; of a single one, which is mailed alone, its own."""
    page, assets = folder / "report.html", list((folder / "assets").iterdir())
    return sum(path.stat().st_size for path in (page, *assets) if len(assets) > 1 or path == page)


def sizes(folder):
    found = {}
    for path in (folder / "assets").glob("*montage*.webp"):
        with Image.open(path) as image:
            found[path.name] = image.size
    return found


@pytest.mark.parametrize("bundle", ["dir", "single"])
def test_the_ledger_is_what_lies_on_the_disk(bundle, tmp_path):
    ledger = render_report(noisy(bundle=bundle), tmp_path)
    assert ledger.size == pytest.approx(taken(tmp_path), rel=0.0005)
    assert [(entry.section, entry.pictures) for entry in ledger.entries] == [
        ("Page, style and script", 0),
        ("First", 3),
        ("Second", 1),
    ]
    first, second = ledger.entries[1:]
    assert first.size > 10 * second.size
    page = (tmp_path / "report.html").read_text()
    assert "<td>Second</td>" in page
    assert "<!-- ledger -->" not in page
    assert ledger.notes == ()


@pytest.mark.parametrize("bundle", ["dir", "single"])
@pytest.mark.parametrize("budget", [0.2, 0.16, 0.135])
def test_pictures_are_drawn_smaller_until_the_page_fits(budget, bundle, tmp_path):
    ledger = render_report(noisy(bundle=bundle, max_mb=budget), tmp_path)
    assert taken(tmp_path) <= budget * 1e6
    assert taken(tmp_path) > budget * 1e6 / 8
    values, note = ledger.notes
    assert values.startswith("Values under the cursor are left out")
    assert re.search(rf"of 4 pictures (is|are) drawn at .* report\.max_mb={budget};", note)
    page = (tmp_path / "report.html").read_text()
    assert note in page
    assert page.count(f"of its size to keep within report.max_mb={budget}.") >= 2


def test_the_largest_go_first_and_all_keep_the_size_they_are_shown_at(tmp_path):
    all_ = render_report(noisy(), tmp_path / "whole").size
    values = sum(p.stat().st_size for p in (tmp_path / "whole" / "assets").glob("values-*.js"))
    render_report(noisy(max_mb=(all_ - values - 30_000) / 1e6), tmp_path / "cut")
    whole, cut = sizes(tmp_path / "whole"), sizes(tmp_path / "cut")
    assert whole.keys() == cut.keys()
    changed = {name for name in whole if whole[name] != cut[name]}
    assert changed == {"a-montage.webp"}
    assert cut["a-montage.webp"] == (201, 201)
    both = [(tmp_path / name / "report.html").read_text() for name in ("whole", "cut")]
    shown = [re.findall(r'<img src="[^"]*montage[^"]*" width="\d+" height="\d+"', p) for p in both]
    assert shown[0] == shown[1]
    told = both[1].split("Drawn at 1/2 of its size")
    assert len(told) == 3  # once in either section


def test_a_picture_is_made_smaller_by_means():
    picture = RNG.integers(0, 255, (6, 9, 3), np.uint8)
    made = pictures.reduced(picture, 3)
    means = picture.reshape(2, 3, 3, 3, 3).mean((1, 3))
    assert made.shape == (2, 3, 3)
    assert np.abs(made - means).max() <= 1


def test_what_cannot_fit_says_by_how_much_and_keeps_pixels_to_look_at(tmp_path):
    ledger = render_report(noisy(max_mb=0.01), tmp_path)
    assert "more than report.max_mb=0.01 allows" in ledger.notes[-1]
    assert ledger.notes[-1] in (tmp_path / "report.html").read_text()
    assert all(min(size) >= 32 or max(size) == 17 for size in sizes(tmp_path).values())


def test_a_cut_report_is_the_same_bytes_again(tmp_path):
    for name in ("first", "second"):
        render_report(noisy(max_mb=0.1), tmp_path / name)
    for path in (tmp_path / "first").rglob("*"):
        if path.is_file():
            other = tmp_path / "second" / path.relative_to(tmp_path / "first")
            assert path.read_bytes() == other.read_bytes()


def test_drawings_for_dark_pages_go_before_pictures_are_made_smaller(tmp_path):
    whole = render_report(report(), tmp_path / "whole").size
    values = {path.name for path in (tmp_path / "whole" / "assets").glob("values-*.js")}
    least = sum((tmp_path / "whole" / "assets" / name).stat().st_size for name in values)
    budget = (whole - least - 20_000) / 1e6
    made = replace(report(), rendering=Rendering(max_mb=budget))
    ledger = render_report(made, tmp_path / "cut")
    assert ledger.size <= budget * 1e6
    assert re.fullmatch(r"Dark pages show [12] drawings? in light colours .*", ledger.notes[1])
    assert len(ledger.notes) == 2
    before, after = (
        {path.name for path in (tmp_path / name / "assets").iterdir()} for name in ("whole", "cut")
    )
    assert after < before
    assert all("-dark" in name for name in before - after - values)
    page = (tmp_path / "cut" / "report.html").read_text()
    assert not [name for name in before - after if name in page]


def with_values(rendering):
    """A page whose first picture has values under the cursor, in two files."""
    with Painter() as painter:
        assets = Assets(painter)
        view = report_view(noisy(), assets)
        image = view["sections"][0]["rows"][0]["main"][0]["images"][0]
        assets.drop([path for path in assets.files() if "/values-" in path])
        image["values"] = assets.add("values-a", ".js", b"x" * 50_000)
        assets.add("values-b", ".js", b"x" * 10_000)
        for path in (SHEET, SCRIPT):
            assets.keep(path, b"/* */")
        page = page_within(view, assets, rendering)
        return page, assets.files()


def test_values_under_the_cursor_go_before_any_picture():
    page, files = with_values(Rendering())
    whole = page.ledger.size
    assert {"assets/values-a.js", "assets/values-b.js"} <= files.keys()
    page, files = with_values(Rendering(max_mb=(whole - 30_000) / 1e6))
    assert "assets/values-a.js" not in files
    assert "assets/values-b.js" in files
    assert "1 file of them" in page.ledger.notes[0]
    assert len(page.ledger.notes) == 1
    assert page.view["sections"][0]["rows"][0]["main"][0]["images"][0]["values"] == ""


def test_a_report_without_a_budget_is_whole(tmp_path):
    render_report(noisy(max_mb=None), tmp_path)
    assert sizes(tmp_path)["a-montage.webp"] == (401, 401)


def test_the_log_has_the_ledger(tmp_path):
    ledger = render_report(noisy(max_mb=0.1), tmp_path)
    lines = ledger.lines()
    assert lines[-1] == ledger.notes[-1]
    assert any(line.endswith("bytes  First: 3 pictures") for line in lines)
    total = next(line for line in lines if "at most 0.1 MB" in line)
    assert int(total.split(" bytes")[0].replace(",", "")) == ledger.size


def test_pictures_of_the_png_kind_stay_of_it():
    """A picture beyond WebP's sides keeps its name, whatever its size becomes."""
    wide = montage(np.zeros((400, 48, 48)), columns=400)
    section = Section(method="w", title="W", blocks=(wide,))
    with Painter() as painter:
        assets = Assets(painter)
        report_view(report(section), assets)
        (path,) = [path for path in assets.sizes() if path.endswith(".png")]
        assets.shrink({path: 2})
        with Image.open(io.BytesIO(assets.files()[path])) as image:
            assert image.format == "PNG"
            assert image.size == (9800, 24)
