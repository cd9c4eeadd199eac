"""Files of every kind, written by Pillow, and the pixels that must come of them."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from reportgen.core.errors import DataError
from reportgen.core.spec import InputSpec
from reportgen.data import decode

GREY = InputSpec(height=4, width=4, channels=1)
COLOUR = InputSpec(height=4, width=4, channels=3)


@pytest.fixture(autouse=True)
def _set_up() -> None:
    decode.set_up()


def read(path: Path, spec: InputSpec = COLOUR, max_pixels: int = 10_000) -> np.ndarray:
    pixels = decode.read(path, max_pixels, spec)
    assert (pixels.dtype, pixels.shape) == (np.uint8, spec.shape)
    return pixels


def colours(mode: str, value: Any, size: int = 4) -> Image.Image:
    return Image.new(mode, (size, size), value)


def is_all(pixels: np.ndarray, value: Any, tolerance: int = 0) -> None:
    np.testing.assert_allclose(pixels, np.broadcast_to(value, pixels.shape), atol=tolerance)


@pytest.mark.parametrize(
    ("mode", "value", "name", "expected", "tolerance"),
    [
        ("RGB", (200, 100, 50), "a.png", (200, 100, 50), 0),
        ("RGB", (200, 100, 50), "a.jpg", (200, 100, 50), 2),
        ("RGB", (200, 100, 50), "a.bmp", (200, 100, 50), 0),
        ("RGB", (200, 100, 50), "a.tif", (200, 100, 50), 0),
        ("RGB", (200, 100, 50), "a.ppm", (200, 100, 50), 0),
        ("RGB", (200, 100, 50), "a.webp", (200, 100, 50), 3),
        ("L", 70, "a.png", (70, 70, 70), 0),
        ("1", 1, "a.png", (255, 255, 255), 0),
        # Half transparent: 128/255 of the colour on 127/255 of white.
        ("RGBA", (200, 100, 0, 128), "a.png", (227, 177, 127), 1),
        ("RGBA", (9, 9, 9, 0), "a.png", (255, 255, 255), 0),
        ("RGBA", (200, 100, 0, 255), "a.tif", (200, 100, 0), 0),
        ("LA", (100, 51), "a.png", (224, 224, 224), 1),
        # 255 less ink, less black: 255 (1 - c/255) (1 - k/255).
        ("CMYK", (0, 255, 51, 0), "a.tif", (255, 0, 204), 1),
        ("CMYK", (0, 255, 51, 102), "a.jpg", (153, 0, 122), 2),
        ("YCbCr", (128, 128, 128), "a.tif", (128, 128, 128), 1),
    ],
)
def test_modes(
    mode: str, value: Any, name: str, expected: Any, tolerance: int, tmp_path: Path
) -> None:
    # Without compression Pillow before 13 cannot read what it writes.
    more = {"compression": "tiff_lzw"} if mode == "YCbCr" else {}
    colours(mode, value).save(tmp_path / name, **more)
    is_all(read(tmp_path / name), expected, tolerance)


def test_colour_to_grey_by_itu_r_601(tmp_path: Path) -> None:
    colours("RGB", (200, 100, 50)).save(tmp_path / "a.png")
    is_all(read(tmp_path / "a.png", GREY), round(0.299 * 200 + 0.587 * 100 + 0.114 * 50), 1)
    colours("LA", (70, 255)).save(tmp_path / "b.png")
    is_all(read(tmp_path / "b.png", GREY), 70)


def test_ycck_jpeg(tmp_path: Path) -> None:
    """Pillow writes CMYK; with the Adobe marker's last byte 2 the same bytes mean YCCK."""
    path = tmp_path / "a.jpg"
    colours("CMYK", (100, 90, 140, 30), 8).save(path, quality=100, subsampling=0)
    whole = bytearray(path.read_bytes())
    marker = whole.index(b"Adobe")
    assert whole[marker + 11] == 0
    whole[marker + 11] = 2
    path.write_bytes(whole)
    # Adobe stores inks inverted: the file's Y, Cb, Cr are 255 - 100, 255 - 90, 255 - 140.
    y, cb, cr, black = 155, 165 - 128, 115 - 128, 225
    inverted = y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb
    # libjpeg's YCCK gives CMY = 255 - RGB, which Pillow inverts as it does all of Adobe's.
    inks = [255 - np.clip(value, 0, 255) for value in inverted]
    expected = [ink * black / 255 for ink in inks]
    is_all(read(path), expected, 3)


def test_16_bit_grey_is_scaled_not_clipped(tmp_path: Path) -> None:
    values = np.array([[0, 257, 300, 65_535], [32_768, 25_700, 128, 129]] * 2, np.uint16)
    expected = np.array([[0, 1, 1, 255], [128, 100, 0, 1]] * 2)
    for name in ("a.png", "a.tif"):
        Image.fromarray(values).save(tmp_path / name)
        np.testing.assert_array_equal(read(tmp_path / name, GREY)[..., 0], expected)
        np.testing.assert_array_equal(read(tmp_path / name)[..., 2], expected)
    Image.fromarray(values.astype(np.int32)).save(tmp_path / "deep.tif")
    with Image.open(tmp_path / "deep.tif") as image:
        assert image.mode == "I"
    np.testing.assert_array_equal(read(tmp_path / "deep.tif", GREY)[..., 0], expected)
    Image.fromarray(values).save(tmp_path / "hole.png", transparency=257)
    assert read(tmp_path / "hole.png", GREY)[0, :, 0].tolist() == [0, 255, 1, 255]


