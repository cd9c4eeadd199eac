"""Images in folders: which files, their labels, and what is left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from reportgen.core.errors import DataError


def save(path: Path, colour: tuple[int, int, int] = (10, 20, 30), size: int = 4) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (size, size), colour).save(path)


def test_sub_folders_are_classes(tmp_path: Path, load: Any) -> None:
    save(tmp_path / "dog" / "b.png", (1, 2, 3))
    save(tmp_path / "cat" / "deep" / "a.png", (200, 100, 50))
    images = load("folder", tmp_path)
    assert images.names == ("cat/deep/a.png", "dog/b.png")
    assert images.labels.tolist() == [0, 1]
    np.testing.assert_array_equal(images.pixels[0][0, 0], [200, 100, 50])
    assert load("folder", tmp_path, labels=None).labels is None
    save(tmp_path / "loose.png")
    assert load("folder", tmp_path).labels is None
    (tmp_path / "loose.png").unlink()
    save(tmp_path / "dgo" / "c.png")
    with pytest.raises(
        DataError,
        match=r"^The sub-folder 'dgo' is none of the network's 2 classes.\nDid you mean d",
    ):
        load("folder", tmp_path)


def test_order_is_by_name_and_other_files_are_passed_over(tmp_path: Path, load: Any) -> None:
    for name in ("b.PNG", "a10.png", "a9.jpeg", "B.png", "sub/c.tif"):
        save(tmp_path / name)
    for name in (".hidden.png", "__MACOSX/x.png", ".git/y.png", "sub/._c.tif"):
        save(tmp_path / "z.png")
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / "z.png").rename(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "folder.png").mkdir()
    images = load("folder", tmp_path)
    assert images.names == ("B.png", "a10.png", "a9.jpeg", "b.PNG", "sub/c.tif")
    assert images.skipped == ()


def test_linked_folders_are_followed_but_not_in_circles(tmp_path: Path, load: Any) -> None:
    save(tmp_path / "elsewhere" / "a.png")
    root = tmp_path / "root"
    root.mkdir()
    (root / "cat").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "up").symlink_to(root)
    (root / "dog").symlink_to(tmp_path / "elsewhere")
    images = load("folder", root)
    assert images.names == ("cat/a.png", "dog/a.png")
    assert images.labels.tolist() == [0, 1]


def test_bad_images_are_listed_and_skipped(tmp_path: Path, load: Any) -> None:
    save(tmp_path / "good.png")
    save(tmp_path / "large.png", size=400)
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.jpg").write_text("this is no image")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "cut.png")
    whole = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    images = load("folder", tmp_path)
    assert images.listed == 6
    assert images.names == ("good.png",)
    reasons = {item.name: item.reason for item in images.skipped}
    assert list(reasons) == ["cut.png", "empty.png", "gone.png", "large.png", "text.jpg"]
    assert reasons["empty.png"] == "the file is empty"
    assert reasons["text.jpg"] == "not a readable image"
    assert reasons["gone.png"] == "there is no such file"
    assert reasons["cut.png"].startswith("damaged: ")
    assert reasons["large.png"] == ("400 × 400 = 160,000 pixels, more than data.max_pixels=100000")
    (tmp_path / "good.png").unlink()
    with pytest.raises(DataError, match=r"None of the 5 images .* can be used:\n {2}cut.png"):
        len(load("folder", tmp_path))


def test_a_folder_that_is_none_is_named(tmp_path: Path, load: Any) -> None:
    (tmp_path / "nowhere.png").touch()
    (tmp_path / "nowhere2").mkdir()
    with pytest.raises(DataError, match=r"There is no folder .*\nDid you mean .*nowhere2\?"):
        load("folder", tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "hint"),
    [("a.csv", "Choose data=csv"), ("a.npz", "Choose data=npz"),
     ("a.png", r"Give the folder that it is in: data.path=\S+ data.files=\[a.png\]")],
)  # fmt: skip
def test_a_file_in_place_of_a_folder(name: str, hint: str, tmp_path: Path, load: Any) -> None:
    (tmp_path / name).touch()
    with pytest.raises(DataError, match=rf"{name} is a file, and data=folder .*\n{hint}"):
        load("folder", tmp_path / name)


def test_images_are_told_by_content_where_the_ending_does_not_say(
    tmp_path: Path, load: Any
) -> None:
    save(tmp_path / "cat" / "a.png", (1, 2, 3))
    save(tmp_path / "z.png", (40, 50, 60))
    (tmp_path / "z.png").rename(tmp_path / "cat" / "noext")
    (tmp_path / "cat" / "v.svg").write_text("<svg/>")
    (tmp_path / "cat" / "broken").symlink_to(tmp_path / "nowhere")
    for name in ("notes.txt", "list.csv", "meta.json", "README.md"):
        (tmp_path / name).touch()
    images = load("folder", tmp_path)
    assert images.names == ("cat/a.png", "cat/noext")
    assert images.labels.tolist() == [0, 0]
    np.testing.assert_array_equal(images.pixels[1][0, 0], [40, 50, 60])
    assert [(item.name, item.reason) for item in images.skipped] == [
        ("cat/broken", "not an image by its content"),
        ("cat/v.svg", "not an image by its content"),
    ]
    # Who names the files knows of the others.
    assert load("folder", tmp_path, files=["cat/noext"]).skipped == ()


def test_an_empty_folder_says_what_an_image_is(tmp_path: Path, load: Any) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match=r"holds no images.\nImages end in one of: .*\.png"):
        load("folder", tmp_path)


def test_a_name_that_is_no_utf_8_can_still_be_written(tmp_path: Path, load: Any) -> None:
    save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "caf\udce9.png")
    images = load("folder", tmp_path)
    assert images.names == ("caf\ufffd.png",)
    assert len(images.sha256) == 64
