"""The general ascent: against loops written out, and what its pictures do to the networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from reportgen.core.spec import InputSpec
from reportgen.engine.programs import compilations
from reportgen.engine.rows import Engine
from reportgen.methods.synthesis import fourier, objectives, procedure
from reportgen.methods.synthesis.objectives import Objective
from reportgen.methods.synthesis.plan import Plan, begin, plan
from reportgen.methods.synthesis.presets import ASCENTS, KINDS
from reportgen.models.base import Model
from reportgen.models.zoo.layers import Flatten, Relu
from tests.at_once import at_once

CHANNEL = Objective(kind="channel", path="conv2")
CLASS = Objective(kind="class")
STEPS = 48  # of all that start alike: what draws the start and all views is compiled for as many


def _plan(
    model: Model,
    preset: str,
    objective: Objective = CHANNEL,
    *,
    size: int = 28,
    images: int = 1,
    diversity: float = 0.0,
    spectrum: Any = (),
    **changes: Any,
) -> Plan:
    return plan(
        model,
        KINDS[preset],
        objective,
        {**ASCENTS[preset], **changes},
        (size, size),
        images=images,
        diversity=diversity,
        spectrum=spectrum,
    )


def _made(
    model: Model,
    plan: Plan,
    units: list[int],
    *,
    batch: int = 1,
    seed: int = 0,
    engine: Engine | None = None,
    **more: Any,
) -> procedure.Ascended:
    return procedure.synthesise(
        engine or Engine.local(16),
        model,
        plan,
        units,
        name="filters",
        key=jax.random.key(seed),
        batch=batch,
        advance=lambda count: None,
        **more,
    )


def _first(job: Plan, unit: int) -> np.ndarray:
    """The parameters that a unit's picture begins from."""

    def run(key: jax.Array) -> jax.Array:
        first = jax.random.split(procedure._keys(key, jnp.array([unit]), 1)[0], 3)[0]
        return begin(job.form.kind, job.form.size, first, job.start, job.amount)[None]

    return np.asarray(at_once(run, jax.random.key(0)))


@pytest.fixture(scope="module")
def digits_cnn(opened: Callable[..., Any]) -> Any:
    return opened("model=digits_cnn")


def test_keras_vis_by_hand(averaged: Model) -> None:
    """Its loop in NumPy: penalties of 0..255 pixels, RMSprop of the gradient over its RMS."""
    job = _plan(averaged, "keras_vis", CLASS, steps=6)
    made = _made(averaged, job, [3])
    first = _first(job, 3)
    np.testing.assert_allclose(first.mean(), 127.5, atol=2)
    np.testing.assert_allclose(first.std(), 0.05 * 255, rtol=0.05)

    def loss(x: jax.Array) -> jax.Array:
        score = averaged.apply(averaged.spec.normalise(x))[0][0, 3]
        norm = (x**6).sum() ** (1 / 6) / x.size
        here = x[:, :-1, :-1]
        variation = ((x[:, 1:, :-1] - here) ** 2 + (x[:, :-1, 1:] - here) ** 2).sum() / x.size
        return -score + 10 * norm + 10 * variation

    x, cache = first, 0.0
    best, best_x = np.inf, x
    slope = jax.jit(jax.value_and_grad(loss))
    for _ in range(6):
        value, gradient = slope(x)
        if value < best:
            best, best_x = float(value), x
        g = np.asarray(gradient)
        g = g / (np.sqrt((g**2).mean()) + 1e-7)
        cache = 0.95 * cache + 0.05 * g**2
        x = x - g / np.sqrt(cache + 1e-7)
    drawn = (best_x - best_x.mean()) / (best_x.std() + 1e-5) * 0.1 + 0.5
    np.testing.assert_allclose(made.pictures[0], 255 * drawn.clip(0, 1), atol=0.5)


