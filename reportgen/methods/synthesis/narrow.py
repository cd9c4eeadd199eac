"""A layer cut down to the one unit that is climbed, so that the others are not computed."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from reportgen.models.base import Model


def _cut(model: Model, path: str, unit: jax.Array) -> Model:
    parameters = dict(model.parameters)
    for name in model.layer(path).names:
        array = parameters[name]
        parameters[name] = jax.lax.dynamic_slice_in_dim(array, unit, 1, axis=-1)
    return model.with_parameters(parameters)


cut = jax.jit(_cut, static_argnums=1)


@jax.jit
def _difference(whole: jax.Array, narrow: jax.Array, unit: jax.Array) -> jax.Array:
    wanted = jax.lax.dynamic_slice_in_dim(whole, unit, 1, axis=-1)
    return jnp.abs(narrow - wanted).max() / (jnp.abs(wanted).max() + 1e-7)


def can_cut(
    model: Model, path: str, unit: int, x: jax.Array, run: Callable[..., jax.Array]
) -> bool:
    """Whether the layer with the parameters of one unit alone gives that unit's map.

    It does for an ordinary convolution. A grouped one, one whose weights are normalised together,
    or one that is called again elsewhere is found out by trying: by its shape, or by its values.

    Args:
      x: inputs (1, H, W, C) to compare at.
      run: ``run(model, x, path=…)`` the layer's output, compiled.
    """
    layer = model.layer(path)
    if layer.kind != "conv" or not layer.parameters or layer.round is not None:
        return False
    if any(shape[-1:] != layer.shape[-1:] for _, shape in layer.parameters):
        return False
    narrow = cut(model, path, jnp.int32(unit))
    try:
        seen = run(narrow, x, path=path)
    except Exception:  # noqa: BLE001 (each framework has errors of its own for a shape that is off)
        return False
    whole = run(model, x, path=path)
    if seen.shape != (*whole.shape[:-1], 1):
        return False
    return bool(_difference(whole, seen, jnp.int32(unit)) < 1e-4)
