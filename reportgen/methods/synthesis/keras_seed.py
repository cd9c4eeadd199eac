"""The filter synthesis of Keras's examples/conv_filter_visualization.py (2018), step by step.

The start is grey with a little noise. At each scale the picture climbs the gradient, divided by its
root mean square, and is then standardised, enlarged, and given back its former mean and deviation.
The last enlargement is not climbed again.

Deviations from the script:
  * Its ``deprocess_image`` standardises in place, so that its "former mean and standard deviation"
    are those of the standardised picture (0.5 and 0.25) and every scale after the first starts
    within 0..1. Here they are the former ones, as its own comments say.
  * Pictures stay float32 throughout; the script rounds to bytes at every scale.
  * Resizing does not clip: the bytes of the script do (overshoot at sharp edges, a few percent).
  * Pictures are RGB whatever the network's channel order; the script draws a BGR network's
    pictures with red and blue exchanged.
  * A first size at which the layer has no map is left out (``schedule.usable_sides``).
  * A filter is given up when its loss is no more than 1e-7 and nothing leads up from there, where
    the script gives up at the loss alone. For layers that contain their rectifier, as the
    script's do, that is the same; a layer without one may begin below zero and still be climbed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from reportgen.engine.ladder import Ladder, Rung
from reportgen.engine.rows import IN_FLIGHT, Engine
from reportgen.methods.synthesis.ascent import EPSILON, noise, unit_step
from reportgen.methods.synthesis.batches import Trial, batches
from reportgen.methods.synthesis.narrow import can_cut, cut
from reportgen.methods.synthesis.objectives import mean_activation
from reportgen.methods.synthesis.ranking import Ranking
from reportgen.methods.synthesis.transforms import resize, standardise, unstandardise
from reportgen.models.base import Model


class State(NamedTuple):
    """Pictures of N units on their way up, the rows that a ``Climb`` takes and returns.

    Attributes:
      units: (N,) channels.
      pixels: (N, s, s, C) in the unit of 0..255 pixels, not bounded.
      loss: (N,) before the last step; of a filter without response, where it was found so.
      alive: (N,) False once there was neither a response nor a gradient to one: a dead filter.
      step_size: (N,) of each.
    """

    units: jax.Array
    pixels: jax.Array
    loss: jax.Array
    alive: jax.Array
    step_size: jax.Array


class Filters(NamedTuple):
    """Synthesised filters of a layer.

    Attributes:
      pictures: (N, size, size, C) float32 in [0, 1], RGB or grey.
      loss: (N,) mean activation before the last step.
      alive: (N,) False for a filter without response; its picture is black.
      climbed: (N,) sizes. One that was left behind has none of the last; its picture is black too,
        and its loss that of its last size.
    """

    pictures: np.ndarray
    loss: np.ndarray
    alive: np.ndarray
    climbed: np.ndarray


@partial(jax.jit, static_argnames=("side", "channels"))
def begin(
    key: jax.Array,
    units: jax.Array,
    start: float,
    amount: float,
    step_size: float,
    *,
    side: int,
    channels: int,
) -> State:
    """Grey with a little noise."""
    count = len(units)
    pixels = noise(key, units, start, amount, (side, side, channels))
    alive, step = jnp.ones(count, bool), jnp.full(count, step_size, jnp.float32)
    return State(units, pixels, jnp.zeros(count), alive, step)


@dataclass(frozen=True, kw_only=True)
class Climb:
    """The program of one layer and size: its steps.

    One compilation serves all units and step sizes of a layer. The state stays in place from step
    to step, on the device.

    Attributes:
      path: the layer.
      narrow: for one unit, cut the layer down to it.
    """

    path: str
    steps: int
    subtract_mean: bool
    rectify: bool
    narrow: bool = False
    name: str = "filters"

    def __call__(self, batch: int, model: Model, *rows: jax.Array) -> State:
        state = State(*rows)
        channels = state.units
        if self.narrow and len(channels) == 1:
            model, channels = cut(model, self.path, channels[0]), jnp.zeros_like(channels)
        step = partial(self._step, model, channels)
        return jax.lax.fori_loop(0, self.steps, lambda _, below: step(below), state)

    def _step(self, model: Model, channels: jax.Array, state: State) -> State:
        """The pixels move by the step size times the gradient over its root mean square."""

        def losses(pixels: jax.Array) -> tuple[jax.Array, jax.Array]:
            x = model.spec.normalise(pixels, subtract_mean=self.subtract_mean)
            activation = model.activation(self.path, x).astype(jnp.float32)
            loss = plain = mean_activation(activation, channels, rectify=False)
            if self.rectify:
                loss = mean_activation(activation, channels, rectify=True)
            # Without any response the rectified mean has no gradient; the plain one leads to one.
            return jnp.where(loss > EPSILON, loss, plain).sum(), loss

        gradient, loss = jax.grad(losses, has_aux=True)(state.pixels)
        way_up = (gradient != 0).any(axis=(1, 2, 3))
        return state._replace(
            pixels=state.pixels + unit_step(gradient) * state.step_size[:, None, None, None],
            loss=jnp.where(state.alive, loss, state.loss),
            alive=state.alive & ((loss > EPSILON) | way_up) & ~jnp.isnan(loss),
        )


@dataclass(frozen=True, kw_only=True)
class Enlarge:
    """From one size to the next: the same program for all layers.

    Attributes:
      side: of the pictures that are returned.
      last: return finished pictures in [0, 1], black for a filter without response after all.
    """

    side: int
    last: bool
    name: str = "filters"

    def __call__(self, batch: int, model: Model, *rows: jax.Array) -> State:
        state = State(*rows)
        larger = resize(standardise(state.pixels), self.side)
        pixels = unstandardise(larger, state.pixels)
        if not self.last:
            return state._replace(pixels=pixels)
        alive = state.alive & (state.loss > EPSILON)
        pixels = jnp.where(alive[:, None, None, None], standardise(pixels), 0.0)
        return state._replace(pixels=pixels, alive=alive)


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to do for each unit of a layer.

    Attributes:
      sides: from ``schedule.sizes``; all but the last are climbed.
      start: grey level of the first picture, 0..255.
      noise: peak-to-peak noise of the first picture.
      subtract_mean: whether the network sees pixels less its mean (the script does not).
      rectify: whether negative activations count as none, once there is a positive one.
    """

    sides: tuple[int, ...]
    steps: int
    step_size: float
    start: float
    noise: float
    subtract_mean: bool
    rectify: bool

    def climb(self, path: str, *, narrow: bool = False) -> Climb:
        """The program that climbs; JAX compiles it for each size."""
        return Climb(
            path=path,
            steps=self.steps,
            subtract_mean=self.subtract_mean,
            rectify=self.rectify,
            narrow=narrow,
        )

    def programs(self, path: str, *, narrow: bool = False) -> list[tuple[Climb, Enlarge]]:
        """Those of each size, one behind the other."""
        climb, last = self.climb(path, narrow=narrow), len(self.sides) - 1
        return [
            (climb, Enlarge(side=side, last=number == last))
            for number, side in enumerate(self.sides[1:], 1)
        ]

    def begun(self, key: jax.Array, units: np.ndarray, size: int, channels: int) -> State:
        """States of some units (N,) at one of the sizes, before they climb."""
        side = self.sides[size]
        numbers = self.start, self.noise, self.step_size
        return begin(key, jnp.asarray(units), *numbers, side=side, channels=channels)