def test_lucid_by_hand(averaged: Model) -> None:
    """Five steps with one shift for all: padding and cropping written out, Optax's Adam."""
    job = _plan(averaged, "lucid", steps=5, pad=6, jitter=(0, 0), zoom=(1.0,), rotate=(0.0,))
    assert job.form.canvas == (40, 40)
    made = _made(averaged, job, [2])
    x = _first(job, 2)
    rule = optax.adam(0.05)

    @jax.jit
    def run(model: Any, x: jax.Array, drawn: jax.Array) -> Any:
        def score(x: jax.Array) -> jax.Array:
            picture = fourier.pictures(x, (28, 28, 1))
            padded = jnp.pad(picture, ((0, 0), (6, 6), (6, 6), (0, 0)), constant_values=127.5)
            return model.activation("conv2", model.spec.normalise(padded))[0, ..., 2].mean()

        def step(_: int, state: Any) -> Any:
            x, state = state
            updates, state = rule.update(-jax.grad(score)(x), state)
            return x + updates, state

        x, _ = jax.lax.fori_loop(0, 5, step, (x, rule.init(x)))
        seen = model.activation("conv2", model.spec.normalise(drawn))
        return fourier.pictures(x, (28, 28, 1)), seen[0, ..., 2].mean()

    expected, reached = run(averaged, x, made.pictures[0])
    np.testing.assert_allclose(made.pictures[0], expected, atol=0.5)
    np.testing.assert_allclose(made.last[0, 0], reached, rtol=1e-4)


