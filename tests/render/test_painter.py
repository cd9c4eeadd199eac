"""Pictures are the same whoever draws them and when, are drawn once, and fail aloud."""

import os
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from reportgen.core import blocks
from reportgen.core.errors import ConfigError
from reportgen.core.report import Section
from reportgen.render import pictures
from reportgen.render.painter import Painter
from reportgen.render.report import render_report
from reportgen.render.sketches import Sketch, sketches

from .sample import every_block, montage, report
from .test_report_files import contents


def heatmap(**changes):
    rng = np.random.default_rng(3)
    settings = {
        "image": rng.integers(0, 256, (8, 6, 3)).astype(np.float32),
        "map": rng.normal(size=(8, 6)),
        "low": -1.0,
        "high": 1.0,
        "colormap": "RdBu_r",
        "caption": blocks.Caption(title="a"),
    }
    return blocks.Heatmap(**(settings | changes))


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("ahead", [False, True])
def test_threads_and_an_early_start_change_no_byte(threads, ahead, drawn, tmp_path):
    made = report()
    with Painter(threads) as painter:
        if ahead:
            for section in made.sections:
                painter.ahead(section.blocks)
        render_report(made, tmp_path, painter)
    assert contents(tmp_path) == contents(drawn)


def test_every_picture_of_a_page_is_begun_early(tmp_path, monkeypatch):
    """Else it is drawn while people wait; what is said of a map later does not matter."""
    made = report()
    with Painter(2) as painter:
        for section in made.sections:
            painter.ahead(section.blocks)
        more = Section(
            method="again",
            title="Again",
            blocks=tuple(
                replace(block, facts=(("found later", 1.0),))
                for block in made.sections[0].blocks[-2].blocks
                if isinstance(block, blocks.Heatmap)
            ),
        )
        assert painter._early
        for file in painter._early.values():
            file.result()
        begun = []
        submit = painter._pool.submit

        def counted(draw):
            begun.append(draw.__self__.draw)
            return submit(draw)

        monkeypatch.setattr(painter._pool, "submit", counted)
        render_report(replace(made, sections=(*made.sections, more)), tmp_path, painter)
    assert len(more.blocks) == 1
    assert set(begun) <= {pictures.colour_bar}


def test_equal_pictures_are_drawn_once_and_are_one_file(tmp_path):
    """A comparison shows what the methods' own sections show."""
    one = heatmap()
    compared = blocks.Comparison(
        image=one.image.copy(),
        maps=(
            blocks.ComparedMap(
                title="A", map=one.map.copy(), low=-1, high=1, colormap="RdBu_r", opacity=0.6
            ),
        ),
        caption=blocks.Caption(title="c"),
    )
    made = report(
        Section(method="a", title="A", blocks=(one,)),
        Section(method="b", title="B", blocks=(compared,)),
    )
    render_report(made, tmp_path)
    assert sorted(path.name for path in (tmp_path / "assets").glob("*.webp")) == [
        "a-heatmap-image.webp",
        "a-heatmap-map.webp",
        "a-heatmap-overlay.webp",
        "colorbar-rdbu-r.webp",
    ]
    page = (tmp_path / "report.html").read_text()
    assert page.count('src="assets/a-heatmap-overlay.webp"') == 3  # in the strip too


@pytest.mark.parametrize(
    "changes",
    [
        {"map": np.random.default_rng(4).normal(size=(8, 6))},
        {"low": -2.0},
        {"colormap": "RdBu"},
        {"opacity": 0.5},
        {"image": np.zeros((8, 6, 1), np.uint8)},
    ],
)
def test_whatever_changes_a_picture_changes_its_key(changes):
    changed = [sketch.key for sketch in sketches(heatmap(**changes))]
    same = [sketch.key for sketch in sketches(heatmap(caption=blocks.Caption(title="b")))]
    assert [sketch.key for sketch in sketches(heatmap())] == same
    assert changed[2] != same[2]


def test_numbers_are_the_same_as_they_are_read_back():
    assert sketches(heatmap(low=-1))[1].key == sketches(heatmap(low=np.float64(-1.0)))[1].key


def test_a_sketch_knows_the_size_of_what_it_draws():
    def flat(found):
        for block in found:
            yield from flat(block.blocks) if isinstance(block, blocks.Group) else [block]

    smooth = montage(np.zeros((3, 5, 4)), interpolation="bicubic", gap=2, frame="all")
    empty = montage(np.zeros((0, 4, 4)))
    large = blocks.Matrix(
        values=np.eye(40),
        row_labels=(),
        column_labels=(),
        row_title="r",
        column_title="c",
        colormap="Blues",
        caption=blocks.Caption(title="m"),
    )
    count = 0
    for block in (*flat(every_block(np.random.default_rng(0))), smooth, empty, large):
        for sketch in sketches(block):
            drawn = sketch.draw(*sketch.parts)
            assert drawn.shape == (sketch.height, sketch.width, 3)
            assert drawn.dtype == np.uint8
            count += 1
    assert count > 10


def test_an_error_of_a_thread_is_raised_with_its_own_message(tmp_path):
    wrong = report(Section(method="w", title="W", blocks=(heatmap(colormap="virdis"),)))
    with Painter(2) as painter:
        painter.ahead(wrong.sections[0].blocks)
        with pytest.raises(ConfigError, match="no colormap 'virdis'"):
            render_report(wrong, tmp_path, painter)


def test_an_interruption_waits_for_no_picture_that_is_not_begun():
    begun, go = threading.Event(), threading.Event()
    drawn = []

    def draw(number):
        drawn.append(number)
        begun.set()
        go.wait(10)
        return np.zeros((1, 1, 3), np.uint8)

    def interrupted():
        with Painter(1) as painter:
            for number in range(50):
                painter.picture(Sketch(draw, (number,), 1, 1))
            begun.wait(10)
            threading.Timer(0.05, go.set).start()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert drawn == [0]
    time.sleep(0.05)
    assert drawn == [0]


def test_a_picture_that_waits_is_wanted_now():
    """It does not stay behind those of other pages in the pool that yields to everyone."""
    go = threading.Event()
    with Painter(1) as painter:
        painter._aside.submit(go.wait, 30)
        painter.ahead([heatmap()])
        files = [painter.picture(sketch) for sketch in sketches(heatmap())]
        assert all(file.result(30) for file in files)
        go.set()


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no priority of their own")
def test_drawing_ahead_yields_to_computation():
    with Painter(1) as painter:
        ahead = painter._aside.submit(os.nice, 0).result()
        wanted = painter._pool.submit(os.nice, 0).result()
    assert (ahead, wanted) == (19, os.nice(0))


def test_no_more_pictures_are_in_memory_than_there_are_threads():
    lock = threading.Lock()
    now, most = 0, 0

    def draw(number):
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.002)
        with lock:
            now -= 1
        return np.full((4, 4, 3), number, np.uint8)

    with Painter(3) as painter:
        files = [painter.picture(Sketch(draw, (number,), 4, 4)) for number in range(40)]
        found = [file.result() for file in files]
    assert found == [pictures.encoded(np.full((4, 4, 3), n, np.uint8)) for n in range(40)]
    assert most <= 3
