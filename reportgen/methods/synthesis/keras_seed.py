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

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from reportgen.methods.synthesis.ascent import EPSILON, noise, unit_step
from reportgen.methods.synthesis.batches import batches
from reportgen.methods.synthesis.narrow import can_cut, cut
from reportgen.methods.synthesis.objectives import mean_activation
from reportgen.methods.synthesis.transforms import resize, standardise, unstandardise
from reportgen.models.base import Model


class State(NamedTuple):
    """Pictures on their way up.

    Attributes:
      pixels: (N, s, s, C) in the unit of 0..255 pixels, not bounded.
      loss: (N,) before the last step; of a filter without response, where it was found so.
      alive: (N,) False once there was neither a response nor a gradient to one: a dead filter.
    """

    pixels: jax.Array
    loss: jax.Array
    alive: jax.Array


class Filters(NamedTuple):
    """Synthesised filters of a layer.

    Attributes:
      pictures: (N, size, size, C) float32 in [0, 1], RGB or grey.
      loss: (N,) mean activation before the last step.
      alive: (N,) False for a filter without response; its picture is black.
    """

    pictures: np.ndarray
    loss: np.ndarray
    alive: np.ndarray


@partial(jax.jit, static_argnames=("side", "channels"))
def begin(
    key: jax.Array,
    units: jax.Array,
    start: float,
    amount: float,
    *,
    side: int,
    channels: int,
) -> State:
    """Grey with a little noise."""
    pixels = noise(key, units, start, amount, (side, side, channels))
    return State(pixels, jnp.zeros(len(units)), jnp.ones(len(units), bool))


@partial(jax.jit, static_argnames=("path", "subtract_mean", "rectify"), donate_argnames=("state",))
def climb(
    model: Model,
    state: State,
    units: jax.Array,
    step_size: float,
    *,
    path: str,
    subtract_mean: bool,
    rectify: bool,
) -> State:
    """One step: the pixels move by ``step_size`` times the gradient over its root mean square.

    One compilation serves all units and steps of a layer at one size. The loop is Python's: inside
    ``lax.scan`` XLA's CPU backend computes a convolution's gradient several times slower.
    """

    def losses(pixels: jax.Array) -> tuple[jax.Array, jax.Array]:
        x = model.spec.normalise(pixels, subtract_mean=subtract_mean)
        activation = model.activation(path, x)
        loss = plain = mean_activation(activation, units, rectify=False)
        if rectify:
            loss = mean_activation(activation, units, rectify=True)
        # Without any response the rectified mean has no gradient; the plain one leads to one.
        return jnp.where(loss > EPSILON, loss, plain).sum(), loss

    gradient, loss = jax.grad(losses, has_aux=True)(state.pixels)
    way_up = (gradient != 0).any(axis=(1, 2, 3))
    return State(
        state.pixels + unit_step(gradient) * step_size,
        jnp.where(state.alive, loss, state.loss),
        state.alive & ((loss > EPSILON) | way_up) & ~jnp.isnan(loss),
    )


@partial(jax.jit, static_argnames="side")
def enlarge(state: State, *, side: int) -> State:
    """To the next size, with mean and deviation kept."""
    larger = resize(standardise(state.pixels), side)
    return state._replace(pixels=unstandardise(larger, state.pixels))


@jax.jit
def finish(state: State) -> State:
    """Pictures in [0, 1]; black for a filter that has no response after all."""
    alive = state.alive & (state.loss > EPSILON)
    pixels = jnp.where(alive[:, None, None, None], standardise(state.pixels), 0.0)
    return state._replace(pixels=pixels, alive=alive)


@partial(jax.jit, static_argnames="path")
def _activation(model: Model, x: jax.Array, *, path: str) -> jax.Array:
    return model.activation(path, x)


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


def synthesise(
    model: Model,
    path: str,
    units: Sequence[int],
    job: Job,
    *,
    key: jax.Array,
    batch: int,
    advance: Callable[[int], None],
) -> Filters:
    """The whole job for some units of one layer.

    Args:
      key: of the layer; each unit folds in its index, so that no picture depends on the others.
      batch: units computed at once. One at a time, a convolution is cut down to its one unit.
      advance: told of every finished batch.
    """
    first = partial(begin, key, side=job.sides[0], channels=model.spec.channels)
    narrow = False
    if batch == 1:
        pixels = first(jnp.asarray(units[:1]), job.start, job.noise).pixels
        x = model.spec.normalise(pixels, subtract_mean=job.subtract_mean)
        narrow = can_cut(model, path, units[0], x, _activation)
    done = []
    for part, wanted in batches(units, batch):
        chosen = jnp.asarray(part)
        state = first(chosen, job.start, job.noise)
        if narrow:
            state = ascend(cut(model, path, chosen[0]), path, state, jnp.zeros_like(chosen), job)
        else:
            state = ascend(model, path, state, chosen, job)
        done.append([np.asarray(array)[:wanted] for array in state])
        advance(wanted)
    return Filters(*(np.concatenate(arrays) for arrays in zip(*done, strict=True)))


def ascend(model: Model, path: str, state: State, channels: jax.Array, job: Job) -> State:
    """Through all sizes; the pixels that come back are finished pictures, black for the dead."""
    for side in job.sides[1:]:
        for _ in range(job.steps):
            state = climb(
                model,
                state,
                channels,
                job.step_size,
                path=path,
                subtract_mean=job.subtract_mean,
                rectify=job.rectify,
            )
        # A filter without response shows it at once; the large sizes are spared it.
        if not state.alive.any():
            count, *_, depth = state.pixels.shape
            return state._replace(pixels=jnp.zeros((count, job.sides[-1], job.sides[-1], depth)))
        state = enlarge(state, side=side)
    return finish(state)
