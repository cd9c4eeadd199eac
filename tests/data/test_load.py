"""What holds for all sources, and the embedded digits."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from reportgen.core.errors import ConfigError, DataError
from reportgen.core.spec import InputSpec

DIGITS = tuple(str(digit) for digit in range(10))
GREY = InputSpec(height=28, width=28, channels=1)


def test_embedded_digits_are_balanced_and_a_sample_follows_the_seed(load: Any) -> None:
    def digits(**changes: Any) -> Any:
        return load("embedded", spec=GREY, classes=DIGITS, **changes)

    everything = digits()
    assert everything.listed == 200
    assert np.bincount(everything.labels).tolist() == [20] * 10
    pixels = everything.pixels[:]
    assert pixels.shape == everything.pixels.shape == (200, 28, 28, 1)
    assert (pixels.dtype, pixels.min(), pixels.max()) == (np.float32, 0.0, 255.0)
    some = digits(count=12, seed=3)
    assert len(some) == some.listed == 12
    assert some.names == digits(count=12, seed=3).names
    assert some.names != digits(count=12, seed=4).names
    places = [everything.names.index(name) for name in some.names]
    assert places == sorted(places)
    np.testing.assert_array_equal(some.pixels[:], everything.pixels[places])
    assert some.sha256 != everything.sha256
    few = digits(count=20, balanced=True)
    assert np.bincount(few.labels).tolist() == [2] * 10
    assert digits(labels=None).labels is None


def test_embedded_digits_are_for_ten_classes(load: Any) -> None:
    with pytest.raises(DataError, match=r"10 digits; the network has 2 classes.\nGive images of"):
        load("embedded")
    with pytest.raises(
        DataError, match=r"has one score, 'norm', and labels .*\nLeave them out: data.labels=null"
    ):
        load("embedded", spec=GREY, classes=("norm",))
    assert load("embedded", spec=GREY, classes=("norm",), labels=None).labels is None
    words = ("nil", *"abcdefghi")
    assert load("embedded", spec=GREY, classes=words).labels.max() == 9


@pytest.mark.parametrize(
    ("source", "changes", "message"),
    [
        ("embedded", {"path": Path("x")}, "data.path is given with data=embedded.\nChoose"),
        ("embedded", {"images": "x"}, "data.images and data.labels are given with data=embedded"),
        ("folder", {"images": "x", "path": Path("x")}, "a folder has none"),
        ("folder", {}, "data=folder needs a path.\nGive data.path=FOLDER"),
        ("csv", {}, "data=csv needs a path.\nGive data.path=FILE.csv"),
        ("npz", {}, "data=npz needs a path.\nGive data.path=FILE.npz"),
    ],
)
def test_slips(source: str, changes: dict[str, Any], message: str, load: Any) -> None:
    with pytest.raises(ConfigError, match=message):
        load(source, classes=DIGITS, **changes)


@pytest.mark.parametrize("source", ["embedded", "folder", "csv"])
def test_channels_that_files_do_not_have(source: str, load: Any) -> None:
    spec = InputSpec(height=5, width=6, channels=4)
    message = rf"takes images of 5 × 6 × 4, and data={source} gives .* 1 or 3 channels.\n.*, 4\)"
    with pytest.raises(DataError, match=message):
        load(source, spec=spec)


def test_pixels_do_not_depend_on_threads_or_where_they_are_kept(
    load: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    for k in range(40):
        noise = rng.integers(0, 256, (20 + k, 30, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{k:02d}.png")
    (tmp_path / "07.png").write_bytes(b"torn")
    spec = InputSpec(height=16, width=16, channels=3, resize="crop")
    one = load("folder", tmp_path, spec=spec, threads=1)
    many = load("folder", tmp_path, spec=spec, threads=6)
    monkeypatch.setattr("reportgen.data.store.IN_MEMORY", 0)
    kept = load("folder", tmp_path, spec=spec)
    assert one.listed == 40
    assert one.sha256 == many.sha256 == kept.sha256
    assert one.skipped == many.skipped == kept.skipped
    assert one.names == many.names == kept.names
    for other in (many, kept):
        np.testing.assert_array_equal(one.pixels[:], other.pixels[:])
    assert one.first(5) == 5
    assert one.first(100) == 39


def test_loading_needs_no_jax(tmp_path: Path) -> None:
    script = "import sys, reportgen.data.load; print('jax' in sys.modules, 'flax' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.split() == ["False", "False"]
