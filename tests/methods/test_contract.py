"""What holds for every method in conf/method: a new one is tested by being there."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reportgen.chosen import Chosen, chosen_methods
from reportgen.compose import options
from reportgen.config import read
from reportgen.core import results
from reportgen.core.report import Section
from reportgen.engine.kept import Kept
from reportgen.engine.rows import Engine
from reportgen.methods.base import Result
from tests.at_once import at_once

COUNT = 4  # images that maps are made of
# A layer that all methods of layers take, a seed that is not the default one, and no clock.
OVERRIDES = ("layers=conv1", "seed=3", "report.timings=false")
# Few steps, samples and units: what holds of some holds of many.
FEW = {
    "caricature": ("count=1", "steps=2", "preset=keras_vis"),
    "class_images": ("classes=[3,8]", "scales=0", "steps=2"),
    "deletion_insertion": ("count=2", "steps=4"),
    "filters": ("units=[1,5]", "scales=1", "steps=2"),
    "infidelity": ("count=2", "samples=6"),
    "integrated_gradients": ("steps=4",),
    "occlusion": ("patch=14", "stride=7"),
    "rise": ("masks=20",),
    "road": ("count=2", "percentiles=[20,60]"),
    "sanity_check": ("count=2", "stages=2"),
    "smoothgrad": ("samples=3",),
    "units": (
        "units=[1,5]",
        *("synthesis.preset=keras_seed", "synthesis.objective=channel"),
        *("synthesis.scales=1", "synthesis.steps=2"),
    ),
}


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, tuple):
        for part in value:
            yield from _leaves(part)
    elif is_dataclass(value):
        for field in fields(value):
            yield from _leaves(getattr(value, field.name))
    else:
        yield value


@pytest.fixture(scope="module")
def chosen(composed: Any) -> Chosen:
    """All methods, with the keys that make them do little."""
    names = options("method")
    few = [f"method.{name}.{key}" for name in names for key in FEW.get(name, ())]
    return chosen_methods(read(composed(f"method=[{','.join(names)}]", *few)), few)


@pytest.fixture(scope="module", params=options("method"))
def method(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """Where the first run keeps what it finished."""
    return Kept(tmp_path_factory.mktemp("kept"), 1 << 30, "")


@pytest.fixture(scope="module")
def run_few(run_method: Any, chosen: Chosen, averaged: Any) -> Any:
    """Run a method as every test here does; those that test maps test one method's.

    On a network that all methods take.
    """

    def run(method: str, **more: Any) -> Result:
        few = [f"method.{method}.{key}" for key in FEW.get(method, ())]
        if method in chosen.makers:
            few.append(f"method.{method}.count={COUNT}")
        keys = (*OVERRIDES, *few)
        result: Result = run_method(method, *keys, model=averaged, maps=("saliency",), **more)
        return result

    return run


@pytest.fixture(scope="module")
def run(method: str, run_few: Any) -> Any:
    return partial(run_few, method)


@pytest.fixture(scope="module")
def first(run: Any, kept: Kept) -> Result:
    result: Result = run(kept=kept)
    return result


def test_every_number_is_finite(first: Result) -> None:
    numbers = [leaf for leaf in _leaves(first.blocks) if isinstance(leaf, np.ndarray | float)]
    assert numbers
    assert all(np.isfinite(number).all() for number in numbers)
    assert all(math.isfinite(value) for value in first.metrics.values())


def test_there_are_blocks_and_they_survive_the_file(method: str, first: Result) -> None:
    assert first.blocks
    assert first.intro
    section = Section(method=method, title="t", blocks=first.blocks)
    adapter = results._adapter(Section)
    writer = results._Writer(method, section.blocks, {})
    data = adapter.dump_python(section, mode="json", context=writer)
    reader = results._Reader(lambda name: writer.arrays)
    back = adapter.validate_python(data, context=reader)
    for one, other in zip(_leaves(section.blocks), _leaves(back.blocks), strict=True):
        if isinstance(one, np.ndarray):
            np.testing.assert_array_equal(one, other)
        else:
            assert one == other


def test_the_same_seed_gives_the_same_bits_without_compiling_again(first: Result, run: Any) -> None:
    compiled: list[str] = []

    def listen(event: str, duration: float, **_: Any) -> None:
        if "backend_compile" in event:
            compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        second = run()
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    assert compiled == []
    _equal(first, second)


def test_a_run_that_was_killed_at_its_end_finds_all_it_had_made(
    first: Result, run: Any, kept: Kept, monkeypatch: Any
) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(Engine, "_asked", refuse)
    made = kept.made
    _equal(first, run(kept=kept))
    assert kept.made == made


def _equal(first: Result, second: Result) -> None:
    """To the bit."""
    for one, other in zip(_leaves(first.blocks), _leaves(second.blocks), strict=True):
        if isinstance(one, np.ndarray):
            assert (one.dtype, one.tobytes()) == (other.dtype, other.tobytes())
        else:
            assert one == other


def test_no_map_depends_on_the_order_of_images_or_on_others(
    method: str, first: Result, chosen: Chosen, digits: Any, averaged: Any
) -> None:
    """Two images in another order, among others."""
    assert (first.explained is not None) == (method in chosen.makers)
    if first.explained is None:
        return
    maps, targets, keys, explain = (
        getattr(first.explained, name) for name in ("maps", "targets", "keys", "explain")
    )
    assert len(maps) == COUNT
    x = np.asarray(averaged.spec.normalise(digits.pixels[: 2 * COUNT]))
    other_keys = jax.random.split(jax.random.key(8), COUNT)
    places, kept = np.array([1, 2]), np.array([3, 0])
    mixed = np.arange(COUNT) + COUNT
    mixed[places] = kept
    # As many as in the first run, so that nothing is compiled again.
    found = explain(
        averaged,
        x[mixed],
        np.where(mixed < COUNT, targets[mixed % COUNT], 7),
        jnp.concatenate([keys, other_keys])[mixed],
    )
    scale = np.abs(maps).max()
    np.testing.assert_allclose(found[places], maps[kept], rtol=0, atol=1e-4 * scale)


def test_no_map_depends_on_the_number_of_images(
    run_few: Any, chosen: Chosen, digits: Any, averaged: Any
) -> None:
    """One alone, by all methods that take several at once: in one program, which costs least."""
    makers = {name: chosen.methods[name] for name in chosen.makers}
    fitted = {name: m.fitted(averaged) for name, m in makers.items() if not m.many_runs}
    assert len(fitted) > 10
    together = {name: run_few(name).explained for name in fitted}

    def alone(model: Any, x: Any, given: Any) -> dict[str, Any]:
        return {name: m.explain(model, x, *given[name], 1).values for name, m in fitted.items()}

    given = {name: (made.targets[3:4], made.keys[3:4]) for name, made in together.items()}
    x = np.asarray(averaged.spec.normalise(digits.pixels[3:4]))
    found = at_once(alone, averaged, x, given)
    for name, made in together.items():
        scale = np.abs(made.maps).max()
        np.testing.assert_allclose(
            found[name], made.maps[3:4], rtol=0, atol=1e-4 * scale, err_msg=name
        )
