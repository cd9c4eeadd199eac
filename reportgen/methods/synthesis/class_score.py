"""Ascent of one class's logit under regularisers, from small pictures to large ones.

Simonyan, Vedaldi, Zisserman: Deep Inside Convolutional Networks (2013), with the total variation
and Lp norm of keras-vis, jitter and sizes ("octaves") of DeepDream, and steps of one root mean
square as in Keras's filter synthesis instead of an optimiser with a state: at equal cost Adam gave
the embedded networks the same pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from reportgen.engine.rows import Engine
from reportgen.methods.draws import uniform
from reportgen.methods.synthesis.ascent import noise, unit_step
from reportgen.methods.synthesis.batches import Trial, at_once, batches
from reportgen.methods.synthesis.objectives import chosen
from reportgen.methods.synthesis.regularisers import lp_norm, total_variation
from reportgen.methods.synthesis.transforms import resize, roll
from reportgen.models.base import Model


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Penalties:
    """Numbers of the objective; all are traced, so that trying others compiles nothing.

    Attributes:
      tv_weight, lp_weight: logits given up for a total variation, or Lp norm, of 1; both are taken
        of the picture scaled to 0..1.
      lp: exponent of the norm, 1 or more.
      low, high: range that the pixels are kept in, within 0..255.
    """

    tv_weight: float
    lp_weight: float
    lp: float
    low: float
    high: float


class ClassImages(NamedTuple):
    """Pictures (N, H, W, C), 0..255, RGB or grey, and the logits (N, classes) they get."""

    pictures: np.ndarray
    logits: np.ndarray


@dataclass(frozen=True)
class Logits:
    """Logits (N, classes) of pictures (N, h, w, C), 0..255, seen at the network's size."""

    name: str = "class_images"

    def __call__(self, batch: int, model: Model, pictures: jax.Array) -> jax.Array:
        shown = resize(pictures, (model.spec.height, model.spec.width))
        return model.apply(model.spec.normalise(shown))[0].astype(jnp.float32)


@dataclass(frozen=True)
class LogitGradient:
    """Gradient of each picture's class logit by the picture as the network is shown it."""

    name: str = "class_images"

    def __call__(self, batch: int, model: Model, shown: jax.Array, classes: jax.Array) -> jax.Array:
        def total(x: jax.Array) -> jax.Array:
            logits = model.apply(model.spec.normalise(x))[0].astype(jnp.float32)
            return chosen(logits, classes).sum()

        return jax.grad(total)(shown)


@partial(jax.jit, static_argnames="shape")
def show(pixels: jax.Array, shifts: jax.Array, *, shape: tuple[int, int]) -> jax.Array:
    """Pictures (N, H, W, C) rolled down and right by their shifts (N, 2), at the network's size.

    The network sees them at its own size, whatever theirs: it may take no other, and a small
    picture would leave a deep network without a map. Enlarging small ones keeps them smooth.
    """
    return resize(roll(pixels, shifts), shape)


def penalty(pixels: jax.Array, penalties: Penalties) -> jax.Array:
    """(N,) logits that the pictures (N, H, W, C) give up."""
    scaled = pixels / 255
    norm = lp_norm(scaled, penalties.lp)
    return penalties.tv_weight * total_variation(scaled) + penalties.lp_weight * norm


@partial(jax.jit, donate_argnames="pixels")
def move(
    pixels: jax.Array,
    gradient: jax.Array,
    shifts: jax.Array,
    step_size: float,
    penalties: Penalties,
) -> jax.Array:
    """One step of ``step_size`` (root mean square, in pixels 0..255), kept in the range.

    It climbs logit(show(pixels)) - penalty(pixels). The network's part of the gradient comes in
    from outside, so that the network is compiled once and not again for every size.

    Args:
      gradient: of the logit by what ``show`` showed with these shifts.
    """
    _, back = jax.vjp(partial(show, shifts=shifts, shape=gradient.shape[1:3]), pixels)
    lost = jax.grad(lambda p: penalty(p, penalties).sum())(pixels)
    moved = pixels + unit_step(back(gradient)[0] - lost) * step_size
    return jnp.clip(moved, penalties.low, penalties.high)


