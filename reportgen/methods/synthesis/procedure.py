"""The general ascent: some parameters of a picture climb a score of what the network sees of it.

What is optimised, what is shown, what is climbed and how a step is made are chosen by a ``Form``
and do not know of each other. One compilation serves all units, steps and keys of a layer at one
size. Several steps are one program, whose state stays in place on the devices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from reportgen.engine.rows import Engine
from reportgen.methods.draws import normal
from reportgen.methods.synthesis.ascent import unit_step
from reportgen.methods.synthesis.batches import Trial, at_once, batches
from reportgen.methods.synthesis.objectives import sameness
from reportgen.methods.synthesis.optimisers import ascending
from reportgen.methods.synthesis.plan import Form, Numbers, Plan, begin
from reportgen.methods.synthesis.presets import Kind
from reportgen.methods.synthesis.redirected import redirected
from reportgen.models.base import Model

_STEPS = 16  # in one program: a person who interrupts waits for no more


class Start(NamedTuple):
    """Grey level and peak-to-peak noise of the first pixels, 0..255."""

    start: jax.Array
    amount: jax.Array


class Shared(NamedTuple):
    """What all pictures share.

    Attributes:
      first, stop: steps from the first to before the second are climbed.
    """

    model: Model
    numbers: Numbers
    magnitude: jax.Array | None
    first: jax.Array
    stop: jax.Array


class State(NamedTuple):
    """Pictures on their way up.

    Attributes:
      best, worth: of a procedure that keeps the best, its parameters and score less penalties.
      stuck: (N,) True once the score had no gradient at a step.
      moved: (N,) True once it had one.
    """

    parameters: jax.Array
    optimiser: Any
    best: jax.Array | None
    worth: jax.Array | None
    stuck: jax.Array
    moved: jax.Array


class Ascended(NamedTuple):
    """What an ascent made: N units of M images each.

    Attributes:
      pictures: (N, M, H, W, C), 0..255, as drawn.
      first, last: (N, M) scores of the start and of the end, seen whole and without any penalty.
      moved: (N, M) False where the score had no gradient at any step.
    """

    pictures: np.ndarray
    first: np.ndarray
    last: np.ndarray
    moved: np.ndarray


@dataclass(frozen=True)
class Begin:
    """The program that draws what all starts from. It knows no network: one serves all layers."""

    kind: Kind
    size: tuple[int, int, int]
    maps: Callable[[jax.Array], jax.Array]
    name: str

    def __call__(
        self, batch: int, shared: Start, keys: jax.Array
    ) -> tuple[State, jax.Array, jax.Array]:
        """States of N pictures, their views (N, steps, V, 2, 3), and a key for shakes."""

        def one(key: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
            first, view, shake = jax.random.split(key, 3)
            parameters = begin(self.kind, self.size, first, shared.start, shared.amount)
            return parameters, self.maps(view), shake

        parameters, drawn, shakes = jax.vmap(one)(keys)
        keep = self.kind.keep_best
        # What an optimiser starts from does not depend on its step size.
        rule = ascending(self.kind.optimiser, 0.0, 0.0)
        no = jnp.zeros(len(keys), bool)
        state = State(
            parameters,
            jax.vmap(rule.init)(parameters),
            parameters if keep else None,
            jnp.full(len(keys), -jnp.inf) if keep else None,
            no,
            no,
        )
        return state, drawn, shakes


@dataclass(frozen=True)
class Climb:
    """The program of some steps.

    Attributes:
      redirect: where a picture's score has no gradient, let rectifiers pass what would open them.
    """

    form: Form
    redirect: bool
    name: str

    def __call__(
        self,
        batch: int,
        shared: Shared,
        state: State,
        maps: jax.Array,
        shakes: jax.Array,
        goal: jax.Array,
        images: jax.Array | None,
    ) -> State:
        """States of N pictures, steps ``shared.first`` to before ``shared.stop`` later.

        Args:
          maps: views (N, 16, V, 2, 3) of the steps from the first on.
          shakes: (N,) keys for the noise on what is shown.
          goal: of each picture, as ``Objective.scores`` takes it.
          images: (N, H, W, C) to be like, shown in the same way as the picture.
        """

        def step(number: jax.Array, state: State) -> State:
            keys = jax.vmap(jax.random.fold_in, (0, None))(shakes, number)
            return self._step(shared, state, goal, images, maps[:, number - shared.first], keys)

        return jax.lax.fori_loop(shared.first, shared.stop, step, state)

    def _step(
        self,
        shared: Shared,
        state: State,
        goal: jax.Array,
        images: jax.Array | None,
        maps: jax.Array,
        keys: jax.Array,
    ) -> State:
        form, numbers = self.form, shared.numbers
        pictures, back = jax.vjp(lambda p: form.pictures(p, shared.magnitude), state.parameters)
        target = None if images is None else form.shown(images, maps)

        def total(pictures: jax.Array, *, redirect: bool) -> tuple[jax.Array, jax.Array]:
            shown = form.shown(pictures, maps)
            if form.shaken:
                draw = partial(normal, shape=(maps.shape[1], *shown.shape[1:]))
                shown += numbers.shake * jax.vmap(draw)(keys).reshape(shown.shape)
            scores = _scores(
                shared.model, shown, goal, target, numbers.diversity, form, redirect=redirect
            )
            return scores.sum(), scores

        gradient, scores = jax.grad(partial(total, redirect=False), has_aux=True)(pictures)
        stuck = ~(gradient != 0).any(axis=(1, 2, 3))
        passes = ~stuck
        if self.redirect:
            other, _ = jax.grad(partial(total, redirect=True), has_aux=True)(pictures)
            gradient = jnp.where(stuck[:, None, None, None], other, gradient)
            passes = (gradient != 0).any(axis=(1, 2, 3))
        if form.penalised:
            lost, away = jax.vjp(lambda p: form.penalty(p, numbers), pictures)
            scores -= lost
            gradient -= away(jnp.ones_like(lost))[0]
        (climbed,) = back(gradient)
        if form.kind.unit_gradient:
            climbed = unit_step(climbed)
        rule = ascending(form.kind.optimiser, numbers.step_size, numbers.decay)
        updates, optimiser = jax.vmap(rule.update)(climbed, state.optimiser, state.parameters)
        best, worth = state.best, state.worth
        if best is not None and worth is not None:
            better = scores > worth
            best = jnp.where(better[:, None, None, None], state.parameters, best)
            worth = jnp.where(better, scores, worth)
        parameters = optax.apply_updates(state.parameters, updates)
        stuck, moved = state.stuck | stuck, state.moved | passes
        return State(parameters, optimiser, best, worth, stuck, moved)


def _scores(
    model: Model,
    shown: jax.Array,
    goal: jax.Array,
    target: jax.Array | None,
    diversity: float | jax.Array,
    form: Form,
    *,
    redirect: bool,
) -> jax.Array:
    """(N,) mean over each picture's views, less what images of one unit have in common."""
    count = len(goal)
    every = len(shown) // count
    wanted = jnp.repeat(goal, every, axis=0)

    def evaluate(x: jax.Array) -> jax.Array:
        scores, activation = form.objective.scores(model, x, wanted, target)
        scores = scores.reshape(count, every).mean(axis=1)
        if form.images > 1 and activation is not None:
            channels = activation.shape[-1]
            together = activation.reshape(count // form.images, form.images, -1, channels)
            # In the scores' own unit, which networks and layers have each another of.
            unit = jnp.abs(jax.lax.stop_gradient(scores)).reshape(-1, form.images).mean(axis=1)
            scores -= diversity * (unit[:, None] * sameness(together)).reshape(count)
        return scores

    return redirected(evaluate, shown) if redirect else evaluate(shown)


@dataclass(frozen=True)
class Finish:
    """The program that makes pictures of parameters."""

    form: Form
    name: str

    def __call__(
        self,
        batch: int,
        shared: Shared,
        parameters: jax.Array,
        goal: jax.Array,
        images: jax.Array | None,
    ) -> tuple[jax.Array, jax.Array]:
        """Pictures (N, H, W, C) as drawn, and their scores (N,), seen whole."""
        form = self.form
        pictures = form.pictures(parameters, shared.magnitude)
        drawn = form.finished(pictures)
        # What is standardised only to be drawn is scored as it was climbed.
        whole = form.unchanged(pictures if form.kind.keep_best else drawn)
        target = None if images is None else form.unchanged(images)
        return drawn, form.objective.scores(shared.model, whole, goal, target)[0]


@dataclass(frozen=True)
class _Job:
    """A plan with all that it needs, on the devices."""

    engine: Engine
    plan: Plan
    start: Start
    shared: Shared
    name: str

    def made(
        self,
        key: jax.Array,
        units: np.ndarray,
        goal: np.ndarray,
        images: np.ndarray | None,
        size: int,
    ) -> dict[str, np.ndarray]:
        """The whole ascent of some units, as ``Ascended`` names it, (N M, …)."""
        to, like = jnp.asarray(goal), None if images is None else jnp.asarray(images)
        keys = _keys(key, jnp.asarray(units), len(goal) // len(units))
        state, maps, shakes = self.begun(keys, size)
        _, first = self.finished(state, to, like, size)
        state = self.climbed(state, (maps, shakes, to, like), size)
        pictures, last = self.finished(state, to, like, size)
        made = {"pictures": pictures, "first": first, "last": last, "moved": state.moved}
        return {name: np.asarray(array) for name, array in made.items()}

    def begun(self, keys: jax.Array, size: int) -> tuple[State, jax.Array, jax.Array]:
        begun: tuple[State, jax.Array, jax.Array] = self.engine.run(
            self._begin, size, self.start, (keys,)
        )
        return begun

    def climbed(self, below: State, rest: tuple[Any, ...], size: int) -> State:
        """Through all steps. Where rectifiers must be redirected, the first are made again so."""
        steps, few = self.plan.steps, min(self.plan.redirect, self.plan.steps)
        state = self._steps(below, rest, size, 0, few)
        if few and bool(state.stuck.any()):
            state = self._steps(below, rest, size, 0, few, redirect=True)
        return self._steps(state, rest, size, few, steps)

    def finished(self, state: State, goal: Any, images: Any, size: int) -> Any:
        parameters = state.parameters if state.best is None else state.best
        program = Finish(self.plan.form, self.name)
        return self.engine.run(program, size, self.shared, (parameters, goal, images))

    def trial(self, several: int, vectors: np.ndarray | None, images: np.ndarray | None) -> Trial:
        """Two steps of the first unit, as often as asked for."""
        plan, shared = self.plan, self.shared._replace(stop=jnp.int32(2))

        def rows(size: int) -> Any:
            each = np.zeros(size * several, np.int32)
            goal = jnp.asarray(each if vectors is None else vectors[each])
            like = None if images is None else jnp.asarray(images[each])
            keys = _keys(jax.random.key(0), jnp.zeros(size, jnp.int32), several)
            state, maps, shakes = jax.jit(partial(self._begin, size))(self.start, keys)
            return state, maps[:, np.arange(_STEPS) % plan.steps], shakes, goal, like

        program = Climb(plan.form, redirect=False, name=self.name)
        return Trial(self.engine, program, shared, rows, (shared.model.architecture, several))

    @property
    def _begin(self) -> Begin:
        form = self.plan.form
        return Begin(form.kind, form.size, self.plan.maps, self.name)

    def _steps(
        self,
        state: State,
        rest: tuple[Any, ...],
        size: int,
        first: int,
        stop: int,
        *,
        redirect: bool = False,
    ) -> State:
        program = Climb(self.plan.form, redirect=redirect, name=self.name)
        maps, *others = rest
        for low in range(first, stop, _STEPS):
            end = min(low + _STEPS, stop)
            shared = self.shared._replace(first=jnp.int32(low), stop=jnp.int32(end))
            now = maps[:, np.minimum(low + np.arange(_STEPS), self.plan.steps - 1)]
            state = self.engine.run(program, size, shared, (state, now, *others))
            if self.engine.on_cpu:  # so that a person can interrupt between
                jax.block_until_ready(state)
        return state


def synthesise(
    engine: Engine,
    model: Model,
    plan: Plan,
    units: Sequence[int],
    *,
    name: str,
    key: jax.Array,
    batch: int | None,
    advance: Callable[[int], None],
    vectors: np.ndarray | None = None,
    images: np.ndarray | None = None,
) -> Ascended:
    """Pictures of some units.

    Args:
      units: channels, classes, or numbers of vectors or images.
      name: of the method.
      key: each unit folds in its index, each of its images its number, so that no picture depends
        on those of other units.
      batch: units computed at once on each device; None for what is fastest.
      advance: told of every finished batch.
      vectors: (all units, C) for the objective ``direction``.
      images: (all units, H, W, C), 0..255, for the objective ``likeness``.
    """
    several, engine = plan.form.images, engine.among(len(units))
    numbers = Numbers(*(jnp.float32(number) for number in plan.numbers))
    none = jnp.int32(0)
    start = engine.everywhere(Start(jnp.float32(plan.start), jnp.float32(plan.amount)))
    shared = Shared(engine.everywhere(model), numbers, plan.magnitude, none, none)
    shared = engine.everywhere(shared)
    job = _Job(engine, plan, start, shared, name)
    across = len(engine.devices)
    batch = at_once(batch, engine, len(units), job.trial(several, vectors, images))
    batch = min(batch, -(-len(units) // across))
    size = batch * several
    done = []
    for part, wanted in batches(units, batch * across):
        each = np.repeat(part, several)
        goal = each if vectors is None else vectors[each]
        like = None if images is None else images[each]
        about = (plan, name, model, several, key, part, goal, like, size, across)
        made = engine.recalled(about, partial(job.made, key, part, goal, like, size))
        shaped = (made[field] for field in Ascended._fields)
        done.append(
            [a.reshape(len(part), several, *a.shape[1:])[:wanted] for a in shaped],
        )
        advance(wanted)
    return Ascended(*(np.concatenate(arrays) for arrays in zip(*done, strict=True)))


@partial(jax.jit, static_argnames="several")
def _keys(key: jax.Array, units: jax.Array, several: int) -> jax.Array:
    """(N M,) keys of M images of each unit."""
    numbers = jnp.tile(jnp.arange(several), len(units))
    fold = jax.vmap(jax.random.fold_in)
    own = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.repeat(units, several))
    return jnp.asarray(fold(own, numbers))
