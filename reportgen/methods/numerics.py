"""One image by the program that reports run, and by the same network without what made it fast.

Compiled programs are fused, and on a CPU rewritten in other operations (``rewrite/cpu.py``). Beside
them the network runs as it is written: in the same float32, each operation by itself, and in
float64, which shows what rounding does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from reportgen.core.errors import NotApplicableError
from reportgen.methods.answers import pixels
from reportgen.methods.survey import Survey, has_units
from reportgen.models.base import Model
from reportgen.rewrite.compat import CALLS, ClosedJaxpr, JaxprEqn, bind
from reportgen.rewrite.inline import retraced
from reportgen.rewrite.interpreter import walk

LOGITS, GRADIENT = "logits", "gradient by the input"

Made = dict[str, np.ndarray]


class Off(NamedTuple):
    """How far numbers are from others, as shares of the largest of these.

    Attributes:
      largest: of all differences.
      median: of those where not both numbers are zero.
    """

    largest: float
    median: float


@dataclass(frozen=True, kw_only=True)
class Compared:
    """An array of the compiled program beside those of the network as it is written.

    Attributes:
      where: ``LOGITS``, a layer's path or ``GRADIENT``. ``layer``: it is a layer's.
      plain: beside float32.
      exact: beside float64, or why that was not run.
      jumps: it is a gradient, which rounding changes much in a few places: where it takes a value
        across a rectifier's kink, or makes another one of two equal maxima the first.
    """

    where: str
    plain: Off
    exact: Off | str
    layer: bool
    jumps: bool


@dataclass(frozen=True)
class Probe:
    """Logits, a layer's activations, and a gradient by the input, of pixels (N, H, W, C).

    Rows are pixels, and of each the weights (N, classes) of the logits that are differentiated. The
    arrays are named ``LOGITS``, by the path and ``GRADIENT``.
    """

    path: str
    name: str = "numerics"

    def __call__(
        self, batch: int, model: Model, pixels: jax.Array, weights: jax.Array
    ) -> dict[str, jax.Array]:
        def scored(x: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
            logits, activations = model.apply(x)
            return (logits * weights).sum(), {LOGITS: logits, self.path: activations[self.path]}

        gradient, made = jax.grad(scored, has_aux=True)(model.spec.normalise(pixels))
        return {**made, GRADIENT: gradient}


def compared(survey: Survey) -> tuple[Compared, ...]:
    """The first image's logits, activations of a layer in the middle, and a gradient by the input.

    Differentiated is the highest logit. All is computed anew in every run: nothing is kept.

    Raises:
      NotApplicableError: without images, for a network that computes with fewer than 32 bits, or
        one that cannot run as it is written.
    """
    if not survey.images.listed:
        raise NotApplicableError("There are no images.")
    model, engine = survey.model, survey.engine
    if narrow := _narrow(model):
        raise NotApplicableError(f"The network computes in {narrow}, which rounds too coarsely.")
    best = survey.seen.logits[0].argmax()
    rows = (*pixels(survey.images)(0, 1), np.eye(len(model.classes), dtype=np.float32)[[best]])
    probe = Probe(_middle(model))
    if not engine.on_cpu:
        model = model.rewritten(_precise)
    (chunk,) = engine.map(probe, model, lambda start, stop: rows, 1, keep=False)
    plain = _as_written(probe, model, rows, np.float32)
    exact: Made | str = "there is too little memory"
    if _bytes(model) <= engine.budget:
        exact = _as_written(probe, model, rows, np.float64)
    if isinstance(plain, str):
        raise NotApplicableError(f"Without compilation the network does not run: {plain}.")
    return tuple(
        Compared(
            where=name,
            plain=off(chunk.made[name], plain[name]),
            exact=exact if isinstance(exact, str) else off(chunk.made[name], exact[name]),
            layer=name == probe.path,
            jumps=name == GRADIENT,
        )
        for name in dict.fromkeys((LOGITS, probe.path, GRADIENT))
    )


def off(got: np.ndarray, right: np.ndarray) -> Off:
    """How far numbers are from the right ones; what is not finite has to be so in both."""
    got, right = np.asarray(got, np.float64), np.asarray(right, np.float64)
    finite = np.isfinite(right)
    if not np.array_equal(finite, np.isfinite(got)):
        return Off(math.inf, math.inf)
    got, right = got[finite], right[finite]
    counted = np.abs(got - right)[(got != 0) | (right != 0)]
    if not counted.size:
        return Off(0.0, 0.0)
    largest = np.abs(right).max() or np.abs(got).max()
    return Off(float(counted.max() / largest), float(np.median(counted) / largest))


def _middle(model: Model) -> str:
    """Of the layers with trained parameters, the middle one; of all where none has any."""
    layers = [layer for layer in model.layers if has_units(layer)] or list(model.layers)
    trained = [layer for layer in layers if layer.parameter_count] or layers
    return trained[len(trained) // 2].path


def _narrow(model: Model) -> str:
    """A type of fewer than 32 bits that the network has floating-point numbers of, if any."""
    for eqn in walk(model.traced().jaxpr):
        for variable in eqn.outvars:
            dtype = getattr(variable.aval, "dtype", None)
            if dtype and jnp.issubdtype(dtype, jnp.floating) and dtype.itemsize < 4:
                return str(dtype)
    return ""


def _bytes(model: Model) -> int:
    """What a gradient in float64 takes, about: of each layer some values are kept until the end."""
    activations = sum(math.prod(layer.shape) for layer in model.layers)
    return 8 * (2 * model.parameter_count + 6 * activations)


def _as_written(
    probe: Probe, model: Model, rows: tuple[np.ndarray, ...], dtype: type[np.floating[Any]]
) -> Made | str:
    """What the probe gives of a network in this type; or why it gives nothing.

    In float32 each operation is compiled by itself. In float64 the program is compiled as a whole,
    which takes a third of the time: a fault of the compiler's shows beside float32.
    """
    rewriting = _alone if model.rewriting is None else _precise_alone
    plain = replace(model, kernels=None, prepared=(), rewriting=rewriting)
    wide = dtype == np.float64
    try:
        with jax.enable_x64(wide), jax.disable_jit(not wide):
            given = {
                name: jnp.asarray(array, dtype)
                if jnp.issubdtype(array.dtype, jnp.floating)
                else array
                for name, array in model.parameters.items()
            }
            plain = replace(plain, parameters=given)
            made = jax.jit(probe, static_argnums=0)(1, plain, *(row.astype(dtype) for row in rows))
            found = {name: np.asarray(array) for name, array in made.items()}
    except Exception as error:  # noqa: BLE001 (the network's own code need not run in this way)
        return f"{type(error).__name__}: {error}".splitlines()[0][:200]
    if found[LOGITS].dtype != dtype:
        return f"it computes in {found[LOGITS].dtype} whatever it is given"
    return found


# A network is traced once for each of these, and so with ``jit`` and without.
def _alone(closed: ClosedJaxpr) -> ClosedJaxpr:
    """The program as it is."""
    return closed


def _precise(closed: ClosedJaxpr) -> ClosedJaxpr:
    """The program with products of float32, of which accelerators multiply fewer bits by default.

    Each program would do so in another way: they would differ by more than most faults.
    """

    def run(eqn: JaxprEqn, inputs: list[Any]) -> list[Any] | None:
        if eqn.primitive.name in ("dot_general", "conv_general_dilated"):
            changed: dict[str, Any] = {"precision": jax.lax.Precision.HIGHEST}
        elif eqn.primitive.name in {*CALLS, "scan"}:
            parts = eqn.params.items()
            changed = {
                name: _precise(part) for name, part in parts if isinstance(part, ClosedJaxpr)
            }
        else:
            return None
        return bind(eqn.replace(params={**eqn.params, **changed}), inputs)

    return retraced(closed, run)


def _precise_alone(closed: ClosedJaxpr) -> ClosedJaxpr:
    return _precise(closed)
