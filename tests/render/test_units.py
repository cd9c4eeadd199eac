"""Cards of units: every picture is where its card says, every number is its unit's own."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pypdf import PdfReader

from reportgen.core.report import Section
from reportgen.core.units import Units
from reportgen.render import colour, pdf, sheets
from reportgen.render.assets import Assets
from reportgen.render.html import render_html
from reportgen.render.painter import Painter
from reportgen.render.pdf import render_pdf
from reportgen.render.unit_views import HISTOGRAM, histogram, path
from reportgen.render.view import report_view

from .sample import HOSTILE, report, units
from .test_html import Page


def drawn(block: Units, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The whole view, and that of the only block."""
    section = Section(method="units", title="Units", blocks=(block,))
    with Painter() as painter:
        assets = Assets(painter)
        view = report_view(report(section), assets)
        assets.write(folder)
    return view, view["sections"][0]["rows"][0]["main"][0]


def cut(view: dict[str, Any], tile: dict[str, Any], folder: Path) -> np.ndarray:
    """The pixels that a card shows."""
    sheet = np.asarray(Image.open(folder / view["sheets"][tile["sheet"]]["src"]).convert("RGB"))
    assert sheet.shape[1] == view["sheets"][tile["sheet"]]["width"]
    left, top, width, height = tile["box"]
    return sheet[top : top + height, left : left + width]


@pytest.mark.parametrize("count", [3, sheets.PAPER + 6])
def test_a_card_shows_its_own_unit_s_pictures(count: int, tmp_path: Path) -> None:
    """Also where the units that are printed have sheets of their own."""
    block = units(count=count)
    assert block.pictures is not None
    assert block.kernels is not None
    _, view = drawn(block, tmp_path)
    assert len(view["sheets"]) == (3 if count == 3 else 6)
    assert [card["unit"] for card in view["cards"]] == block.indices.tolist()
    for row, card in enumerate(view["cards"]):
        if row == 1:
            assert card["picture"] is None
        else:
            np.testing.assert_array_equal(cut(view, card["picture"], tmp_path), block.pictures[row])
        crops = cut(view, card["crops"], tmp_path)
        kernel = cut(view, card["kernel"], tmp_path)
        largest = np.abs(block.kernels[row]).max()
        for part, (down, across) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
            seen = crops[7 * down : 7 * down + 6, 6 * across : 6 * across + 5]
            expected = np.repeat(block.crops[row, part], 3, axis=-1)
            np.testing.assert_array_equal(seen, expected)
            seen = kernel[4 * down : 4 * down + 3, 4 * across : 4 * across + 3]
            scaled = colour.normalised(block.kernels[row, part], -largest, largest)
            np.testing.assert_array_equal(seen, colour.paint(scaled, "RdBu_r"))


def test_a_card_says_what_is_known_of_its_unit(tmp_path: Path) -> None:
    _, view = drawn(units(), tmp_path)
    dead, single, repeating = view["cards"]
    assert dead["marks"] == [{"kind": "dead", "text": "dead"}]
    assert single["marks"] == []
    assert repeating["marks"] == [{"kind": "repeats", "text": "repeats 4"}]
    assert single["score"] == "nothing made it respond"
    assert repeating["score"] == "synthesised, 4.5"
    assert single["driven"] == "images, 4.88"
    assert repeating["driven"] == "images, 0.25 … 0.175"
    assert single["crops"]["alt"] == "Drive unit 5 most: conv1 4.88"
    assert repeating["measures"] == "largest 0.25, mean 0.0357, 12.5 % at or below zero"
    assert repeating["helps"] == [
        {"name": "seven", "effect": "(+0.5)"},
        {"name": "conv1", "effect": "(+0.25)"},
    ]
    assert (repeating["activation"], repeating["sparsity"], single["loss"]) == ("0.25", "0.125", "")
    assert repeating["kernel"]["alt"].endswith("inputs 7, 1, 0, 2")
    assert "12 × 10 pixels of images (drawn with 6 × 5)" in view["legend"]


def test_what_was_not_looked_at_has_no_place(tmp_path: Path) -> None:
    none = dict.fromkeys(("pictures", "score", "kernels", "inputs", "effects", "helped"))
    view, block = drawn(units(**none), tmp_path)
    page = Page(render_html(view))
    assert len(block["sheets"]) == 1
    assert len(page.all("article")) == 3 + len(view["findings"])
    kinds = {a["class"] for a in page.all("svg")}
    assert kinds == {"sheets", "crops", "answers"}
    assert "helps" not in page.text


def test_units_without_a_finite_response(tmp_path: Path) -> None:
    """The crops' place is kept, so that cards stay alike; no number is made up."""
    nan = np.full(3, np.nan)
    block = units(
        largest=nan, mean=nan, sparsity=nan, counts=np.zeros((3, 16), int),
        images=np.full((3, 4), -1), responses=np.zeros((3, 4)), bound=np.ones(3),
    )  # fmt: skip
    _, view = drawn(block, tmp_path)
    card = view["cards"][2]
    assert card["driven"] == "no response"
    assert card["activation"] == card["sparsity"] == card["path"] == ""
    assert card["measures"] == "largest NaN, mean NaN, NaN at or below zero"


