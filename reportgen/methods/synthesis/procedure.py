"""The general ascent: some parameters of a picture climb a score of what the network sees of it.

What is optimised, what is shown, what is climbed and how a step is made are chosen by a ``Form``
and do not know of each other. One compilation serves all units, steps and keys of a layer at one
size; the loop is Python's, since inside ``lax.scan`` XLA's CPU backend computes a convolution's
gradient several times slower.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from reportgen.methods.synthesis.ascent import unit_step
from reportgen.methods.synthesis.batches import batches
from reportgen.methods.synthesis.objectives import sameness
from reportgen.methods.synthesis.optimisers import ascending
from reportgen.methods.synthesis.plan import Form, Numbers, Plan
from reportgen.methods.synthesis.redirected import redirected
from reportgen.models.base import Model


class State(NamedTuple):
    """Pictures on their way up.

    Attributes:
      best, worth: of a procedure that keeps the best, its parameters and score less penalties.
      stuck: (N,) True where the score had no gradient at the last step.
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


@partial(jax.jit, static_argnames=("form", "maps"))
def begin(
    keys: jax.Array, numbers: Numbers, start: float, amount: float, *, form: Form, maps: Any
) -> tuple[State, jax.Array, jax.Array]:
    """States of N pictures, their views (steps, N, V, 2, 3) and a key each for what is shaken."""

    def one(key: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        first, view, shake = jax.random.split(key, 3)
        return form.begin(first, start, amount), maps(view), shake

    parameters, drawn, shakes = jax.vmap(one)(keys)
    keep = form.kind.keep_best
    no = jnp.zeros(len(keys), bool)
    state = State(
        parameters,
        ascending(form.kind.optimiser, numbers.step_size, numbers.decay).init(parameters),
        parameters if keep else None,
        jnp.full(len(keys), -jnp.inf) if keep else None,
        no,
        no,
    )
    return state, jnp.moveaxis(drawn, 1, 0), shakes


@partial(jax.jit, static_argnames="form")
def step(
    model: Model,
    state: State,
    goal: jax.Array,
    images: jax.Array | None,
    maps: jax.Array,
    keys: jax.Array,
    magnitude: jax.Array | None,
    numbers: Numbers,
    *,
    form: Form,
) -> State:
    """One step of N pictures.

    Args:
      goal: of each picture, as ``Objective.scores`` takes it.
      images: (N, H, W, C) to be like, shown in the same way as the picture.
      maps: views (N, V, 2, 3).
      keys: (N,) for the noise on what is shown.
    """
    pictures, back = jax.vjp(lambda p: form.pictures(p, magnitude), state.parameters)
    target = None if images is None else form.shown(images, maps)

    def total(pictures: jax.Array) -> tuple[jax.Array, jax.Array]:
        shown = form.shown(pictures, maps)
        if form.shaken:
            draw = partial(jax.random.normal, shape=(maps.shape[1], *shown.shape[1:]))
            shown += numbers.shake * jax.vmap(draw)(keys).reshape(shown.shape)
        scores = _scores(model, shown, goal, target, numbers.diversity, form)
        return scores.sum(), scores

    gradient, scores = jax.grad(total, has_aux=True)(pictures)
    passes = (gradient != 0).any(axis=(1, 2, 3))
    if form.penalised:
        lost, away = jax.vjp(lambda p: form.penalty(p, numbers), pictures)
        scores -= lost
        gradient -= away(jnp.ones_like(lost))[0]
    (climbed,) = back(gradient)
    if form.kind.unit_gradient:
        climbed = unit_step(climbed)
    rule = ascending(form.kind.optimiser, numbers.step_size, numbers.decay)
    updates, optimiser = rule.update(climbed, state.optimiser, state.parameters)
    best, worth = state.best, state.worth
    if best is not None and worth is not None:
        better = scores > worth
        best = jnp.where(better[:, None, None, None], state.parameters, best)
        worth = jnp.where(better, scores, worth)
    parameters = optax.apply_updates(state.parameters, updates)
    return State(parameters, optimiser, best, worth, ~passes, state.moved | passes)


def _scores(
    model: Model,
    shown: jax.Array,
    goal: jax.Array,
    target: jax.Array | None,
    diversity: float,
    form: Form,
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

    return redirected(evaluate, shown) if form.redirect else evaluate(shown)


@partial(jax.jit, static_argnames="form")
def finish(
    model: Model,
    parameters: jax.Array,
    goal: jax.Array,
    images: jax.Array | None,
    magnitude: jax.Array | None,
    *,
    form: Form,
) -> tuple[jax.Array, jax.Array]:
    """Pictures (N, H, W, C) as drawn, and their scores (N,), seen whole."""
    pictures = form.pictures(parameters, magnitude)
    drawn = form.finished(pictures)
    # What is standardised only to be drawn is scored as it was climbed.
    whole = form.unchanged(pictures if form.kind.keep_best else drawn)
    target = None if images is None else form.unchanged(images)
    return drawn, form.objective.scores(model, whole, goal, target)[0]


def synthesise(
    model: Model,
    plan: Plan,
    units: Sequence[int],
    *,
    key: jax.Array,
    batch: int,
    advance: Callable[[int], None],
    vectors: np.ndarray | None = None,
    images: np.ndarray | None = None,
) -> Ascended:
    """Pictures of some units.

    Args:
      units: channels, classes, or numbers of vectors or images.
      key: each unit folds in its index, each of its images its number, so that no picture depends
        on those of other units.
      batch: units computed at once.
      advance: told of every finished batch.
      vectors: (all units, C) for the objective ``direction``.
      images: (all units, H, W, C), 0..255, for the objective ``likeness``.
    """
    several = plan.form.images
    done = []
    for part, wanted in batches(units, batch):
        each = np.repeat(part, several)
        goal = jnp.asarray(each if vectors is None else vectors[each])
        like = None if images is None else jnp.asarray(images[each])
        keys = _keys(key, jnp.asarray(part), several)
        pictures, *others = _ascend(model, plan, goal, like, keys)
        shaped = [
            np.asarray(array).reshape(len(part), several, *array.shape[1:])[:wanted]
            for array in (pictures, *others)
        ]
        done.append(shaped)
        advance(wanted)
    return Ascended(*(np.concatenate(arrays) for arrays in zip(*done, strict=True)))


@partial(jax.jit, static_argnames="several")
def _keys(key: jax.Array, units: jax.Array, several: int) -> jax.Array:
    """(N M,) keys of M images of each unit."""
    numbers = jnp.tile(jnp.arange(several), len(units))
    fold = jax.vmap(jax.random.fold_in)
    own = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.repeat(units, several))
    return jnp.asarray(fold(own, numbers))


def _ascend(
    model: Model, plan: Plan, goal: jax.Array, like: jax.Array | None, keys: jax.Array
) -> tuple[jax.Array, ...]:
    """Pictures, their scores at the start and at the end, and whether they were moved."""
    form, numbers = plan.form, plan.numbers
    state, maps, shakes = begin(keys, numbers, plan.start, plan.amount, form=form, maps=plan.maps)
    end = partial(finish, model, goal=goal, images=like, magnitude=plan.magnitude, form=form)
    _, first = end(state.parameters)
    for number in range(plan.steps):
        noise_keys = _fold(shakes, number) if form.shaken else shakes
        arguments = goal, like, maps[number], noise_keys, plan.magnitude, numbers
        new = step(model, state, *arguments, form=form)
        if number < plan.redirect and bool(new.stuck.any()):
            new = step(model, state, *arguments, form=replace(form, redirect=True))
        state = new
    pictures, last = end(state.parameters if state.best is None else state.best)
    return pictures, first, last, state.moved


@jax.jit
def _fold(keys: jax.Array, number: int) -> jax.Array:
    return jax.vmap(lambda key: jax.random.fold_in(key, number))(keys)
