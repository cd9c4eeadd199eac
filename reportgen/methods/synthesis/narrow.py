"""A layer cut down to the one unit that is climbed, so that the others are not computed."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp

from reportgen.models.base import Model


def cut(model: Model, path: str, unit: jax.Array) -> Model:
    """The network with a layer of one unit; all other parameters are the very same arrays."""
    names = model.layer(path).names
    parameters = dict(model.parameters)
    for name in names:
        array = parameters[name]
        parameters[name] = jax.lax.dynamic_slice_in_dim(array, unit, 1, axis=-1)
    kernels = zip(model.kernels or (), model.prepared, strict=True)
    prepared = tuple(
        form.prepared(parameters[name]) if name in names else kept for (name, form), kept in kernels
    )
    return replace(model, parameters=parameters, prepared=prepared)


@jax.jit
def _difference(whole: jax.Array, narrow: jax.Array, unit: jax.Array) -> jax.Array:
    wanted = jax.lax.dynamic_slice_in_dim(whole, unit, 1, axis=-1)
    return jnp.abs(narrow - wanted).max() / (jnp.abs(wanted).max() + 1e-7)


@partial(jax.jit, static_argnames="path")
def _whole(model: Model, x: jax.Array, *, path: str) -> jax.Array:
    return model.activation(path, x)


@partial(jax.jit, static_argnames="path")
def _narrow(model: Model, unit: jax.Array, x: jax.Array, *, path: str) -> jax.Array:
    return cut(model, path, unit).activation(path, x)


def can_cut(model: Model, path: str, unit: int, x: jax.Array) -> bool:
    """Whether the layer with the parameters of one unit alone gives that unit's map.

    It does for an ordinary convolution. A grouped one, one whose weights are normalised together,
    or one that is called again elsewhere is found out by trying: by its shape, or by its values.

    Args:
      x: inputs (1, H, W, C) to compare at.
    """
    layer = model.layer(path)
    if layer.kind != "conv" or not layer.parameters or layer.round is not None:
        return False
    if any(shape[-1:] != layer.shape[-1:] for _, shape in layer.parameters):
        return False
    try:
        seen = _narrow(model, jnp.int32(unit), x, path=path)
    except Exception:  # noqa: BLE001 (each framework has errors of its own for a shape that is off)
        return False
    whole = _whole(model, x, path=path)
    if seen.shape != (*whole.shape[:-1], 1):
        return False
    return bool(_difference(whole, seen, jnp.int32(unit)) < 1e-4)