@partial(jax.jit, static_argnames="shape")
def enlarge(pixels: jax.Array, penalties: Penalties, *, shape: tuple[int, int]) -> jax.Array:
    """To the next size, kept in the range (bicubic enlarging overshoots)."""
    return jnp.clip(resize(pixels, shape), penalties.low, penalties.high)


@partial(jax.jit, static_argnames=("shape", "steps"))
def begin(
    key: jax.Array,
    classes: jax.Array,
    start: float,
    amount: float,
    jitter: int,
    *,
    shape: tuple[int, int, int],
    steps: int,
) -> tuple[jax.Array, jax.Array]:
    """The first pictures (N, *shape), and shifts (steps, N, 2) of up to ``jitter`` pixels.

    All random numbers are drawn here, once: their generator is slow to compile, and a step is
    compiled for every size.
    """
    first, later = jax.random.split(key)

    def shifts(index: jax.Array) -> jax.Array:
        drawn = uniform(jax.random.fold_in(later, index), (steps, 2))
        # Not randint, whose second draw doubles the time to compile.
        return jnp.floor(drawn * (2 * jitter + 1)).astype(jnp.int32) - jitter

    return noise(first, classes, start, amount, shape), jax.vmap(shifts, out_axes=1)(classes)


def synthesise(
    engine: Engine,
    model: Model,
    classes: Sequence[int],
    penalties: Penalties,
    *,
    key: jax.Array,
    shapes: Sequence[tuple[int, int]],
    steps: int,
    step_size: float,
    start: float,
    amount: float,
    jitter: int,
    batch: int | None,
    advance: Callable[[int], None],
) -> ClassImages:
    """A picture for each class.

    Args:
      key: each class folds in its index, so that no picture depends on the others.
      shapes: (H, W) of the picture, smallest first; ``steps`` are climbed at each.
      start, amount: grey level and peak-to-peak noise of the first picture, 0..255.
      jitter: largest shift of a picture at each step, in its own pixels.
      batch: classes computed at once on each device; None for what is fastest.
      advance: told of every finished batch.
    """
    done, engine = [], engine.among(len(classes))
    seen, across = (model.spec.height, model.spec.width), len(engine.devices)

    def rows(size: int) -> tuple[jax.Array, jax.Array]:
        return jnp.zeros((size, *seen, model.spec.channels)), jnp.zeros(size, jnp.int32)

    trial = Trial(engine, LogitGradient(), model, rows, (model.architecture,))
    batch = min(at_once(batch, engine, len(classes), trial), -(-len(classes) // across))
    first = partial(begin, shape=(*shapes[0], model.spec.channels), steps=steps * len(shapes))
    shared = engine.everywhere(model)

    def climbed(part: np.ndarray) -> dict[str, np.ndarray]:
        index = engine.spread(jnp.asarray(part))
        pixels, drawn = first(key, index, start, amount, jitter)
        # To the host: taking a step's out of an array on a device costs as much as the step does.
        shifts = np.asarray(drawn)
        for number, shape in enumerate(shapes):
            pixels = enlarge(pixels, penalties, shape=shape)
            for step in range(number * steps, (number + 1) * steps):
                shown = show(pixels, shifts[step], shape=seen)
                gradient = engine.run(LogitGradient(), batch, shared, (shown, index))
                pixels = move(pixels, gradient, shifts[step], step_size, penalties)
        reached = engine.run(Logits(), batch, shared, (pixels,))
        return {"pictures": np.asarray(pixels), "logits": np.asarray(reached)}

    settings = (penalties, key, tuple(shapes), steps, step_size, start, amount, jitter)
    for part, wanted in batches(classes, batch * across):
        about = ("octaves", model, *settings, part, across)
        made = engine.recalled(about, partial(climbed, part))
        done.append([made[name][:wanted] for name in ClassImages._fields])
        advance(wanted)
    return ClassImages(*(np.concatenate(arrays) for arrays in zip(*done, strict=True)))
