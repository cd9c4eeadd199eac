"""Units against everything sorted and summed at once; their pictures against filters'."""

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
from flax import nnx

from reportgen.core.blocks import Group, KeyValues, Montage, Text, Units
from reportgen.core.errors import ConfigError
from reportgen.core.images import Facts, ImageBatch
from reportgen.engine.kept import Kept
from reportgen.engine.programs import compilations
from reportgen.methods.answers import Totals, totals_of
from reportgen.methods.base import Context, Result
from reportgen.methods.kernels import kernel_parts, repeated
from reportgen.methods.leaders import Leaders, ranked
from reportgen.methods.units import UnitCards

MINE = "method.units"
PLAIN = f"{MINE}.synthesis=null"
# 200 images leave a last batch of 4.
KEYS = ("layers=conv2", "engine.batch=7", f"{MINE}.units=[3,41]", f"{MINE}.keep=5", PLAIN)


class Pixels(np.ndarray):
    """Images in memory."""

    def wait(self, count: int) -> int:
        return min(count, len(self))


def cards(result: Result) -> list[Units]:
    """The layers' units, in order."""
    groups = [block for block in result.blocks if isinstance(block, Group)]
    return [block for group in groups for block in group.blocks if isinstance(block, Units)]


@pytest.fixture(scope="module")
def maps(lenet: Any, digits: Any) -> dict[str, np.ndarray]:
    """What LeNet's layers answer to all images."""
    x = jnp.asarray(lenet.spec.normalise(digits.pixels[:]))
    return {
        name: np.asarray(a) for name, a in jax.jit(lambda m, x: m.apply(x)[1])(lenet, x).items()
    }


def test_the_leaders_are_those_of_all_images(
    run_method: Any, digits: Any, maps: dict[str, np.ndarray]
) -> None:
    (block,) = cards(run_method("units", *KEYS))
    assert (block.layer, block.count, block.indices.tolist()) == ("conv2", 50, [3, 41])
    assert block.crop_size == (14, 14)
    for row, unit in enumerate((3, 41)):
        best = maps["conv2"][..., unit].reshape(200, -1)
        order = np.argsort(-best.max(axis=1), kind="stable")[:5]
        assert [block.names[i] for i in block.images[row]] == [digits.names[i] for i in order]
        np.testing.assert_allclose(block.responses[row], best.max(axis=1)[order], rtol=1e-5)
        for tile, image in zip(block.crops[row], order, strict=True):
            down, across = divmod(int(best[image].argmax()), 8)
            # conv2 sees 14 x 14 pixels from (2 row, 2 column) on.
            seen = digits.pixels[int(image)][2 * down : 2 * down + 14, 2 * across : 2 * across + 14]
            np.testing.assert_array_equal(tile, seen)
        edges = np.linspace(-block.bound[row], block.bound[row], block.counts.shape[1] + 1)
        np.testing.assert_array_equal(block.counts[row], np.histogram(best, edges)[0])
        assert block.counts[row].sum() == best.size


@pytest.fixture(scope="module")
def measured(run_method: Any) -> dict[str, Units]:
    """Cards of some units, by layer."""
    chosen = (f"{MINE}.layers=[conv1,ip1,relu1]", f"{MINE}.units=[7,0,19]", PLAIN)
    return {block.layer: block for block in cards(run_method("units", *chosen, "engine.batch=9"))}


@pytest.mark.parametrize("path", ["conv1", "ip1", "relu1"])
def test_measures_are_of_every_response_to_every_image(
    measured: dict[str, Units], maps: dict[str, np.ndarray], path: str
) -> None:
    block = measured[path]
    for row, unit in enumerate((7, 0, 19)):
        largest, total, low, count = -np.inf, 0.0, 0, 0
        for image in maps[path]:
            for response in np.ravel(image[..., unit]).tolist():
                largest, total = max(largest, response), total + response
                low, count = low + (response <= 0), count + 1
        assert block.largest[row] == pytest.approx(largest, rel=1e-5)
        assert block.mean[row] == pytest.approx(total / count, rel=1e-4, abs=1e-6)
        assert block.sparsity[row] == pytest.approx(low / count, abs=2 / count)


