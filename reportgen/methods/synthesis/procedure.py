"""The general ascent: some parameters of a picture climb a score of what the network sees of it.

Its steps are programs (``programs.py``), several at a time, whose state stays in place on the
devices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from reportgen.engine.rows import Engine
from reportgen.methods.synthesis.batches import Trial, at_once, batches
from reportgen.methods.synthesis.plan import Numbers, Plan
from reportgen.methods.synthesis.programs import Begin, Climb, Finish, Shared, Start, State
from reportgen.models.base import Model

_STEPS = 16  # in one program: a person who interrupts waits for no more


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
