import io

import numpy as np
import pytest
from PIL import Image

from reportgen.render import colour, pictures

from .sample import montage


def slow_montage(block):
    """Every pixel from the formula in the documentation, one at a time; joint scale."""
    count, height, width = block.tiles.shape[:3]
    rows = max(block.rows, -(-count // block.columns))
    near = block.gap if block.frame == "all" else 0
    sides = {"none": 0, "far": 1, "all": 2}[block.frame]
    back = (255,) * 3 if block.background == "white" else (0,) * 3
    entries = colour.table(block.colormap)
    drawn = np.zeros(
        (
            rows * height + (rows - 1 + sides) * block.gap,
            block.columns * width + (block.columns - 1 + sides) * block.gap,
            3,
        ),
        np.uint8,
    )
    for y in range(drawn.shape[0]):
        for x in range(drawn.shape[1]):
            row, top = divmod(y - near, height + block.gap)
            column, left = divmod(x - near, width + block.gap)
            tile = row * block.columns + column
            inside = y >= near and x >= near and column < block.columns
            if inside and top < height and left < width and tile < count:
                value = (block.tiles[tile, top, left] - block.low) / (block.high - block.low)
                drawn[y, x] = entries[min(int(min(max(value, 0), 1) * 256), 255)]
            else:
                drawn[y, x] = back
    return drawn


@pytest.mark.parametrize("frame", ["none", "far", "all"])
@pytest.mark.parametrize("gap", [0, 1, 3])
@pytest.mark.parametrize("background", ["white", "black"])
def test_every_pixel_of_a_montage(frame, gap, background):
    tiles = np.random.default_rng(0).uniform(-0.2, 1.2, (5, 3, 4))
    for rows in (1, 3):
        block = montage(tiles, gap=gap, frame=frame, background=background, columns=3, rows=rows)
        np.testing.assert_array_equal(pictures.montage(block), slow_montage(block))


def cubic(distance):
    """Keys's kernel of cubic convolution with a = -1/2."""
    d = abs(distance)
    if d < 1:
        return 1.5 * d**3 - 2.5 * d**2 + 1
    return -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2 if d < 2 else 0.0


def test_smooth_tiles_are_enlarged_before_they_are_coloured():
    tiles = np.random.default_rng(0).uniform(0, 1, (3, 5, 4))
    zoom, entries = 3, colour.table("hot")
    block = montage(tiles, interpolation="bicubic", colormap="hot", gap=2, columns=2)
    drawn = pictures.montage(block, zoom)
    assert drawn.shape == (2 * 15 + 2, 2 * 12 + 2, 3)
    np.testing.assert_array_equal(pictures.montage(block).shape, (12, 10, 3))
    missed = 0
    for tile, y, x in np.ndindex(3, 15, 12):
        at = (y + 0.5) / zoom - 0.5, (x + 0.5) / zoom - 0.5
        down, across = (
            [cubic(place - k) for k in range(size)] for place, size in zip(at, (5, 4), strict=True)
        )
        weights = np.outer(down, across)
        value = (weights * tiles[tile]).sum() / weights.sum()
        index = min(int(min(max(value, 0), 1) * 256), 255)
        found = drawn[(tile // 2) * 17 + y, (tile % 2) * 14 + x]
        # An entry's edge may be met from either side.
        missed += not (found == entries[index]).all()
    assert missed <= 3


def test_the_viewer_enlarges_crisp_tiles():
    tiles = np.random.default_rng(0).uniform(0, 1, (3, 5, 4))
    assert pictures.montage(montage(tiles), 3).shape == (11, 9, 3)


def test_ends_of_the_range_are_the_ends_of_the_colormap():
    drawn = pictures.montage(montage([[[-3.0, 7.0]]], low=-3.0, high=7.0, colormap="jet"))
    entries = colour.table("jet")
    np.testing.assert_array_equal(drawn[0], [entries[0], entries[-1]])


def test_fewer_tiles_than_columns_leave_no_empty_columns():
    assert pictures.montage(montage(np.zeros((2, 3, 3)), columns=8)).shape == (3, 7, 3)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("scale", ["joint", "each"])
def test_values_that_are_not_finite_are_magenta_and_leave_the_others_alone(bad, scale):
    good = montage([[[0.0, 0.5, 1.0, 1.0]]], scale=scale)
    drawn = pictures.montage(montage([[[0.0, 0.5, 1.0, bad]]], scale=scale))
    np.testing.assert_array_equal(drawn[0, :3], pictures.montage(good)[0, :3])
    assert tuple(drawn[0, 3]) == colour.BAD


def test_a_tile_of_nan_alone():
    drawn = pictures.montage(montage(np.full((1, 2, 2), np.nan), scale="each"))
    assert (drawn == colour.BAD).all()


def test_constant_tiles_are_the_low_end_or_the_middle_of_a_diverging_colormap():
    flat = np.full((1, 2, 2), 3.0)
    low = pictures.montage(montage(flat, low=3.0, high=3.0))
    middle = pictures.montage(montage(0 * flat, low=0.0, high=0.0, colormap="seismic"))
    assert (low == colour.table("viridis")[0]).all()
    assert (middle == colour.table("seismic")[128]).all()


def test_each_tile_has_its_own_range():
    drawn = pictures.montage(montage([[[0.0, 1.0]], [[0.0, 100.0]]], scale="each", gap=0))
    np.testing.assert_array_equal(drawn[0, :2], drawn[0, 2:])


def test_each_keeps_zero_in_the_middle_of_a_diverging_colormap():
    drawn = pictures.montage(montage([[[0.0, 4.0, -1.0]]], scale="each", colormap="seismic"))
    entries = colour.table("seismic")
    np.testing.assert_array_equal(drawn[0], [entries[128], entries[-1], entries[96]])


def test_colours_are_rounded_and_one_bad_channel_spoils_its_pixel_alone():
    tiles = np.array([[[[0.0, 0.5, 1.0], [0.1, np.nan, 0.1]]]])
    drawn = pictures.montage(montage(tiles, colormap=None))
    np.testing.assert_array_equal(drawn[0], [[0, 128, 255], colour.BAD])


def test_grey_tiles_without_a_colormap():
    drawn = pictures.montage(montage([[[0.0, 0.25, 1.0]]], colormap=None))
    np.testing.assert_array_equal(drawn[0], [[0] * 3, [64] * 3, [255] * 3])


@pytest.mark.parametrize("dtype", [np.bool_, np.int8, np.uint8, np.float16])
def test_other_types_of_numbers(dtype):
    block = montage([[[0, 1]]])
    changed = montage([[[0, 1]]])
    object.__setattr__(changed, "tiles", np.array([[[0, 1]]], dtype))
    np.testing.assert_array_equal(pictures.montage(changed), pictures.montage(block))


def test_no_tiles():
    assert pictures.montage(montage(np.zeros((0, 4, 4)))).shape[2] == 3


def slow_overlay(image, values, low, high, opacity, entries):
    drawn = np.zeros((*values.shape, 3), np.uint8)
    for y, x in np.ndindex(values.shape):
        share = min(max((values[y, x] - low) / (high - low), 0), 1)
        strength = abs(values[y, x]) / max(-low, high) if low < 0 < high else share
        alpha = opacity * min(strength, 1)
        for channel in range(3):
            under = float(image[y, x, channel % image.shape[2]])
            over = float(entries[min(int(share * 256), 255), channel])
            drawn[y, x, channel] = int((1 - alpha) * under + alpha * over + 0.5)
    return drawn


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-1.0, 1.0), (-0.5, 1.0), (0.2, 0.7)])
def test_overlay_against_the_formula(channels, low, high):
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (6, 5, channels)).astype(np.uint8)
    values = rng.uniform(-1.2, 1.2, (6, 5))
    expected = slow_overlay(image, values, low, high, 0.7, colour.table("jet"))
    drawn = pictures.overlay(image, values, low, high, "jet", 0.7)
    np.testing.assert_array_equal(drawn, expected)