@pytest.mark.parametrize("labelled", [True, False])
def test_effects_are_response_times_gradient_by_class(
    run_method: Any, lenet: Any, digits: Any, maps: dict[str, np.ndarray], labelled: bool
) -> None:
    """By weights written out: of a dense layer the logit's gradient is known."""
    facts = digits.facts()
    images = replace(digits, facts=lambda: facts if labelled else replace(facts, labels=None))
    keys = ("layers=[ip1,ip2]", f"{MINE}.units=[3,9]", f"{MINE}.classes=4", PLAIN)
    hidden, last = cards(run_method("units", *keys, images=images))
    classes = digits.labels if labelled else maps["ip2"].argmax(axis=1)
    weights = np.asarray(lenet.parameters["ip2.kernel"], np.float64)
    for row, unit in enumerate((3, 9)):
        sums, counts = dict.fromkeys(range(10), 0.0), dict.fromkeys(range(10), 0)
        for answer, index in zip(maps["ip1"], np.asarray(classes).tolist(), strict=True):
            # What is below zero has no gradient behind the rectifier.
            sums[index] += max(0.0, float(answer[unit])) * weights[unit, index]
            counts[index] += 1
        means = {index: sums[index] / counts[index] for index in sums}
        expected = sorted(means, key=lambda index: -means[index])[:4]
        expected = [index for index in expected if means[index] > 0]
        found = [hidden.classes[i] for i in hidden.helped[row] if i >= 0]
        assert found == [lenet.classes[index] for index in expected]
        np.testing.assert_allclose(
            hidden.effects[row, : len(expected)], [means[i] for i in expected], rtol=1e-4
        )
        # A logit helps its own class alone, by what it is.
        assert [last.classes[i] for i in last.helped[row] if i >= 0] == [lenet.classes[unit]]
        own = maps["ip2"][np.asarray(classes) == unit, unit].mean()
        assert last.effects[row, 0] == pytest.approx(own, rel=1e-4)


def test_the_effect_of_a_map_is_summed_over_its_places(
    run_method: Any, lenet: Any, digits: Any, maps: dict[str, np.ndarray]
) -> None:
    """By one image at a time, and the logit that is lost when a unit fades a little."""
    keys = ("layers=conv2", f"{MINE}.units=[3]", f"{MINE}.classes=10", PLAIN)
    (block,) = cards(run_method("units", *keys))
    found = dict(zip(block.helped[0].tolist(), block.effects[0].tolist(), strict=True))
    x = lenet.spec.normalise(digits.pixels[:])

    logits = jax.jit(lambda model, x, tap: model.apply(x, {"conv2": tap})[0])
    tap = np.zeros_like(maps["conv2"])
    tap[..., 3] = 1e-2 * maps["conv2"][..., 3]
    lost = np.zeros((200, 10))
    for part in range(0, 200, 50):
        some = slice(part, part + 50)
        ends = [np.asarray(logits(lenet, x[some], sign * tap[some])) for sign in (1, -1)]
        lost[some] = (ends[0] - ends[1]) / 2e-2
    for index in range(10):
        mean = lost[digits.labels == index, index].mean()
        name = [i for i, known in enumerate(block.classes) if known == lenet.classes[index]]
        if name:
            assert found[name[0]] == pytest.approx(mean, rel=0.02, abs=0.02)
        else:
            assert mean < 0.02


def test_without_classes_the_network_is_not_run_back(
    run_method: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jax, "grad", None)
    # A batch that no other test has, so that it is traced here.
    keys = ("engine.batch=11", f"{MINE}.classes=0", "layers=conv1", PLAIN)
    (block,) = cards(run_method("units", *keys))
    assert block.effects is None
    assert block.helped is None
    assert block.classes == ()


def test_a_dense_layers_images_are_whole(run_method: Any, digits: Any) -> None:
    (block,) = cards(run_method("units", "layers=ip2", f"{MINE}.units=[4]", PLAIN))
    named = list(digits.names)
    chosen = [named.index(block.names[i]) for i in block.images[0]]
    np.testing.assert_array_equal(block.crops[0], digits.pixels[chosen])
    assert (np.asarray(digits.labels)[chosen] == 4).all()


