"""The programs of the general ascent: what all starts from, some steps, and pictures in the end.

What is optimised, what is shown, what is climbed and how a step is made are chosen by a ``Form``
and do not know of each other. One compilation serves all units, steps and keys of a layer at one
size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from reportgen.methods.draws import normal
from reportgen.methods.synthesis.ascent import unit_step
from reportgen.methods.synthesis.objectives import sameness
from reportgen.methods.synthesis.optimisers import ascending
from reportgen.methods.synthesis.plan import Form, Numbers, begin
from reportgen.methods.synthesis.presets import Kind
from reportgen.methods.synthesis.redirected import redirected
from reportgen.models.base import Model


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
