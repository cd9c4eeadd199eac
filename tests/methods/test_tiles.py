import pytest

from reportgen.methods.tiles import square_grid


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