def test_a_unit_s_picture_is_the_one_that_filters_makes(run_method: Any, averaged: Any) -> None:
    """The same preset, seed and unit give the same picture, whatever else is drawn beside it."""
    same = {"preset": "tf_keras_vis", "objective": "neuron", "steps": 3}
    chosen = ("layers=[conv2,out]", "seed=5", "engine.batch=16")
    filters = run_method(
        "filters",
        *chosen,
        "method.filters.units=[3,6,1,5]",
        "method.filters.layers=[conv2,out]",
        *(f"method.filters.{key}={value}" for key, value in same.items()),
        model=averaged,
    )
    ours = run_method(
        "units",
        *chosen,
        f"{MINE}.units=[6,3]",
        *(f"{MINE}.synthesis.{key}={value}" for key, value in same.items()),
        model=averaged,
    )
    assert isinstance(ours.blocks[-1], KeyValues)
    assert dict(ours.blocks[-1].pairs) == dict(filters.blocks[-1].pairs)
    for block, group in zip(cards(ours), filters.blocks[:-1], strict=True):
        (theirs,) = (part for part in group.blocks if isinstance(part, Montage))
        units = [int(label.split(",")[0].removeprefix("unit ")) for label in theirs.labels]
        assert block.pictures is not None
        for unit, picture in zip((6, 3), block.pictures, strict=True):
            expected = np.floor(theirs.tiles[units.index(unit)] + 0.5)
            if block.layer == "conv2":  # twice its receptive field of 7 x 7, in the middle of 28
                expected = expected[7:21, 7:21]
            np.testing.assert_array_equal(picture[..., 0], expected)
        assert theirs.caption.formula in block.caption.formula
        assert f"method.units.layers=[{block.layer}" in block.caption.override
        assert block.pictures.std() > 1
        assert np.abs(np.diff(block.pictures.astype(int), axis=0)).max() > 10


def test_all_is_compiled_once_and_nothing_for_no_pictures(run_method: Any, averaged: Any) -> None:
    def grown(*keys: str) -> int:
        before = compilations()
        run_method("units", "layers=conv2", *keys, model=averaged)
        return compilations() - before

    # Batches that no other test has; 200 images leave a last one of 5.
    keys = ("engine.batch=13", f"{MINE}.units=[5,6,7]")
    assert grown(*keys, PLAIN) == 1
    size = [f"{MINE}.synthesis.{key}" for key in ("preset=keras_vis", "size=37", "steps=2")]
    assert grown(*keys, *size) == 3  # the first pictures, the steps, and the last ones
    assert grown(*keys, "seed=2", *size) == 0


