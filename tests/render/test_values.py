"""Raw values as scripts are read back as the browser reads them, within what they promise."""

import base64
import json
import zlib

import numpy as np
import pytest

from reportgen.core import blocks
from reportgen.render import values
from reportgen.render.assets import Assets
from reportgen.render.painter import Painter
from reportgen.render.sketches import sketches

PATH = "assets/a-values.js"


def read(script):
    """A script as (values, record); numbers that are not finite come back as they are."""
    text = script.decode()
    head = f'reportgen.values["{PATH}"]='
    assert text.startswith(head)
    assert text.endswith(";\n")
    record = json.loads(text[len(head) : -2])
    plain = np.frombuffer(zlib.decompress(base64.b64decode(record["data"])), np.uint8)
    if record["bits"] == 16:
        high, low = plain.reshape(2, -1).astype(np.uint16)
        plain = high * np.uint16(256) + low
    codes = plain.copy()
    for start in range(record["back"]):
        part = plain[start :: record["back"]].astype(np.uint64)
        codes[start :: record["back"]] = np.cumsum(part) % (1 << record["bits"])
    part = codes / record["steps"]
    found = record["low"] * (1 - part) + record["high"] * part
    for index, value in enumerate((np.nan, np.inf, -np.inf), 1):
        found[codes == record["steps"] + index] = value
    return found.reshape(record["shape"]), record


def half_step(record):
    return (record["high"] / 2 - record["low"] / 2) / record["steps"]


@pytest.mark.parametrize(
    "shape", [(7, 5), (6, 5, 4), (3, 4, 4, 3), (1, 1), (300, 300), (9, 100, 90), (2, 200, 100, 3)]
)
def test_values_come_back_to_within_half_a_step(shape):
    array = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    found, record = read(values.script(PATH, array))
    assert found.shape == shape
    assert np.abs(found - array).max() <= half_step(record) * (1 + 1e-6)
    assert record["bits"] == (16 if array.size <= 65536 else 8)
    assert (found.min(), found.max()) == (array.min(), array.max())


@pytest.mark.parametrize("size", [64, 70_000])
def test_what_is_not_finite_comes_back_as_it_is(size):
    array = np.linspace(-3, 5, size)
    array[[1, 7, 9, 20]] = np.nan, np.inf, -np.inf, np.nan
    found, record = read(values.script(PATH, array[None]))
    finite = np.isfinite(array)
    np.testing.assert_array_equal(found[0][~finite], array[~finite])
    assert np.abs(found[0][finite] - array[finite]).max() <= half_step(record) * (1 + 1e-6)
    assert (record["low"], record["high"], record["exact"]) == (-3.0, 5.0, False)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(256, dtype=np.uint8).reshape(16, 16),
        np.random.default_rng(1).integers(0, 256, (9, 7, 3), np.uint8),
        np.arange(-40, 24, dtype=np.int64).reshape(8, 8),
        np.array([[0, 65535], [1, 2]]),
        np.array([[True, False]]),
        np.full((3, 3), 0.25),
        np.full((3, 3), 7),
    ],
)
def test_whole_numbers_and_constants_are_exact(array):
    found, record = read(values.script(PATH, array))
    np.testing.assert_allclose(found, array, rtol=1e-12, atol=1e-12)
    assert record["exact"]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_array_without_any_finite_value(bad):
    found, record = read(values.script(PATH, np.full((2, 2), bad)))
    np.testing.assert_array_equal(found, np.full((2, 2), bad))
    assert (record["low"], record["high"]) == (0.0, 0.0)
    assert not record["exact"]


def test_a_range_as_wide_as_numbers_go():
    array = np.array([[-1.7e308, 0.0, 1.7e308]])
    found, record = read(values.script(PATH, array))
    assert np.abs(found / 1e300 - array / 1e300).max() <= half_step(record) / 1e300 * (1 + 1e-6)


@pytest.mark.parametrize("shape", [(0, 4), (0, 3, 3), (2, 0, 3, 3)])
@pytest.mark.parametrize("kind", [np.float32, np.uint8])
def test_an_empty_array(shape, kind):
    found, record = read(values.script(PATH, np.empty(shape, kind)))
    assert found.shape == shape
    assert (record["low"], record["high"]) == (0.0, 0.0)


def test_the_same_array_gives_the_same_bytes_however_it_lies_in_memory():
    array = np.random.default_rng(2).normal(size=(5, 6, 7))
    turned = np.asfortranarray(array)
    assert values.script(PATH, array) == values.script(PATH, turned)
    path = values.script_path(array)
    assert path == values.script_path(turned) != values.script_path(array.reshape(6, 5, 7))


def heatmap(scale):
    return blocks.Heatmap(
        image=np.zeros((4, 4, 1)),
        map=scale * np.eye(4),
        low=0.0,
        high=1.0,
        colormap="jet",
        caption=blocks.Caption(title="a"),
    )


def test_equal_arrays_are_one_file_and_one_of_too_many_values_none(monkeypatch, tmp_path):
    with Painter(1) as painter:
        assets = Assets(painter)

        def kept(scale):
            _, drawn, overlay = sketches(heatmap(scale))
            return [assets.picture("a", sketch, "a")["values"] for sketch in (drawn, overlay)]

        (first, again), (other, _) = kept(1.0), kept(2.0)
        monkeypatch.setattr(values, "MOST", 15)
        assert kept(3.0) == ["", ""]
        assets.write(tmp_path)
    assert first == again != other
    written = {f"assets/{path.name}" for path in (tmp_path / "assets").glob("*.js")}
    assert written == {first, other}
    assert (tmp_path / first).read_text().startswith(f'reportgen.values["{first}"]=')
