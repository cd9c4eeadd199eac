"""Images from the embedded file and from folders, good ones and bad."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reportgen.config import DataConfig
from reportgen.core.errors import ConfigError, DataError
from reportgen.core.images import ImageBatch
from reportgen.core.spec import InputSpec
from reportgen.data.load import fit, load_images

GREY = InputSpec(height=4, width=4, channels=1)
COLOUR = InputSpec(height=4, width=4, channels=3)


def load(
    path: Path | None, *, spec: InputSpec = COLOUR, seed: int = 0, **changes: object
) -> ImageBatch:
    values: dict[str, object] = {"count": None, "max_pixels": 10_000, **changes}
    source = "embedded" if path is None else "folder"
    where = None if path is None else str(path)
    config = DataConfig(source=source, path=where, **values)  # type: ignore[arg-type]
    classes = [str(digit) for digit in range(10)] if path is None else ["cat", "dog"]
    return load_images(config, spec, classes, seed)


def save(path: Path, colour: tuple[int, int, int] = (10, 20, 30), size: int = 4) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (size, size), colour).save(path)


def test_embedded_digits_are_balanced_and_a_sample_follows_the_seed() -> None:
    spec = InputSpec(height=28, width=28, channels=1)
    everything = load(None, spec=spec)
    assert everything.labels is not None
    assert np.bincount(everything.labels).tolist() == [20] * 10
    assert everything.pixels.shape == (200, 28, 28, 1)
    assert (everything.pixels.min(), everything.pixels.max()) == (0.0, 255.0)
    some = load(None, spec=spec, count=12, seed=3)
    assert len(some) == 12
    assert some.names == load(None, spec=spec, count=12, seed=3).names
    assert some.names != load(None, spec=spec, count=12, seed=4).names
    assert set(some.names) < set(everything.names)
    assert some.sha256 != everything.sha256


def test_sub_folders_are_classes(tmp_path: Path) -> None:
    save(tmp_path / "dog" / "b.png", (1, 2, 3))
    save(tmp_path / "cat" / "a.png", (200, 100, 50))
    images = load(tmp_path)
    assert images.names == ("cat/a.png", "dog/b.png")
    assert images.labels is not None
    assert images.labels.tolist() == [0, 1]
    np.testing.assert_array_equal(images.pixels[0, 0, 0], [200, 100, 50])
    save(tmp_path / "loose.png")
    assert load(tmp_path).labels is None
    (tmp_path / "loose.png").unlink()
    save(tmp_path / "dgo" / "c.png")
    with pytest.raises(DataError, match=r"'dgo' is none of the network's 2 classes.\nDid you mean"):
        load(tmp_path)


def test_bad_images_are_listed_and_skipped(tmp_path: Path) -> None:
    save(tmp_path / "good.png")
    save(tmp_path / "large.png", size=200)
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.jpg").write_text("this is no image")
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "cut.png")
    whole = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    images = load(tmp_path)
    assert images.names == ("good.png",)
    reasons = {item.name: item.reason for item in images.skipped}
    assert reasons["empty.png"] == "the file is empty"
    assert reasons["text.jpg"] == "not a readable image"
    assert reasons["cut.png"].startswith("damaged")
    assert "200 × 200 = 40,000 pixels, more than data.max_pixels=10000" in reasons["large.png"]
    (tmp_path / "good.png").unlink()
    with pytest.raises(DataError, match=r"None of the 4 images .* can be used:\n {2}cut.png"):
        load(tmp_path)


def test_a_bomb_is_refused_before_it_is_unfolded(tmp_path: Path) -> None:
    """A PNG of a few hundred bytes that claims 60,000 × 60,000 pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        crc = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99))
    (tmp_path / "bomb.png").write_bytes(png + chunk(b"IEND", b""))
    with pytest.raises(DataError, match=r"bomb\.png: (60000 × 60000|not a readable image)"):
        load(tmp_path, max_pixels=100_000_000)


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_a_folder_that_is_none_is_named(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="There is no folder"):
        load(tmp_path / name)


def test_an_empty_folder_says_what_an_image_is(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match=r"holds no images.\nImages end in one of: .*\.png"):
        load(tmp_path)


def test_a_path_with_embedded_data_is_a_slip() -> None:
    config = DataConfig(source="embedded", path="x", count=None, max_pixels=1)
    with pytest.raises(ConfigError, match="Choose data=folder"):
        load_images(config, GREY, [], 0)


def test_fit_crops_the_centre_or_stretches() -> None:
    wide = Image.new("RGB", (8, 4), (0, 0, 0))
    wide.paste((255, 255, 255), (2, 0, 6, 4))
    crop = InputSpec(height=4, width=4, channels=3, resize="crop")
    assert (fit(wide, crop) == 255).all()
    stretched = fit(wide, COLOUR)
    assert stretched.shape == (4, 4, 3)
    assert stretched[0, :, 0].tolist() == stretched[0, ::-1, 0].tolist()
    assert stretched.min() < 40
    assert fit(wide, GREY).shape == (4, 4, 1)