def test_dense_layers_have_no_picture_where_the_preset_takes_maps_alone(
    run_method: Any, averaged: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []
    original = UnitCards.run

    def counted(self: UnitCards, context: Context) -> Result:
        counts.append(-self.work(context))
        return original(self, replace(context, advance=counts.append))

    monkeypatch.setattr(UnitCards, "run", counted)
    seed = {"preset": "keras_seed", "objective": "channel", "start": 0.0, "steps": 9, "scales": 1}
    result = run_method(
        "units",
        "layers=[conv2,out]",
        f"{MINE}.units=[3,6]",
        *(f"{MINE}.synthesis.{key}={value}" for key, value in seed.items()),
        model=averaged,
    )
    conv, dense = cards(result)
    assert conv.pictures is not None
    assert conv.climbed == "the mean rectified activation"
    assert dense.pictures is None
    (note,) = (block for block in result.blocks[1].blocks if isinstance(block, Text))
    assert note.text.startswith("No synthesised pictures: out (dense) has no maps, and the")
    # Images and units are counted, those without a picture too.
    assert counts[0] == -(200 + 2 * 2)
    assert sum(counts) == 0


def test_a_unit_that_nothing_drives_has_no_picture(run_method: Any, averaged: Any) -> None:
    kernel = np.array(averaged.parameters["conv2.kernel"])
    kernel[..., 3] = 0
    model = averaged.with_parameters({**averaged.parameters, "conv2.kernel": jnp.asarray(kernel)})
    made = [f"{MINE}.synthesis.{key}" for key in ("preset=keras_vis", "steps=3")]
    keys = (f"{MINE}.units=[3,4]", *made)
    (block,) = cards(run_method("units", "layers=conv2", *keys, model=model))
    assert np.isnan(block.score).tolist() == [True, False]


class Rectified(nnx.Module):
    """A convolution with its rectifier behind a norm and a pool, and one without."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.conv1 = nnx.Conv(1, 6, (5, 5), strides=4, rngs=rngs)
        self.norm1 = nnx.BatchNorm(6, use_running_average=True, rngs=rngs)
        self.conv2 = nnx.Conv(6, 7, (3, 3), rngs=rngs)
        self.conv3 = nnx.Conv(7, 8, (3, 3), rngs=rngs)
        self.depth = nnx.Conv(8, 8, (3, 3), feature_group_count=8, rngs=rngs)
        self.out = nnx.Linear(8, 10, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = nnx.relu(self.norm1(self.conv1(x)))
        x = nnx.relu(nnx.max_pool(self.conv2(x), (2, 2), (2, 2)))
        return self.out(self.depth(self.conv3(x)).mean((1, 2)))


@pytest.fixture(scope="module")
def marked(model_of: Any, lenet: Any, run_method: Any) -> dict[str, Units]:
    """Units of a network in which some are dead, silent or repeated, by layer."""
    model = model_of(Rectified, lenet.spec, classes=lenet.classes)
    weights = {name: np.array(value) for name, value in model.parameters.items()}
    for name in ("norm1.bias", "conv2.bias"):
        weights[name][:] = 0.5  # so that no other unit is dead by chance
    weights["norm1.bias"][2] = -1e3
    for name in ("conv2", "conv3", "depth"):
        weights[f"{name}.bias"][4] = -1e6
    kernel = weights["conv3.kernel"]
    kernel[..., 5] = 3 * kernel[..., 1]
    kernel[..., 7] = kernel[..., 5]
    weights["depth.kernel"][..., 1] = weights["depth.kernel"][..., 0]
    model = model.with_parameters({name: jnp.asarray(v) for name, v in weights.items()})
    result = run_method("units", PLAIN, f"{MINE}.classes=0", model=model)
    found = {block.layer: block for block in cards(result)}
    found["findings"] = result.findings
    return found


def test_dead_is_what_a_rectifier_never_lets_through(marked: dict[str, Units]) -> None:
    """The convolution before a norm by the norm's answers; linear layers never, however low."""
    dead = {name: np.flatnonzero(marked[name].dead).tolist() for name in list(marked)[:-1]}
    assert dead == {"conv1": [2], "conv2": [4], "conv3": [], "depth": [], "out": []}
    assert marked["conv1"].sparsity[2] == 1.0
    assert marked["conv1"].largest[2] > 0
    assert marked["conv3"].largest[4] < 0
    assert "reads norm1" in marked["conv1"].caption.detail
    assert "no rectifier reads them" in marked["conv3"].caption.detail


def test_units_of_proportional_kernels_repeat_the_first(marked: dict[str, Units]) -> None:
    """Not where each reads an input of its own, as in a depthwise convolution."""
    assert marked["conv3"].repeats.tolist() == [-1, -1, -1, -1, -1, 1, -1, 1]
    for name in ("conv1", "conv2", "depth", "out"):
        assert (marked[name].repeats == -1).all()


def test_dead_and_repeated_units_are_found(marked: dict[str, Any]) -> None:
    dead, second, repeats = marked["findings"]
    assert (dead.severity, dead.where) == ("warn", "conv1")
    assert (dead.value, dead.threshold) == (1 / 6, 0.1)
    assert dead.message == (
        "Dead units of conv1, 1 of 6: a rectifier reads them, and none of 200 images makes them "
        "answer above zero: 2."
    )
    assert second.where == "conv2"
    assert (repeats.severity, repeats.where, repeats.value) == ("info", "conv3", 0.25)
    assert repeats.message.endswith("kernels: 5 repeats 1, 7 repeats 1.")


@pytest.mark.parametrize(
    ("keys", "first", "severity"),
    [((), 200, "warn"), ((f"{MINE}.dead=0.5",), 200, "info"), ((), 99, "info")],
)
def test_few_dead_units_or_few_images_are_no_warning(
    run_method: Any, lenet: Any, digits: Any, keys: tuple[str, ...], first: int, severity: str
) -> None:
    bias = np.array(lenet.parameters["ip1.bias"])
    bias[:100] = -1e6
    model = lenet.with_parameters({**lenet.parameters, "ip1.bias": jnp.asarray(bias)})
    facts = digits.facts()
    few = replace(facts, names=facts.names[:first], labels=facts.labels[:first])
    images = replace(
        digits, pixels=digits.pixels[:first].view(Pixels), listed=first, facts=lambda: few
    )
    keys = ("layers=ip1", PLAIN, f"{MINE}.classes=0", *keys)
    (finding,) = run_method("units", *keys, model=model, images=images).findings
    assert finding.severity == severity
    assert 0.2 <= finding.value < 0.5
    assert ("more images first" in finding.advice) == (first < 100)


def test_cosines_by_plain_loops() -> None:
    rng = np.random.default_rng(3)
    kernel = rng.normal(size=(3, 3, 2, 12)).astype(np.float32)
    for unit, other, noise in ((3, 1, 0.02), (5, 3, 0.1), (8, 5, 0.02), (9, 8, 0.3), (11, 0, 0.0)):
        kernel[..., unit] = kernel[..., other] + noise * kernel[..., unit]
    kernel[..., 2] = kernel[..., 4] = 0
    expected = []
    for unit in range(12):
        best, found = 0.98, -1
        for other in range(unit):
            one, two = (kernel[..., u].ravel().astype(np.float64) for u in (unit, other))
            norms = np.linalg.norm(one) * np.linalg.norm(two)
            if expected[other] < 0 and norms and one @ two / norms > best:
                best, found = one @ two / norms, other
        expected.append(found)
    assert sum(found >= 0 for found in expected) >= 3
    assert repeated(kernel, 1, 0.98).tolist() == expected
    assert repeated(kernel[:2, :2, :1], 1, 0.0).tolist() == [-1] * 12  # too few weights


@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_kernels_are_shown_by_the_inputs_that_count(order: str) -> None:
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(2, 2, 6, 5)).astype(np.float32)
    kernel[:, :, [4, 1], 3] *= np.array([9, 5])
    parts, inputs = kernel_parts(kernel, (3, 0), order)
    assert parts.shape == (2, 4, 2, 2)
    assert inputs[0, :2].tolist() == [4, 1]
    np.testing.assert_array_equal(parts[0, 1], kernel[:, :, 1, 3])
    coloured, inputs = kernel_parts(kernel[:, :, :3], (3,), order)
    assert inputs is None
    step = 1 if order == "rgb" else -1
    np.testing.assert_array_equal(coloured[0, 0], kernel[:, :, :3, 3][..., ::step])
    whole, inputs = kernel_parts(kernel[0, 0], (2,), order)
    np.testing.assert_array_equal(whole[0, :, 0, 0], kernel[0, 0, :, 2])
    assert inputs.tolist() == [list(range(6))]
    assert kernel_parts(np.zeros((1025, 4), np.float32), (0,), order) == (None, None)


