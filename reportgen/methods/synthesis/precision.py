"""Networks in bfloat16, which accelerators are fastest at; pictures and scores stay float32."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp

from reportgen.models.base import Model, Parameters, Program


@dataclass(frozen=True)
class _Half:
    """A network that is given its input in bfloat16."""

    program: Program

    def __call__(self, parameters: Parameters, x: jax.Array) -> Any:
        return self.program(parameters, x.astype(jnp.bfloat16))


def in_bfloat16(model: Model) -> Model:
    """The same network with weights and activations of 16 bits, 8 of them for the digits."""

    def half(array: jax.Array) -> jax.Array:
        return array.astype(jnp.bfloat16) if jnp.issubdtype(array.dtype, jnp.floating) else array

    return replace(
        model,
        parameters={name: half(array) for name, array in model.parameters.items()},
        prepared=tuple(map(half, model.prepared)),
        program=_Half(model.program),
    )
