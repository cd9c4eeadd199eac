"""Programs that are run on rows, compiled once for each shape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from reportgen.models.base import Model

Rows = tuple[Any, ...]  # arrays (N, …), of one N

ROWS = "rows"


class Program(Protocol):
    """What is computed of every row. Programs that are equal are compiled once.

    Attributes:
      name: of the method, for messages and counts.
    """

    @property
    def name(self) -> str: ...

    def __call__(self, batch: int, model: Any, /, *rows: Any) -> Any:
        """Arrays (N, …) of rows (N, …); traced by JAX.

        Args:
          batch: how many inputs a step inside may run at once, where one row needs many.
        """

    def __hash__(self) -> int: ...


@dataclass(frozen=True)
class Compiled:
    """A program for chunks of one size.

    Attributes:
      bytes: that it takes on each device while it runs.
      places: shardings of model and rows; None on one device.
      returns: shapes of what it returns.
    """

    run: Callable[[Model, Rows], Any]
    bytes: int
    places: tuple[NamedSharding, NamedSharding] | None
    returns: Any = None

    def __call__(self, model: Model, rows: Rows) -> Any:
        if self.places is not None:
            rows = jax.device_put(rows, self.places[1])
        return self.run(model, rows)


@lru_cache(maxsize=64)
def compiled_program(
    program: Program,
    limit: int,
    tree: Any,
    signature: tuple[tuple[tuple[int, ...], Any], ...],
    devices: tuple[jax.Device, ...],
) -> Compiled:
    """A program for chunks of a size; equal ones are compiled once.

    Args:
      limit: inputs that a step inside may run at once.
      tree, signature: see ``signature``.
    """

    def run(model: Model, rows: Rows) -> Any:
        return program(limit, model, *rows)

    shapes = tree.unflatten([jax.ShapeDtypeStruct(*leaf) for leaf in signature])
    places = None
    if len(devices) > 1:
        across, whole, cut = mesh(devices), PartitionSpec(), PartitionSpec(ROWS)
        places = NamedSharding(across, whole), NamedSharding(across, cut)
        # Every device runs the program on its own rows; there is nothing to exchange.
        run = jax.shard_map(run, mesh=across, in_specs=(whole, cut), out_specs=cut, check_vma=False)
        shapes = tuple(
            jax.tree.map(
                lambda leaf, place=place: jax.ShapeDtypeStruct(
                    leaf.shape, leaf.dtype, sharding=place
                ),
                part,
            )
            for part, place in zip(shapes, places, strict=True)
        )
    made = jax.jit(run).lower(*shapes).compile()
    needs = made.memory_analysis()
    taken = int(needs.temp_size_in_bytes + needs.output_size_in_bytes) if needs else 0
    return Compiled(made, taken, places, made.out_info)


def mesh(devices: tuple[jax.Device, ...]) -> Mesh:
    """All devices in a row, each with rows of its own."""
    return Mesh(np.asarray(devices), (ROWS,))


def signature(model: Any, rows: Rows) -> tuple[Any, tuple[tuple[tuple[int, ...], Any], ...]]:
    """The structure of a network and rows, and the shape and kind of every array."""
    leaves, tree = jax.tree.flatten((model, rows))
    return tree, tuple((leaf.shape, leaf.dtype) for leaf in leaves)


def compilations() -> int:
    """How often this process compiled a program."""
    return compiled_program.cache_info().misses