def test_a_kernel_in_colour_and_one_without_places(tmp_path: Path) -> None:
    coloured = np.linspace(-1, 1, 3 * 4 * 4 * 3).reshape(3, 1, 4, 4, 3)
    _, view = drawn(units(kernels=coloured, inputs=None), tmp_path)
    seen = cut(view, view["cards"][2]["kernel"], tmp_path)
    scaled = coloured[2, 0] / np.abs(coloured[2]).max() / 2 + 0.5
    np.testing.assert_array_equal(seen, np.floor(scaled * 255 + 0.5))
    flat = np.arange(3 * 10.0).reshape(3, 10, 1, 1)
    _, view = drawn(units(kernels=flat, inputs=np.tile(np.arange(10), (3, 1))), tmp_path / "flat")
    seen = cut(view, view["cards"][0]["kernel"], tmp_path / "flat")
    assert seen.shape == (4, 3, 3)
    expected = colour.paint(colour.normalised(np.arange(10.0), -9, 9), "RdBu_r")
    np.testing.assert_array_equal(seen.reshape(12, 3)[:10], expected)


def test_a_sheet_of_a_wide_layer_is_square_and_within_webp() -> None:
    for height, width in ((1, 1), (64, 64), (11, 200), (200, 11)):
        outer, _ = sheets.grids(np.zeros((1, 1, height, width)), 4096)
        tall, wide = outer.size
        assert 0.8 < tall / wide < 1.25
        boxes = np.asarray([outer.box(index) for index in range(4096)])
        assert len(np.unique(boxes, axis=0)) == 4096
        assert (boxes[:, 0] + width <= wide).all()
        assert (boxes[:, 1] + height <= tall).all()
    assert max(sheets.grids(np.zeros((1, 1, 200, 200)), 4096)[0].size) < 16383


@pytest.mark.parametrize("bins", [1, 7, 32, 33, 128])
def test_a_histogram_keeps_every_count_between_its_ends(bins: int) -> None:
    rng = np.random.default_rng(bins)
    counts = np.zeros(256, np.int64)
    first = 256 - bins - 5
    counts[first : first + bins] = rng.integers(1, 1000, bins)
    heights, low, high = histogram(counts, 4.0)
    width = 8 / 256
    assert low == pytest.approx(first * width - 4)
    assert high - low >= bins * width - 1e-9
    assert len(heights) <= 32
    joined = round((high - low) / width / len(heights))
    sums = np.add.reduceat(counts[first : first + bins], range(0, bins, joined))
    expected = np.log1p(sums) / np.log1p(sums.max()) * HISTOGRAM[1]
    np.testing.assert_allclose(heights, expected, atol=0.51)


def test_a_histogram_s_path_is_its_bars() -> None:
    wide, tall = HISTOGRAM
    assert path([]) == ""
    assert path([tall, 0, 0, 6]) == f"M0 {tall}V0H25V{tall}H75V{tall - 6}H{wide}V{tall}z"
    assert path([3, 3]) == f"M0 {tall}V{tall - 3}H{wide}V{tall}z"


def test_a_thumbnail_without_other_pictures_is_of_units(tmp_path: Path) -> None:
    from reportgen.render.thumbnail import thumbnail

    block = units()
    small = thumbnail(report(Section(method="units", title="Units", blocks=(block,))))
    assert small is not None
    seen = np.asarray(Image.open(io.BytesIO(small.png())))
    _, view = drawn(block, tmp_path)
    sheet = view["sheets"][view["cards"][0]["picture"]["sheet"]]
    factor = 256 // sheet["width"]
    assert block.pictures is not None
    np.testing.assert_array_equal(seen[: 8 * factor : factor, : 8 * factor : factor],
                                  block.pictures[0])  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_text_in_attributes_too(name: str, tmp_path: Path) -> None:
    """A layer's name is in ``data-layer``, images' names are in titles."""
    from reportgen.render.text import printable

    view, _ = drawn(units(name), tmp_path)
    page = Page(render_html(view))
    cards = [a for a in page.all("article") if a["class"] == "unit"]
    assert [a["data-layer"] for a in cards] == [printable(name)] * 3
    assert [a["data-unit"] for a in cards] == ["4", "5", "6"]


def test_the_pdf_has_the_units_of_the_largest_response(tmp_path: Path) -> None:
    block = units(count=sheets.PAPER + 3)
    view, _ = drawn(block, tmp_path)
    found = PdfReader(io.BytesIO(render_pdf(view, tmp_path)))
    text = " ".join(" ".join(page.extract_text().split()) for page in found.pages)
    shown = [int(unit) for unit in re.findall(r"unit (\d+)", text)]
    # The first one is dead; the others answer less and less.
    assert shown == block.indices[1 : sheets.PAPER + 1].tolist()
    assert f"{sheets.PAPER} of {sheets.PAPER + 3} with the largest response" in text


def test_the_pdf_draws_every_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each card's place of a sheet in a colour of its own, in whatever row of the sheet it is."""
    count = 8
    hues = np.array([[(37 * k) % 200 + 30, (91 * k) % 200 + 30, 99] for k in range(count)])
    flat = np.broadcast_to(hues[:, None, None], (count, 8, 8, 3)).astype(np.uint8)
    block = units(count=count, pictures=flat, score=np.ones(count))
    view, _ = drawn(block, tmp_path)
    compiled = pdf.typst.compile

    def pages(sources: Any, *, pdf_standards: Any, **keys: Any) -> Any:
        return compiled(sources, format="png", ppi=72, **keys)

    monkeypatch.setattr(pdf.typst, "compile", pages)
    found = render_pdf(view, tmp_path)
    seen = np.concatenate(
        [np.asarray(Image.open(io.BytesIO(page)).convert("RGB")).reshape(-1, 3) for page in found]
    )
    for hue in hues:
        assert (np.abs(seen.astype(int) - hue) < 3).all(axis=1).sum() > 500