def test_large_crops_are_made_smaller_and_said_so(run_method: Any, digits: Any) -> None:
    keys = ("layers=ip1", f"{MINE}.first=400", f"{MINE}.keep=16", PLAIN, f"{MINE}.classes=0")
    (block,) = cards(run_method("units", *keys))
    side = block.crops.shape[2]
    assert side == 18  # 6,400 of them on two million pixels
    assert block.crop_size == (28, 28)
    # Smoothly: what there is of ink is kept.
    images = [list(digits.names).index(block.names[i]) for i in block.images[7]]
    full = digits.pixels[images].mean(axis=(1, 2, 3))
    np.testing.assert_allclose(block.crops[7].mean(axis=(1, 2, 3)), full, atol=1.5)


def test_what_the_synthesis_has_no_use_for_is_refused(run_method: Any) -> None:
    for key in ("layers=conv1", "units=[1]", "keep=2", "position=[1,1]", "images=2"):
        with pytest.raises(ConfigError, match=f"synthesis takes no {key.split('=')[0]}: it makes"):
            run_method("units", f"{MINE}.synthesis.{key}")
    with pytest.raises(ConfigError, match="synthesis: the preset lucid has no use for scales"):
        run_method("units", f"{MINE}.synthesis.scales=2")


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


@pytest.mark.slow
def test_memory_does_not_grow_with_the_images(
    run_method: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    original, pixels, peak = UnitCards.run, Endless(0), 0

    def measured(count: int) -> int:
        nonlocal pixels
        pixels = Endless(count)
        run_method("units", *KEYS)
        return peak

    def swapped(self: UnitCards, context: Context) -> Result:
        nonlocal peak
        names = tuple(f"{k}" for k in range(len(pixels)))
        facts = Facts(names=names, labels=None, sha256="", skipped=())
        images = ImageBatch(pixels=pixels, listed=len(pixels), source="", facts=lambda: facts)
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        result = original(self, replace(context, images=images))
        peak = tracemalloc.get_traced_memory()[1] - before
        return result

    monkeypatch.setattr(UnitCards, "run", swapped)
    tracemalloc.start()
    try:
        measured(16)  # compiles
        few, many = measured(32), measured(256)
    finally:
        tracemalloc.stop()
    assert pixels.most == 7
    # 224 more images are 0.7 MB, and two units' responses 0.1 MB.
    assert many - few < 10_000


def led(leaders: Leaders, found: np.ndarray, first: int) -> None:
    """Take in responses (N, U, places) of images from ``first``."""
    made = jax.jit(ranked)(found.swapaxes(1, 2))
    leaders.take({name: np.asarray(array) for name, array in made.items()}, first)


def test_batches_do_not_matter() -> None:
    found = np.random.default_rng(0).integers(-9, 9, (40, 3, 6)).astype(np.float32)
    found[20:] *= 13.7
    found[30, 1, 2] = 256  # on an edge, then and after each widening
    found[35, 1, 3] = 1000
    together, apart = Leaders.none(3, 4), Leaders.none(3, 4)
    led(together, found, 0)
    for start in range(0, 40, 8):
        led(apart, found[start : start + 8], start)
    for name in ("values", "images", "places", "bound"):
        np.testing.assert_array_equal(getattr(together, name), getattr(apart, name))
    np.testing.assert_array_equal(together.counts, apart.counts)
    for unit in range(3):
        assert apart.counts[unit].sum() == 240
        edges = np.linspace(-apart.bound[unit], apart.bound[unit], 129)
        np.testing.assert_array_equal(np.histogram(found[:, unit], edges)[0], apart.counts[unit])


def test_sums_of_other_settings_are_not_taken_for_these(run_method: Any, tmp_path: Any) -> None:
    more = [key for key in KEYS if ".keep=" not in key]
    kept = Kept(tmp_path, 1 << 30, "")
    (nine,) = cards(run_method("units", *more, f"{MINE}.keep=9", kept=kept))
    (two,) = cards(run_method("units", *more, f"{MINE}.keep=2", kept=kept))
    (again,) = cards(run_method("units", *more, f"{MINE}.keep=9", kept=kept))
    assert two.responses.shape[1] == 2
    np.testing.assert_array_equal(two.responses, nine.responses[:, :2])
    np.testing.assert_array_equal(again.responses, nine.responses)


def test_fewer_images_than_are_kept() -> None:
    leaders = Leaders.none(1, 4)
    led(leaders, np.zeros((2, 1, 3), np.float32), 0)
    assert np.isfinite(leaders.values).sum() == 2
    np.testing.assert_array_equal(leaders.images[0, :2], [0, 1])
    assert leaders.counts[0].sum() == 6


def test_what_is_not_finite_is_no_response() -> None:
    found = np.full((3, 2, 2), np.nan, np.float32)
    found[1, 0] = [np.inf, 2.0]
    leaders = Leaders.none(2, 2)
    led(leaders, found, 10)
    assert leaders.values.tolist() == [[2.0, -np.inf], [-np.inf, -np.inf]]
    assert (leaders.images[0, 0], leaders.places[0, 0]) == (11, 1)
    assert leaders.counts.sum(axis=1).tolist() == [1, 0]


def test_a_unit_without_a_finite_response(run_method: Any, lenet: Any) -> None:
    bias = np.array(lenet.parameters["conv2.bias"])
    bias[3] = np.nan
    model = lenet.with_parameters({**lenet.parameters, "conv2.bias": jnp.asarray(bias)})
    (block,) = cards(run_method("units", *KEYS, model=model))
    assert block.found.tolist() == [0, 5]
    assert np.isnan([block.largest[0], block.mean[0], block.sparsity[0]]).all()
    assert not block.dead.any()
    assert block.counts[0].sum() == 0
    assert (block.crops[0] == 255).all()
    assert (block.helped == -1).all()  # no logit is a number


def test_a_unit_that_is_not_there_is_refused(run_method: Any) -> None:
    with pytest.raises(ConfigError, match="conv1"):
        run_method("units", "layers=conv1", f"{MINE}.units=[99]")


def test_an_image_that_is_no_number_for_a_unit_does_not_count_for_it() -> None:
    totals = Totals.none(np.full(3, 4))
    for found in ([[1.0, -2, 3, 0], [0.5, np.nan, 9, 9]], [[-5.0, -6, -7, 2], [4.0, 4, np.inf, 1]]):
        one = np.asarray(found, np.float32)[:, :, None] * np.array([1, -1, 0.5], np.float32)
        totals.take(np.asarray(totals_of([jnp.asarray(one)])))
    np.testing.assert_array_equal(totals.finite, [8, 8, 8])
    np.testing.assert_allclose(totals.largest, [3, 7, 1.5])
    np.testing.assert_allclose(totals.mean, [-14 / 8, 14 / 8, -7 / 8])
    seen = np.array([1.0, -2, 3, 0, -5, -6, -7, 2])
    np.testing.assert_allclose(totals.deviation, seen.std() * np.array([1, 1, 0.5]), rtol=1e-6)
    np.testing.assert_allclose(totals.sparsity, [5 / 8, 4 / 8, 5 / 8])
    assert not totals.silent.any()
