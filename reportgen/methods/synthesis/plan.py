"""What an ascent does, chosen from a preset's values before it starts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from reportgen.methods.synthesis import fourier, maco, regularisers, views
from reportgen.methods.synthesis.ascent import noise
from reportgen.methods.synthesis.objectives import Objective
from reportgen.methods.synthesis.presets import Kind
from reportgen.methods.synthesis.schedule import takes
from reportgen.methods.synthesis.transforms import resize, sample
from reportgen.models.base import Model


class Numbers(NamedTuple):
    """What of a procedure is traced, so that trying other values compiles nothing.

    Attributes:
      tv_weight, lp_weight: score given up for a penalty of 1, of pixels as 0..1.
      shake: deviation of the noise on what is shown, 0..255.
      diversity: share of the score given up for each other image of the unit that is alike.
    """

    step_size: float | jax.Array
    decay: float | jax.Array
    tv_weight: float | jax.Array
    lp_weight: float | jax.Array
    lp: float | jax.Array
    shake: float | jax.Array
    diversity: float | jax.Array


@dataclass(frozen=True, kw_only=True)
class Form:
    """What a step is compiled for.

    Attributes:
      size: (H, W, C) of the picture.
      canvas: (h, w) of a view of it.
      seen, whole: (h, w) that views, and whole pictures, are resized to; None where the network
        takes them as they are.
      wrap: beyond its border the picture begins again; else there is mid-grey.
      images: of each unit, made to differ.
    """

    kind: Kind
    objective: Objective
    size: tuple[int, int, int]
    canvas: tuple[int, int]
    seen: tuple[int, int] | None
    whole: tuple[int, int] | None
    wrap: bool
    penalised: bool
    shaken: bool
    images: int = 1

    def pictures(self, parameters: jax.Array, magnitude: jax.Array | None) -> jax.Array:
        """(N, H, W, C) in 0..255; of pixels not bounded."""
        if self.kind.parameterisation == "fourier":
            return fourier.pictures(parameters, self.size)
        if self.kind.parameterisation == "maco":
            assert magnitude is not None, "maco needs magnitudes"
            return maco.pictures(parameters, magnitude, self.size)
        return parameters

    def shown(self, pictures: jax.Array, maps: jax.Array) -> jax.Array:
        """Views (N V, h, w, C) as the network sees them."""
        seen = sample(pictures, maps, self.canvas, wrap=self.wrap)
        seen = seen.reshape(-1, *seen.shape[2:])
        return seen if self.seen is None else resize(seen, self.seen)

    def unchanged(self, pictures: jax.Array) -> jax.Array:
        """Whole pictures as the network sees them."""
        return pictures if self.whole is None else resize(pictures, self.whole)

    def penalty(self, pictures: jax.Array, numbers: Numbers) -> jax.Array:
        """(N,) score that pictures give up."""
        scaled = pictures / 255
        if self.kind.penalties == "keras_vis":
            variation = regularisers.total_variation(scaled)
            norm = regularisers.keras_vis_norm(scaled, numbers.lp)
        else:
            variation = regularisers.absolute_variation(scaled)
            norm = regularisers.lp_norm(scaled, numbers.lp)
        return numbers.tv_weight * variation + numbers.lp_weight * norm

    def finished(self, pictures: jax.Array) -> jax.Array:
        """As they are drawn, 0..255."""
        if self.kind.keep_best:
            centred = pictures - pictures.mean(axis=(1, 2, 3), keepdims=True)
            deviation = centred.std(axis=(1, 2, 3), keepdims=True)
            pictures = 255 * (centred / (deviation + 1e-5) * 0.1 + 0.5)
        return jnp.clip(pictures, 0, 255)


def begin(
    kind: Kind,
    size: tuple[int, int, int],
    key: jax.Array,
    start: float | jax.Array,
    amount: float | jax.Array,
) -> jax.Array:
    """The first parameters of one picture (H, W, C)."""
    if kind.parameterisation == "fourier":
        return fourier.begin(key, size)
    if kind.parameterisation == "maco":
        return maco.begin(key, size)
    return noise(key, jnp.zeros(1, jnp.int32), start, amount, size)[0]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A procedure with all that is chosen before it starts.

    Attributes:
      start, amount: grey level and peak-to-peak noise of the first pixels, 0..255.
      redirect: steps at which rectifiers may be redirected.
      maps: ``maps(key)`` draws the views of one picture, (steps, V, 2, 3); hashable.
      magnitude: mean magnitudes, for maco.
    """

    form: Form
    numbers: Numbers
    steps: int
    start: float
    amount: float
    redirect: int
    maps: Callable[[jax.Array], jax.Array]
    magnitude: jax.Array | None = None


def plan(
    model: Model,
    kind: Kind,
    objective: Objective,
    values: dict[str, Any],
    size: tuple[int, int],
    *,
    images: int = 1,
    diversity: float = 0.0,
    spectrum: Iterable[np.ndarray] = (),
) -> Plan:
    """The plan of a preset's resolved values for pictures of a size (H, W).

    Args:
      spectrum: images (H, W, C), 0..255, that maco takes magnitudes from.
    """
    spec = model.spec
    own = spec.height, spec.width
    steps = values["steps"]
    maps: Callable[[jax.Array], jax.Array]
    canvas: tuple[int, ...]
    if "crops" in values:
        canvas, wrap = own, True
        crops, box = values["crops"], tuple(values["box"])
        maps = _Maps(steps, (("count", crops), ("box", box), ("size", size), ("shown", own)))
    else:
        jitter = (*values["jitter"], 0)[:2]
        canvas = tuple(views.canvas(side, values["pad"], jitter) for side in size)
        wrap = values["pad"] == 0
        shift = ("jitter", jitter)
        turn = ("rotate", tuple(values["rotate"]))
        maps = _Maps(steps, (shift, ("zoom", tuple(values["zoom"])), turn))

    def fitted(shape: tuple[int, ...]) -> tuple[int, int] | None:
        as_it_is = objective.kind != "class" and takes(model, objective.path, shape)
        return None if as_it_is or shape == own else own

    magnitude = None
    if kind.parameterisation == "maco":
        magnitude = maco.magnitude(spectrum, *size)
    form = Form(
        kind=kind,
        objective=objective,
        size=(*size, spec.channels),
        canvas=(canvas[0], canvas[1]),
        seen=fitted(canvas),
        whole=fitted(size),
        wrap=wrap,
        penalised=bool(values["tv_weight"] or values["lp_weight"]),
        shaken=values["shake"] > 0,
        images=images,
    )
    numbers = Numbers(
        step_size=values["step_size"],
        decay=values.get("decay", 0.0),
        tv_weight=values["tv_weight"],
        lp_weight=values["lp_weight"],
        lp=values["lp"],
        shake=values["shake"],
        diversity=diversity,
    )
    return Plan(
        form=form,
        numbers=numbers,
        steps=steps,
        start=values.get("start", 0.0),
        amount=values.get("noise", 0.0),
        redirect=values["redirect"],
        maps=maps,
        magnitude=magnitude,
    )


@dataclass(frozen=True)
class _Maps:
    """Draws the views of one picture; equal ones are the same to a compiled function."""

    steps: int
    choices: tuple[tuple[str, Any], ...]

    def __call__(self, key: jax.Array) -> jax.Array:
        choices = dict(self.choices)
        if "count" in choices:
            return views.crops(key, self.steps, **choices)
        return views.drawn(key, self.steps, **choices)
