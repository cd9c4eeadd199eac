import re
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest

from reportgen.core.blocks import Bars, BarSeries, Curve, Diagram, Histogram, Matrix, Node, Series
from reportgen.render import diagram, plots

from .sample import HOSTILE, caption


def histogram(name="value"):
    counts, edges = np.histogram(np.random.default_rng(0).normal(size=100), 10)
    return Histogram(counts=counts, edges=edges, caption=caption(), x_label=name)


def curve(*lines, **changes):
    series = tuple(Series(name=f"line {i}", x=np.arange(len(y)), y=y) for i, y in enumerate(lines))
    return Curve(series=series, caption=caption(), x_label="x", y_label="y", **changes)


def bars(*values, names=None, **changes):
    series = tuple(BarSeries(name=f"line {i}", values=np.asarray(v)) for i, v in enumerate(values))
    names = names or tuple(map(str, range(len(values[0]))))
    return Bars(names=names, series=series, caption=caption(), **({"x_label": "n"} | changes))


def matrix(values, labels=None):
    values = np.asarray(values)
    rows, columns = values.shape
    return Matrix(
        values=values,
        row_labels=labels or tuple(map(str, range(rows))),
        column_labels=labels or tuple(map(str, range(columns))),
        row_title="truth",
        column_title="prediction",
        colormap="Blues",
        caption=caption(),
    )


def all_plots(name):
    return (
        plots.histogram(histogram(name)),
        plots.matrix(matrix([[1, 2], [3, 4]], (name, name))),
        plots.bars(bars([1.0, 2.0], [3.0, np.nan], names=(name, name), x_label=name)),
        *diagram.diagram(
            Diagram(
                nodes=(Node(path=name, kind=name, shape=(1,), parameters=5),), caption=caption()
            )
        ),
    )


@pytest.mark.parametrize("name", HOSTILE)
def test_any_name_gives_well_formed_svg_that_holds_nothing_active(name):
    for plot in all_plots(name):
        for svg in (plot.light, plot.dark):
            for element in ElementTree.fromstring(svg.decode()).iter():
                assert not element.tag.endswith(("script", "style", "image", "foreignObject"))
                assert not {key for key in element.attrib if key.startswith("on")}
                assert "style" not in element.attrib


def test_a_dollar_is_a_dollar():
    # Read as mathematics, this would be an error of Matplotlib's parser.
    plots.histogram(histogram(r"$\frac{$"))
    plots.matrix(matrix([[1]], (r"$\nonsense{$",)))


def test_same_plot_same_bytes_whatever_the_caller_has_set():
    before = plots.curve(curve(np.arange(5.0), np.ones(5)))
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.hashsalt": None}):
        kept = mpl.rcParams["font.size"]
        assert plots.curve(curve(np.arange(5.0), np.ones(5))) == before
        assert mpl.rcParams["font.size"] == kept


def test_light_and_dark_differ_in_colours_only():
    plot = plots.histogram(histogram())
    colours = re.compile(rb"#[0-9a-f]{6}")
    assert plot.light != plot.dark
    assert colours.sub(b"", plot.light) == colours.sub(b"", plot.dark)


@pytest.mark.parametrize(
    "lines",
    [
        (np.array([]),),
        (np.array([1.0]),),
        (np.full(4, np.nan),),
        (np.array([0.0, np.inf, 1.0]),),
        tuple(np.arange(3.0) + i for i in range(20)),
        (np.array([1e-30, 2e-30]),),
        (np.array([1e30, 2e30]),),
    ],
)
def test_odd_curves(lines):
    assert plots.curve(curve(*lines)).width > 100


def lengths(plot):
    """Widths of a plot's bars in its own units, in the order of drawing."""
    paths = re.findall(rb'<path d="([^"]*)"[^>]*fill="#0072b2"', plot.light)
    across = [[float(x) for x in re.findall(rb"[ML] ([\d.-]+) ", path)] for path in paths]
    return [max(found) - min(found) for found in across]


def test_bars_are_as_long_as_their_values_and_missing_ones_have_none():
    one, half, none, two = lengths(plots.bars(bars([1.0, 0.5, np.nan, 2.0])))
    assert half == pytest.approx(one / 2, rel=1e-3)
    assert two == pytest.approx(2 * one, rel=1e-3)
    assert none == 0


@pytest.mark.parametrize(
    "values",
    [
        ([],),
        ([np.nan, np.inf],),
        ([0.0, 0.0],),
        ([-1.0, 2.0],),
        ([1e-30],),
        tuple([float(i)] * 40 for i in range(3)),
    ],
)
def test_odd_bars(values):
    assert plots.bars(bars(*values)).width > 100


def test_more_bars_are_a_taller_plot():
    assert plots.bars(bars(np.ones(40))).height > 3 * plots.bars(bars(np.ones(10))).height


def test_a_histogram_of_nothing():
    block = Histogram(counts=np.array([]), edges=np.array([0.0]), caption=caption())
    assert plots.histogram(block).width > 100


def test_a_matrix_with_nan_and_one_of_zeros():
    plots.matrix(matrix([[np.nan, 1.5]]))
    plots.matrix(matrix([[0, 0], [0, 0]]))


def test_large_matrices_are_left_to_pictures():
    assert plots.matrix_fits(matrix(np.zeros((32, 32))))
    assert not plots.matrix_fits(matrix(np.zeros((33, 2))))


def test_the_diagram_shows_every_layer_once_in_pieces_that_fit_a_page():
    nodes = tuple(
        Node(path=f"layer{i:03d}", kind="Conv", shape=(8, 8, i), parameters=i) for i in range(100)
    )
    parts = diagram.diagram(Diagram(nodes=nodes, caption=caption()))
    assert [(part.first, part.last) for part in parts] == [(1, 48), (49, 96), (97, 100)]
    found = re.findall(r"layer\d{3}", "".join(part.light.decode() for part in parts))
    assert found == [node.path for node in nodes]


def test_diagram_boxes_do_not_overlap_and_lie_inside():
    nodes = tuple(Node(path=str(i), kind="Conv", shape=(), parameters=0) for i in range(11))
    part = diagram.diagram(Diagram(nodes=nodes, caption=caption()))[0]
    corners = [
        (float(x), float(y))
        for x, y in re.findall(r"<g transform=\"translate\((\d+) (\d+)\)\"", part.light.decode())
    ]
    assert len(set(corners)) == 11
    assert all(0 <= x <= part.width - 172 and 0 <= y <= part.height - 66 for x, y in corners)
    apart = [
        abs(a[0] - b[0]) >= 172 or abs(a[1] - b[1]) >= 66
        for a in corners
        for b in corners
        if a != b
    ]
    assert all(apart)
