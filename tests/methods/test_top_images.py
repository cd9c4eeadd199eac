"""Top images against everything sorted at once, in any batches; their pictures against filters'."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reportgen.core.blocks import KeyValues, Montage, Text
from reportgen.core.errors import ConfigError
from reportgen.core.images import Facts, ImageBatch
from reportgen.engine.rows import compilations
from reportgen.methods.base import Context, Result
from reportgen.methods.leaders import Leaders
from reportgen.methods.top_images import TopImages
from reportgen.render.layout import rows

MINE = "method.top_images"
PLAIN = f"{MINE}.synthesis=null"
KEYS = ("layers=conv2", f"{MINE}.units=[3,41]", f"{MINE}.keep=5", PLAIN)


def test_the_leaders_are_those_of_all_images(run_method: Any, lenet: Any, digits: Any) -> None:
    groups = run_method("top_images", *KEYS, "engine.batch=7").blocks
    x = jnp.asarray(lenet.spec.normalise(digits.pixels[:]))
    maps = np.asarray(jax.jit(lambda m, x: m.activation("conv2", x))(lenet, x))
    for group, unit in zip(groups, (3, 41), strict=True):
        montage, pairs, histogram = group.blocks
        best = maps[..., unit].reshape(len(maps), -1)
        order = np.argsort(-best.max(axis=1), kind="stable")[:5]
        assert [name for name, _ in pairs.pairs] == [digits.names[i] for i in order]
        values = [value for _, value in pairs.pairs]
        np.testing.assert_allclose(values, best.max(axis=1)[order], rtol=1e-5)
        for tile, image in zip(montage.tiles, order, strict=True):
            row, column = divmod(int(best[image].argmax()), 8)
            # conv2 sees 14 x 14 pixels from (2 row, 2 column) on.
            seen = digits.pixels[int(image)][
                2 * row : 2 * row + 14, 2 * column : 2 * column + 14, 0
            ]
            np.testing.assert_array_equal(tile, seen)
        counts, edges = np.asarray(histogram.counts), np.asarray(histogram.edges)
        np.testing.assert_array_equal(counts, np.histogram(best, edges)[0])
        assert counts.sum() == best.size
        assert edges[0] <= best.min()
        assert edges[-1] >= best.max()


def test_a_dense_layers_images_are_whole(run_method: Any, digits: Any) -> None:
    (group,) = run_method("top_images", "layers=ip2", f"{MINE}.units=[4]", PLAIN).blocks
    montage, pairs, _ = group.blocks
    named = list(digits.names)
    chosen = [named.index(name) for name, _ in pairs.pairs]
    np.testing.assert_array_equal(montage.tiles, digits.pixels[chosen][..., 0])
    assert (np.asarray(digits.labels)[chosen] == 4).all()


def _pictures(result: Result) -> list[Montage]:
    return [
        block
        for group in result.blocks
        for block in getattr(group, "blocks", ())
        if isinstance(block, Montage) and block.part == "synthesised"
    ]


@pytest.mark.parametrize("path", ["conv2", "ip2"])
def test_a_unit_s_picture_is_the_one_that_filters_makes(run_method: Any, path: str) -> None:
    """The same preset, seed and unit give the same bits, whatever else is drawn beside it."""
    same = {"preset": "lucid", "objective": "neuron", "steps": 3}
    chosen = (f"layers={path}", "seed=5", "engine.batch=16")
    filters = run_method(
        "filters",
        *chosen,
        f"method.filters.layers={path}",
        "method.filters.units=[3,8,1,9]",
        *(f"method.filters.{key}={value}" for key, value in same.items()),
    )
    (theirs,) = (block for block in filters.blocks[0].blocks if isinstance(block, Montage))
    units = [int(label.split(",")[0].removeprefix("unit ")) for label in theirs.labels]
    ours = run_method(
        "top_images",
        *chosen,
        f"{MINE}.units=[8,3]",
        *(f"{MINE}.synthesis.{key}={value}" for key, value in same.items()),
    )
    pictures = _pictures(ours)
    for unit, picture in zip((8, 3), pictures, strict=True):
        np.testing.assert_array_equal(picture.tiles[0], theirs.tiles[units.index(unit)])
        assert picture.caption.formula == theirs.caption.formula
        assert f"method.top_images.units=[{unit}]" in picture.caption.override
    assert isinstance(ours.blocks[-1], KeyValues)
    assert dict(ours.blocks[-1].pairs) == dict(filters.blocks[-1].pairs)
    assert pictures[0].tiles.std() > 1
    assert np.abs(pictures[0].tiles - pictures[1].tiles).max() > 10


def test_all_is_compiled_once_and_nothing_for_no_pictures(run_method: Any) -> None:
    def grown(*keys: str) -> int:
        before = compilations()
        run_method("top_images", "layers=conv2", *keys)
        return compilations() - before

    # Batches that no other test has; 200 images leave a last one of 2.
    keys = ("engine.batch=9", f"{MINE}.units=[5,6,7]")
    assert grown(*keys, PLAIN) == 1
    size = (f"{MINE}.synthesis.size=37", f"{MINE}.synthesis.steps=2")
    assert grown(*keys, *size) == 3  # the first pictures, the steps, and the last ones
    assert grown("engine.batch=9", f"{MINE}.units=[5,6,40]", "seed=2", *size) == 1


def test_dense_layers_have_no_picture_where_the_preset_takes_maps_alone(
    run_method: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []
    original = TopImages.run

    def counted(self: TopImages, context: Context) -> Result:
        counts.append(-self.work(context))
        return original(self, replace(context, advance=counts.append))

    monkeypatch.setattr(TopImages, "run", counted)
    seed = {"preset": "keras_seed", "objective": "channel", "start": 0.0, "steps": 9, "scales": 1}
    result = run_method(
        "top_images",
        "layers=[conv2,ip2]",
        f"{MINE}.units=[3,8]",
        *(f"{MINE}.synthesis.{key}={value}" for key, value in seed.items()),
    )
    assert [picture.high for picture in _pictures(result)] == [1.0, 1.0]
    assert "the mean rectified activation: " in _pictures(result)[0].caption.detail
    for group in result.blocks[2:4]:
        (note,) = (block for block in group.blocks if isinstance(block, Text))
        assert note.text.startswith("No synthesised pictures: ip2 (dense) has no maps, and the")
    # Images and units are counted, those without a picture too.
    assert counts[0] == -(200 + 2 * 2)
    assert sum(counts) == 0


def test_a_unit_that_nothing_drives_has_no_picture(run_method: Any, lenet: Any) -> None:
    kernel = lenet.parameters["conv2.kernel"].at[..., 3].set(0.0)
    model = lenet.with_parameters({**lenet.parameters, "conv2.kernel": kernel})
    keys = (f"{MINE}.units=[3,4]", f"{MINE}.synthesis.steps=2")
    result = run_method("top_images", "layers=conv2", *keys, model=model)
    dead, alive = result.blocks[:2]
    assert [type(block).__name__ for block in alive.blocks] == [
        *("Montage", "Montage", "KeyValues", "Histogram")
    ]
    assert [type(block).__name__ for block in dead.blocks] == [
        *("Montage", "KeyValues", "Histogram", "Text")
    ]


def test_what_the_synthesis_has_no_use_for_is_refused(run_method: Any) -> None:
    for key in ("layers=conv1", "units=[1]", "keep=2", "position=[1,1]"):
        with pytest.raises(ConfigError, match=f"synthesis takes no {key.split('=')[0]}: it makes"):
            run_method("top_images", f"{MINE}.synthesis.{key}")
    with pytest.raises(ConfigError, match="synthesis: the preset lucid has no use for scales"):
        run_method("top_images", f"{MINE}.synthesis.scales=2")


class Endless:
    """Pixels that are made when they are looked at; how many were, at the most, at once."""

    def __init__(self, count: int) -> None:
        self.shape = (count, 28, 28, 1)
        self.most = 0

    def __len__(self) -> int:
        return self.shape[0]

    def wait(self, count: int) -> int:
        return min(count, len(self))

    def __getitem__(self, index: Any) -> np.ndarray:
        if not isinstance(index, slice):
            return self[index : index + 1][0]
        wanted: Sequence[int] = range(len(self))[index]
        if wanted and wanted[0] % 128 == 0:
            gc.collect()  # JAX leaves cycles behind with every call, freed when Python likes
        self.most = max(self.most, len(wanted))
        made = [np.random.default_rng(k).uniform(0, 255, (28, 28, 1)) for k in wanted]
        return np.asarray(made, np.float32).reshape(-1, 28, 28, 1)


def test_memory_does_not_grow_with_the_images(
    run_method: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    original, pixels, peak = TopImages.run, Endless(0), 0

    def measured(count: int) -> int:
        nonlocal pixels
        pixels = Endless(count)
        run_method("top_images", *KEYS, "engine.batch=8")
        return peak

    def swapped(self: TopImages, context: Context) -> Result:
        nonlocal peak
        names = tuple(f"{k}" for k in range(len(pixels)))
        facts = Facts(names=names, labels=None, sha256="", skipped=())
        images = ImageBatch(pixels=pixels, listed=len(pixels), source="", facts=lambda: facts)
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        result = original(self, replace(context, images=images))
        peak = tracemalloc.get_traced_memory()[1] - before
        return result

    monkeypatch.setattr(TopImages, "run", swapped)
    tracemalloc.start()
    try:
        measured(16)  # compiles
        few, many = measured(32), measured(512)
    finally:
        tracemalloc.stop()
    assert pixels.most == 8
    # 480 more images are 1.5 MB, and two units' responses 0.25 MB.
    assert many - few < 10_000


def test_batches_do_not_matter() -> None:
    found = np.random.default_rng(0).integers(-9, 9, (40, 3, 6)).astype(np.float32)
    found[20:] *= 13.7
    found[30, 1, 2] = 256  # on an edge, then and after each widening
    found[35, 1, 3] = 1000
    together, apart = Leaders.none(3, 4), Leaders.none(3, 4)
    together.take(found, 0)
    for start in range(0, 40, 3):
        apart.take(found[start : start + 3], start)
    for name in ("values", "images", "places", "bound"):
        np.testing.assert_array_equal(getattr(together, name), getattr(apart, name))
    for unit in range(3):
        counts, edges = apart.histogram(unit)
        assert counts.sum() == 240
        one = together.histogram(unit)
        np.testing.assert_array_equal(one[0], counts)
        np.testing.assert_array_equal(one[1], edges)
        np.testing.assert_array_equal(np.histogram(found[:, unit], edges)[0], counts)


def test_fewer_images_than_are_kept() -> None:
    leaders = Leaders.none(1, 4)
    leaders.take(np.zeros((2, 1, 3), np.float32), 0)
    assert np.isfinite(leaders.values).sum() == 2
    np.testing.assert_array_equal(leaders.images[0, :2], [0, 1])
    assert leaders.histogram(0)[0].sum() == 6


def test_what_is_not_finite_is_no_response() -> None:
    found = np.full((3, 2, 2), np.nan, np.float32)
    found[1, 0] = [np.inf, 2.0]
    leaders = Leaders.none(2, 2)
    leaders.take(found, 10)
    assert leaders.values.tolist() == [[2.0, -np.inf], [-np.inf, -np.inf]]
    assert (leaders.images[0, 0], leaders.places[0, 0]) == (11, 1)
    assert [leaders.histogram(unit)[0].sum() for unit in (0, 1)] == [1, 0]


def test_a_unit_without_a_finite_response_is_said(run_method: Any, lenet: Any) -> None:
    bias = lenet.parameters["conv2.bias"].at[3].set(jnp.nan)
    model = lenet.with_parameters({**lenet.parameters, "conv2.bias": bias})
    note, histogram = run_method("top_images", *KEYS, model=model).blocks[0].blocks
    assert "no image with a finite number" in note.text
    assert histogram.counts.sum() == 0


def test_a_unit_that_is_not_there_is_refused(run_method: Any) -> None:
    with pytest.raises(ConfigError, match="conv1"):
        run_method("top_images", "layers=conv1", f"{MINE}.units=[99]")


def test_one_tile_stands_beside_a_montage_of_several() -> None:
    def montage(tiles: int) -> dict[str, Any]:
        return {"type": "montage", "tiles": tiles, "images": [{"width": 300}]}

    several, one, counts = montage(9), montage(1), {"type": "histogram"}
    (row,) = rows([several, one, counts])
    assert (row["kind"], row["main"], row["side"]) == ("split", [several], [one, counts])
    # Pictures of one tile each, one for each channel, follow one another as before.
    (row,) = rows([one, one, one])
    assert (row["kind"], len(row["main"])) == ("flow", 3)