def test_overlay_of_a_constant_map_is_the_image_and_of_nan_magenta():
    image = np.full((1, 2, 1), 100, np.uint8)
    values = np.array([[0.0, np.nan]])
    np.testing.assert_array_equal(pictures.pixels(image)[0], [[100] * 3] * 2)
    overlay = pictures.overlay(image, values, 0, 0, "jet", 0.6)
    np.testing.assert_array_equal(overlay[0], [[100] * 3, colour.BAD])
    assert tuple(pictures.painted(values, 0, 0, "jet")[0, 1]) == colour.BAD


def test_files_keep_every_pixel():
    picture = np.random.default_rng(2).integers(0, 256, (9, 7, 3)).astype(np.uint8)
    content = pictures.encoded(picture)
    assert pictures.suffix(9, 7) == ".webp"
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(content))), picture)


def test_pictures_beyond_webps_size_are_png():
    picture = np.zeros((1, 16384, 3), np.uint8)
    content = pictures.encoded(picture)
    assert pictures.suffix(1, 16384) == ".png"
    assert Image.open(io.BytesIO(content)).size == (16384, 1)


@pytest.mark.parametrize(("shape", "size"), [((10, 10), (250, 250)), ((600, 512), (300, 256))])
def test_thumbnails_are_about_as_wide_as_asked(shape, size):
    assert pictures.fitted(np.zeros((*shape, 3), np.uint8), 256).shape[:2] == size


@pytest.mark.parametrize("frame", ["none", "far", "all"])
@pytest.mark.parametrize(("interpolation", "zoom"), [("nearest", 1), ("bicubic", 3)])
def test_the_grid_tells_where_each_tile_is(frame, interpolation, zoom):
    shades = np.linspace(0, 1, 5)
    tiles = np.broadcast_to(shades[:, None, None], (5, 4, 6))
    block = montage(tiles, columns=2, gap=3, frame=frame, interpolation=interpolation, rows=4)
    columns, gap, near, height, width, drawn, count = pictures.tile_grid(block, zoom)
    picture = pictures.montage(block, zoom)
    assert (columns, gap, height, width, drawn, count) == (2, 3, 4, 6, zoom, 5)
    painted = pictures.painted(shades, 0.0, 1.0, "viridis")
    for tile in range(count):
        row, column = divmod(tile, columns)
        top = near + row * (height * drawn + gap)
        left = near + column * (width * drawn + gap)
        part = picture[top : top + height * drawn, left : left + width * drawn]
        assert part.shape == (height * drawn, width * drawn, 3)
        assert (part == painted[tile]).all()