# By lucid a class is recognised in its picture in test_presets.py.
@pytest.mark.parametrize("network", ["lenet", pytest.param("digits_cnn", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "objective",
    [CHANNEL, pytest.param(CLASS, marks=pytest.mark.slow)],
    ids=["channel", "class"],
)
def test_pictures_score_far_above_their_start_and_above_noise(
    network: str, objective: Objective, request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(network)
    units = [0, 3, 7]
    made = _made(model, _plan(model, "lucid", objective, steps=STEPS), units)
    noise = np.random.default_rng(0).uniform(0, 255, (20, 28, 28, 1)).astype(np.float32)
    scored = jax.jit(lambda model, x, goal: objective.scores(model, x, goal, None)[0])
    for unit, first, last in zip(units, made.first[:, 0], made.last[:, 0], strict=True):
        scores = np.asarray(scored(model, noise, np.full(20, unit)))
        assert last > scores.max() + 3 * scores.std()
        assert last > first + 2 * scores.std()
    assert made.moved.all()
    assert made.pictures.std() > 20


# By keras_vis a picture is followed step by step above, by tf_keras_vis a neuron's is climbed
# below; the pieces of all are in test_ascent_pieces.py.
@pytest.mark.slow
@pytest.mark.parametrize("preset", ["keras_vis", "tf_keras_vis", "maco"])
def test_other_procedures_climb_too(preset: str, lenet: Model, digits: Any) -> None:
    few: dict[str, Any] = {
        # Its penalties are made for VGG16's logits, and LeNet's are a tenth of those.
        "keras_vis": {"tv_weight": 1.0, "lp_weight": 1.0},
        "tf_keras_vis": {},
        "maco": {"crops": 4, "box": (0.9, 0.5)},
    }[preset]
    job = _plan(lenet, preset, CLASS, steps=80, spectrum=digits.pixels[:20], **few)
    made = _made(lenet, job, [1, 6])
    assert (made.last > made.first + 5).all()


@pytest.mark.slow
def test_a_picture_depends_on_nothing_but_its_unit_and_key(lenet: Model) -> None:
    job = _plan(lenet, "lucid", steps=STEPS)
    base = _made(lenet, job, [1, 5, 7])
    np.testing.assert_array_equal(_made(lenet, job, [1, 5, 7]).pictures, base.pictures)
    mixed = _made(lenet, job, [7, 2, 5])
    np.testing.assert_array_equal(mixed.pictures[[2, 0]], base.pictures[1:])
    pairs = _made(lenet, job, [7, 2, 5], batch=2)
    np.testing.assert_allclose(pairs.pictures, mixed.pictures, atol=0.5)
    other = _made(lenet, job, [5], seed=1)
    assert np.abs(other.pictures[0] - base.pictures[1]).max() > 10


def test_one_compilation_serves_units_keys_and_numbers(lenet: Model) -> None:
    _made(lenet, _plan(lenet, "lucid", steps=STEPS), [1, 2])
    before = compilations()
    _made(lenet, _plan(lenet, "lucid", steps=STEPS, step_size=0.1), [4], seed=3)
    assert compilations() == before


@pytest.mark.slow
def test_images_of_one_unit_differ_where_diversity_asks_for_it(lenet: Model) -> None:
    @jax.jit
    def measured(model: Any, pictures: jax.Array) -> jax.Array:
        answers = model.activation("conv2", model.spec.normalise(pictures.reshape(-1, 28, 28, 1)))
        return objectives.sameness(answers.reshape(2, 2, -1, answers.shape[-1]))

    def alike(diversity: float) -> float:
        job = _plan(lenet, "lucid", steps=STEPS, images=2, diversity=diversity)
        made = _made(lenet, job, [3, 7])
        assert (made.last.mean(axis=1) > made.first.mean(axis=1)).all()
        return float(np.mean(measured(lenet, made.pictures)))

    without, slight, strong = alike(0.0), alike(1.0), alike(5.0)
    assert slight < without - 0.02
    assert strong < without - 0.2


def test_a_direction_is_climbed_and_an_axis_is_its_channel(lenet: Model) -> None:
    channels = lenet.layer("conv2").shape[-1]
    axes = np.eye(channels, dtype=np.float32)
    along = Objective(kind="direction", path="conv2")
    one = _made(lenet, _plan(lenet, "lucid", along, steps=STEPS), [2], vectors=axes)
    other = _made(lenet, _plan(lenet, "lucid", steps=STEPS), [2])
    np.testing.assert_allclose(one.pictures, other.pictures, atol=0.5)
    both = (axes[2] + axes[9])[None]
    made = _made(lenet, _plan(lenet, "lucid", along, steps=STEPS), [0], vectors=both)
    answers = jax.jit(lambda m, x: m.activation("conv2", m.spec.normalise(x)))
    maps = np.asarray(answers(lenet, made.pictures[0]))
    np.testing.assert_allclose(
        made.last[0, 0], maps[0, ..., [2, 9]].mean(axis=(1, 2)).sum(), rtol=1e-3
    )
    assert made.last[0, 0] > made.first[0, 0] + 0.5


def test_a_neuron_s_picture_is_grey_where_it_does_not_look(lenet: Model) -> None:
    """conv2 sees 14 of 28 pixels at one position."""
    job = _plan(
        lenet,
        "tf_keras_vis",
        Objective(kind="neuron", path="conv2", position=(0, 0)),
        steps=40,
        noise=0.0,
        jitter=(0, 0),
        rotate=(0.0,),
        tv_weight=0.0,
        lp_weight=0.0,
    )
    picture = _made(lenet, job, [4]).pictures[0, 0, ..., 0]
    assert picture[:14, :14].std() > 10
    np.testing.assert_array_equal(picture[14:], 127.5)
    np.testing.assert_array_equal(picture[:, 14:], 127.5)


def test_a_unit_that_nothing_reaches_is_led_to_its_response(model_of: Any) -> None:
    import flax.nnx as nnx

    class Dark(nnx.Module):
        """A rectifier that is shut for grey and dark pictures alike."""

        def __init__(self, *, rngs: nnx.Rngs) -> None:
            self.conv = nnx.Conv(1, 1, (3, 3), rngs=rngs)
            self.relu = Relu()
            self.flatten = Flatten()
            self.out = nnx.Linear(64, 2, rngs=rngs)

        def __call__(self, x: jax.Array) -> jax.Array:
            return self.out(self.flatten(self.relu(self.conv(x))))

    model = model_of(
        lambda rngs: Dark(rngs=rngs), InputSpec(height=8, width=8, channels=1, scale=1 / 255)
    )
    known = {"conv.kernel": jnp.ones((3, 3, 1, 1)), "conv.bias": jnp.array([-6.0])}
    model = model.with_parameters({**model.parameters, **known})
    relu = Objective(kind="channel", path="relu")
    common = {"size": 8, "steps": 20, "step_size": 8.0, "tv_weight": 0.0, "lp_weight": 0.0}
    plain = _made(model, _plan(model, "keras_vis", relu, redirect=0, **common), [0])
    assert not plain.moved.any()
    assert plain.last[0, 0] == 0
    led = _made(model, _plan(model, "keras_vis", relu, redirect=16, **common), [0])
    assert led.moved.all()
    assert led.last[0, 0] > 0.05


def test_the_network_s_own_size_where_it_takes_no_other(lenet: Model) -> None:
    assert _plan(lenet, "lucid", CLASS, size=40).form.seen == (28, 28)
    assert _plan(lenet, "lucid", CLASS, size=40).form.canvas == (52, 52)
    assert _plan(lenet, "lucid", CHANNEL, size=40).form.seen is None
    dense = Objective(kind="likeness", path="ip1")
    assert _plan(lenet, "lucid", dense, size=40).form.seen == (28, 28)