def synthesise(
    engine: Engine,
    model: Model,
    path: str,
    units: Sequence[int],
    job: Job,
    *,
    key: jax.Array,
    batch: int,
    advance: Callable[[int], None],
    ranking: Ranking | None = None,
) -> Filters:
    """The whole job for some units of one layer.

    The dead are given up after the first size, the unpromising where the ranking says so. Between
    sizes the pictures stay on the devices; only who goes on is decided here.

    Args:
      key: of the layer; each unit folds in its index, so that no picture depends on the others.
      batch: units computed at once on each device. One at a time, a convolution is cut down to its
        one unit.
      advance: told of every unit that is finished or given up.
      ranking: who goes on; None for all.
    """
    engine = engine.among(len(units))
    depth, across = model.spec.channels, len(engine.devices)
    chosen = np.asarray(units, np.int32)
    narrow = False
    if batch == 1:
        pixels = job.begun(key, chosen[:1], 0, depth).pixels
        x = model.spec.normalise(pixels, subtract_mean=job.subtract_mean)
        narrow = can_cut(model, path, units[0], x)
    programs = job.programs(path, narrow=narrow)
    made = Filters(
        np.zeros((len(units), job.sides[-1], job.sides[-1], depth), np.float32),
        *(np.zeros(len(units), kind) for kind in (np.float32, bool, np.int32)),
    )
    stages = _stages(len(programs), len(units), ranking)
    rungs = [
        Rung(program, min(batch, -(-most // across)))
        for first, stop, most in stages
        for pair in programs[first:stop]
        for program in pair
    ]
    climbing = np.arange(len(units))
    below: list[State] = []
    where: dict[int, tuple[int, int]] = {}
    with Ladder(engine, model, rungs) as ladder:
        for first, stop, _ in stages:
            parts = [*batches(climbing, ladder.size(2 * first))]
            if first == 0:
                states = (job.begun(key, chosen[full], 0, depth) for full, _ in parts)
            else:
                states = (_together(below, [where[i] for i in full]) for full, _ in parts)
            held, place = list[State](), dict[int, tuple[int, int]]()
            about = (model, path, job, key, narrow, rungs[2 * first].size, across, first, stop)
            names = [(*about, chosen[full]) for full, _ in parts]
            climbed = _climbed(engine, ladder, states, names, first, stop)
            for (full, count), state in zip(parts, climbed, strict=True):
                part = full[:count]
                made.loss[part], made.alive[part] = (
                    np.asarray(array)[:count] for array in (state.loss, state.alive)
                )
                made.climbed[part] = stop
                if stop == len(programs):
                    made.pictures[part] = np.asarray(state.pixels)[:count]
                    advance(count)
                else:
                    place |= {i: (len(held), row) for row, i in enumerate(part)}
                    held.append(state)
            below, where = held, place
            left = climbing[made.alive[climbing]]
            if ranking is not None:
                left = ranking.keeps(stop, left, made.loss[left])
            if stop < len(programs):
                advance(len(climbing) - len(left))
            climbing = left
            if not len(climbing):
                break
    if ranking is not None:
        engine.told += [
            f"filters of {path}: {line}"
            for line in ranking.told(climbing, made.loss[climbing], len(programs))
        ]
    return made


def trial(engine: Engine, model: Model, path: str, job: Job, key: jax.Array) -> Trial:
    """Two steps at the largest size, where most of the time goes."""
    last = len(job.sides) - 2
    return Trial(
        engine,
        replace(job.climb(path), steps=2),
        model,
        lambda size: job.begun(key, np.zeros(size, np.int32), last, model.spec.channels),
        (model.architecture, job.sides[last]),
    )


def _stages(sizes: int, count: int, ranking: Ranking | None) -> list[tuple[int, int, int]]:
    """Sizes from the first to before the second that at most so many units climb."""
    cuts = () if ranking is None else ranking.cuts
    stops = sorted({0, 1, sizes, *(cut.after for cut in cuts)})
    dropping = () if ranking is None or ranking.check else cuts
    return [
        (first, stop, min([count, *(cut.keep for cut in dropping if cut.after <= first)]))
        for first, stop in pairwise(stops)
    ]


def _climbed(
    engine: Engine,
    ladder: Ladder,
    states: Iterable[State],
    names: Iterable[tuple[Any, ...]],
    first: int,
    stop: int,
) -> Iterator[State]:
    """Every chunk's state at the end of some sizes, which have two rungs each.

    Args:
      names: what each chunk's state depends on.
    """

    def climb(state: State) -> dict[str, Any]:
        for number in range(2 * first, 2 * stop):
            state = State(*ladder.run(number, state))
        return state._asdict()

    waiting = deque[State]()
    for state, about in zip(states, names, strict=True):
        found = engine.recalled(about, partial(climb, state))
        waiting.append(State(**{name: jnp.asarray(part) for name, part in found.items()}))
        if len(waiting) >= IN_FLIGHT:
            yield waiting.popleft()
    yield from waiting


def _together(held: Sequence[State], places: Sequence[tuple[int, int]]) -> State:
    """The states at some places, chunk and row, as a chunk of their own."""
    chunk, rows = held[places[0][0]], [row for _, row in places]
    if {number for number, _ in places} == {places[0][0]} and rows == [*range(len(chunk.units))]:
        return chunk
    return _gathered(tuple(held[number] for number, _ in places), np.asarray(rows))


@jax.jit
def _gathered(sources: tuple[State, ...], rows: jax.Array) -> State:
    def stacked(*arrays: jax.Array) -> jax.Array:
        return jnp.stack([array[rows[i]] for i, array in enumerate(arrays)])

    return jax.tree.map(stacked, *sources)