def test_pixels_of_unknown_range_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 70_000, np.int32)).save(tmp_path / "a.tif")
    with pytest.raises(DataError, match=r"grey values from 70000 to 70000, not within 16 bits"):
        read(tmp_path / "a.tif")
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "b.tif")
    with pytest.raises(DataError, match="mode F, whose range is not known"):
        read(tmp_path / "b.tif")


def test_palettes(tmp_path: Path) -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 10, 120, 240])
    image.save(tmp_path / "a.png")
    is_all(read(tmp_path / "a.png"), (10, 120, 240))
    image.putpixel((0, 0), 0)
    image.save(tmp_path / "b.gif", transparency=0)
    pixels = read(tmp_path / "b.gif")
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[1, 1].tolist() == [10, 120, 240]
    image.save(tmp_path / "c.png", transparency=bytes([255, 0]))
    pixels = read(tmp_path / "c.png")
    assert pixels[0, 0].tolist() == [0, 0, 0]
    assert pixels[1, 1].tolist() == [255, 255, 255]


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png", "a.tif"])
def test_the_first_frame_of_an_animation(name: str, tmp_path: Path) -> None:
    frames = [colours("RGB", (value, 0, 0)) for value in (240, 120, 10)]
    options = {"lossless": True} if name == "a.webp" else {}
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], **options)
    with Image.open(tmp_path / name) as image:
        assert image.n_frames == 3
    is_all(read(tmp_path / name), (240, 0, 0))


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(orientation: int, name: str, tmp_path: Path) -> None:
    """EXIF 2.3, 4.6.4: where the row and column 0 of the file are in the picture."""
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[:4, :4], picture[:4, 4:], picture[4:, :4], picture[4:, 4:] = 40, 100, 160, 220
    turn = {
        1: lambda v: v,
        2: lambda v: v[:, ::-1],
        3: lambda v: v[::-1, ::-1],
        4: lambda v: v[::-1],
        5: lambda v: v.transpose(1, 0, 2),
        6: lambda v: np.rot90(v, 1),
        7: lambda v: v[::-1, ::-1].transpose(1, 0, 2),
        8: lambda v: np.rot90(v, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(turn(picture)))
    stored.save(tmp_path / name, exif=exif, quality=100)
    upright = read(tmp_path / name, InputSpec(height=8, width=8, channels=3))
    np.testing.assert_allclose(upright, picture, atol=8)


def test_metadata_that_cannot_be_read_does_not_cost_the_image(tmp_path: Path) -> None:
    colours("RGB", (200, 100, 50)).save(tmp_path / "a.png", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff")
    is_all(read(tmp_path / "a.png"), (200, 100, 50))


def test_a_file_is_read_by_its_content(tmp_path: Path) -> None:
    colours("RGB", (200, 100, 50)).save(tmp_path / "a.jpg", format="PNG")
    is_all(read(tmp_path / "a.jpg"), (200, 100, 50))
    colours("RGB", (200, 100, 50)).save(tmp_path / "b.png", format="AVIF", quality=100)
    is_all(read(tmp_path / "b.png"), (200, 100, 50), 4)


def test_a_format_that_runs_programs_is_no_image(tmp_path: Path) -> None:
    colours("RGB", (200, 100, 50)).save(tmp_path / "a.png", format="EPS")
    with pytest.raises(DataError, match="not a readable image"):
        read(tmp_path / "a.png")


def test_a_bomb_is_refused_before_it_is_unfolded(tmp_path: Path) -> None:
    """A PNG of a few hundred bytes that claims 60,000 × 60,000 pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        crc = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99))
    (tmp_path / "bomb.png").write_bytes(png + chunk(b"IEND", b""))
    with pytest.raises(
        DataError, match=r"^60000 × 60000 = 3,600,000,000 pixels, more than data.max_pixels=10000$"
    ):
        read(tmp_path / "bomb.png")


def test_a_strip_is_refused_before_the_crop_unfolds_it(tmp_path: Path) -> None:
    Image.new("L", (5_000, 1)).save(tmp_path / "strip.png")
    crop = InputSpec(height=32, width=32, channels=1, resize="crop")
    with pytest.raises(
        DataError, match="5000 × 1, resized before the crop: 160000 × 32 = 5,120,000 pixels"
    ):
        read(tmp_path / "strip.png", crop)
    assert not read(tmp_path / "strip.png", GREY).any()


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "gif", "tif", "bmp"])
def test_damage_is_an_error_with_a_reason_or_an_image(ending: str, tmp_path: Path) -> None:
    """Cut and flipped at seeded places: nothing but DataError may come of it."""
    rng = np.random.default_rng(0)
    path = tmp_path / f"a.{ending}"
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {} if ending in ("gif", "bmp") else {"exif": exif}
    Image.fromarray(rng.integers(0, 255, (24, 24, 3), np.uint8)).save(path, **options)
    whole = path.read_bytes()
    refused = 0
    for trial in range(150):
        content = bytearray(whole)
        if trial % 3:
            for place in rng.integers(0, min(len(whole), 300), 4):
                content[place] = rng.integers(256)
        else:
            content = content[: rng.integers(1, len(whole))]
        path.write_bytes(content)
        try:
            read(path)
        except DataError:
            refused += 1
    assert refused > 20
