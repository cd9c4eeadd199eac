import pytest

from reportgen.methods.tiles import Grid, caffe_grid, digits_grid, factor_grid, square_grid


@pytest.mark.parametrize(
    ("total", "tile", "max_side", "multiple", "columns", "drawn"),
    [
        (20, (5, 5), 1200, 1, 5, 20),  # ceil(sqrt(20))
        (1, (28, 28), 1200, 1, 1, 1),
        (1000, (5, 5), 1200, 20, 40, 1000),  # rows of two whole filters of 20 channels
        (6, (3, 3), 1200, 3, 3, 6),
        (262144, (3, 3), 1200, 512, 300, 300 * 300),  # DIGITS: (1200 // (w + 1))²
        (10, (900, 700), 1200, 1, 1, 1),  # larger than the side allows twice
        (3, (2000, 2000), 1200, 1, 1, 1),  # one is always drawn
    ],
)
def test_grid(
    total: int, tile: tuple[int, int], max_side: int, multiple: int, columns: int, drawn: int
) -> None:
    grid = square_grid(total, tile, max_side, multiple)
    assert (grid.columns, grid.drawn) == (columns, drawn)
    said = grid.cut(total, "tiles")
    assert said == ("" if drawn == total else f"the first {drawn:,} of {total:,} tiles")


@pytest.mark.parametrize(
    ("total", "width", "expected"),
    [
        (1, 5, Grid(1, 1, gap=1, frame="far")),
        (2, 5, Grid(1, 2, gap=1, frame="far")),  # n = 2, and one column is enough
        (20, 24, Grid(4, 20, gap=1, frame="far")),  # n = 5: 5 x 4
        (21, 24, Grid(5, 21, gap=1, frame="far")),
        (1000, 5, Grid(32, 1000, gap=1, frame="far")),  # 32 x 31 would not do
        (20000, 5, Grid(100, 10000, gap=1, frame="far")),  # (600 // 6)²
        (500, 1, Grid(22, 500, gap=0, frame="far")),  # dense layers: no gap
        (4, 400, Grid(1, 1, gap=1, frame="far")),
        (4, 600, Grid(1, 1, gap=1, frame="far")),
        (4, 601, Grid(1, 1, gap=0, side=600)),
    ],
)
def test_grid_of_digits(total: int, width: int, expected: Grid) -> None:
    assert digits_grid(total, (width, width), 600) == expected


@pytest.mark.parametrize(
    ("total", "columns", "rows"), [(1, 1, 1), (2, 2, 2), (20, 5, 5), (36, 6, 6), (256, 16, 16)]
)
def test_grid_of_the_caffe_notebook_is_always_square(total: int, columns: int, rows: int) -> None:
    assert caffe_grid(total, (6, 6), 1200) == Grid(columns, total, rows, frame="far")
    assert caffe_grid(100, (6, 6), 35) == Grid(5, 25, 5, frame="far")


@pytest.mark.parametrize(
    ("total", "columns"),
    [(1, 1), (2, 2), (7, 7), (12, 4), (16, 4), (20, 5), (50, 10), (64, 8), (96, 12), (512, 32)],
)
def test_grid_of_middle_factors(total: int, columns: int) -> None:
    grid = factor_grid(total, (3, 3), 1200)
    assert (grid.columns, grid.drawn) == (columns, total)
    assert columns * (total // columns) == total
    assert columns >= total // columns
    between = range(total // columns + 1, columns)
    assert not [side for side in between if total % side == 0]


def test_a_long_row_is_folded() -> None:
    assert factor_grid(101, (9, 9), 200)[:2] == (20, 101)


def test_what_is_cut_is_said() -> None:
    assert digits_grid(4, (700, 700), 600).cut(4, "maps") == (
        "the first 1 of 4 maps, cut to 600 pixels a side"
    )
