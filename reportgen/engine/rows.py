"""Programs over rows: images, masked copies, units. One chunk after another, on all devices.

A row's result depends on no other row, so rows may be cut into chunks in any way: as many as memory
holds, the same number on every device. The last chunk is filled up with copies, so that one
compilation serves all. Where several hosts work on one report, each takes its part of every chunk,
and all have the results.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import islice
from typing import Any, Literal, Protocol

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from reportgen.core.errors import ResourceError
from reportgen.engine.memory import affordable, measured_budget
from reportgen.models.base import Model

Rows = tuple[Any, ...]  # arrays (N, …), of one N
Source = Callable[[int, int], Rows]  # rows start to stop, fewer where there are no more

_ROWS = "rows"
IN_FLIGHT = 2  # chunks: the host prepares one while the devices compute another
_CACHED = 8 << 20  # bytes of one layer's output: a CPU would wait for its memory with more


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
class Chunk:
    """What was made of some rows.

    Attributes:
      start: number of the first row.
      made: the program's arrays (N, …), of these rows alone.
      seconds: that a row took, without compilation.
    """

    start: int
    count: int
    made: Any
    seconds: float


@dataclass
class Engine:
    """Where and how programs run.

    Attributes:
      batch: rows at once on each device, at the most.
      budget: bytes that a program may take on each device.
      devices: of this host, all of one kind.
      hosts: how many work together; ``host`` is the number of this one, from 0.
      compiled: shapes that each program was compiled for, by the program's name.
      limits: rows at once that memory allowed, where it is less than ``batch``.
      early_ranking: units that will not be drawn need not be climbed to the end; ``check`` climbs
        them all the same and tells how many would have been missed.
      bfloat16: whether pictures are synthesised by networks of 16-bit numbers.
      told: what was measured on the way, in lines for the log.
      placed: by devices, the network that was last put on all of them, and its copy.
    """

    batch: int
    budget: int
    devices: tuple[jax.Device, ...]
    compiled: dict[str, set[Any]] = field(default_factory=dict)
    limits: dict[Program, int] = field(default_factory=dict)
    hosts: int = 1
    host: int = 0
    early_ranking: bool | Literal["check"] = True
    bfloat16: bool = False
    told: list[str] = field(default_factory=list)
    placed: dict[tuple[jax.Device, ...], tuple[Any, Any]] = field(default_factory=dict)

    @property
    def on_cpu(self) -> bool:
        """Whether the devices are the machine's own cores."""
        return self.devices[0].platform == "cpu"

    @property
    def programs(self) -> int:
        """Compiled programs that were used: one for each method and shape."""
        return sum(map(len, self.compiled.values()))

    @classmethod
    def local(
        cls,
        batch: int,
        budget: int | None = None,
        *,
        weights: int = 0,
        early_ranking: bool | Literal["check"] = True,
        bfloat16: bool | Literal["auto"] = "auto",
    ) -> Engine:
        """On all devices of this host, with the memory that they have.

        Args:
          weights: bytes of the network, of which every device has a copy.
          bfloat16: ``auto`` for wherever it is faster: not on a CPU.
        """
        devices = affordable(tuple(jax.local_devices()), weights)
        return cls(
            batch,
            measured_budget(devices) if budget is None else budget,
            devices,
            hosts=jax.process_count(),
            host=jax.process_index(),
            early_ranking=early_ranking,
            bfloat16=devices[0].platform != "cpu" if bfloat16 == "auto" else bfloat16,
        )

    def map(
        self,
        program: Program,
        model: Model,
        source: Source,
        count: float = math.inf,
        advance: Callable[[int], None] = lambda done: None,
        *,
        few: bool = False,
    ) -> Iterator[Chunk]:
        """Chunks of at most ``count`` rows, in their order.

        Args:
          advance: told of every finished row.
          few: each row takes many runs of the network. A CPU then takes one row at a time: a person
            sees how far it is, and need not wait to interrupt it.

        Raises:
          ResourceError: if a single row does not fit into the budget, or into memory.
        """
        return self.among(count)._map(program, model, source, count, advance, few)

    def _map(
        self,
        program: Program,
        model: Model,
        source: Source,
        count: float,
        advance: Callable[[int], None],
        few: bool,
    ) -> Iterator[Chunk]:
        model = self.everywhere(model)
        ahead = 1 if few and self.on_cpu else IN_FLIGHT
        start, waiting = 0, deque[tuple[int, int, int, Any]]()
        began = time.perf_counter()
        while start < count or waiting:
            try:
                while start < count and len(waiting) < ahead:
                    limit = self._limit(program, model)
                    size = self._size(1 if few and self.on_cpu else limit, count)
                    rows = source(start, int(min(start + size, count)))
                    found = len(rows[0])
                    if found < min(size, count - start):
                        count = start + found
                    if found:
                        compiling = time.perf_counter()
                        mine = self._mine(rows, size)
                        run = self._compiled(program, limit, model, mine)
                        began += time.perf_counter() - compiling
                        if run is None:
                            continue
                        waiting.append((start, found, size, run(model, mine)))
                        start += found
                if not waiting:
                    return
                first, found, size, made = waiting[0]
                jax.block_until_ready(made)
            except jax.errors.JaxRuntimeError as error:
                if "RESOURCE_EXHAUSTED" not in str(error):
                    raise
                self._halve(program, model, "memory is full")
                start = waiting[0][0] if waiting else start
                waiting.clear()
                continue
            waiting.popleft()
            ended = time.perf_counter()
            host = jax.tree.map(lambda array, n=found: array[:n], self._fetched(made))
            yield Chunk(first, found, host, (ended - began) / size)
            began = time.perf_counter()
            advance(found)

    def _limit(self, program: Program, model: Model) -> int:
        """Rows at once on each device, at the most."""
        most = self.limits.get(program, self.batch)
        if not self.on_cpu:
            return most
        largest = max((math.prod(layer.shape) for layer in model.layers), default=1)
        return max(1, min(most, _CACHED // (4 * largest)))

    def _size(self, most: int, count: float) -> int:
        """Rows of a chunk, over all devices: at most so many on each, and few copies at the end."""
        across = len(self.devices) * self.hosts
        if count == math.inf:
            return across * most
        each = -(-count // across)
        return int(across * -(-each // -(-each // most)))

    def whole(self, program: Program, model: Model, rows: Rows, *, few: bool = False) -> Any:
        """The program's arrays (N, …) of all rows at hand; ``few`` as for ``map``."""
        count = len(rows[0])
        chunks = self.map(
            program, model, lambda a, b: tuple(row[a:b] for row in rows), count, few=few
        )
        return jax.tree.map(lambda *parts: np.concatenate(parts), *(c.made for c in chunks))

    def _mine(self, rows: Rows, size: int) -> Rows:
        """This host's part of a chunk, filled up with copies of the chunk's last row."""
        part = size // self.hosts
        index = np.arange(part * self.host, part * (self.host + 1))
        return tuple(row[np.minimum(index, len(row) - 1)] for row in rows)

    def _fetched(self, made: Any) -> Any:
        """Arrays of the whole chunk, of all hosts."""
        if self.hosts == 1:
            return jax.tree.map(np.asarray, made)
        return multihost_utils.process_allgather(jax.tree.map(np.asarray, made), tiled=True)

    def _compiled(
        self, program: Program, limit: int, model: Model, rows: Rows
    ) -> Callable[[Model, Rows], Any] | None:
        """The program for chunks of a size; None, and the limit halved, if it takes too much."""
        made = self._used(program, limit, model, rows)
        if made.bytes > self.budget:
            self._halve(program, model, f"it takes {made.bytes:,} bytes, of {self.budget:,}")
            return None
        return made

    def run(self, program: Program, size: int, model: Any, rows: Rows) -> Any:
        """What a program makes of a chunk, on the devices; nothing is waited for.

        Args:
          size: rows of the chunk on each device.
          model: a network, or any arrays that all rows share, as ``everywhere`` returns them.

        Raises:
          ResourceError: if it does not fit into the budget, or into memory.
        """
        made = self._used(program, size, model, rows)
        if made.bytes > self.budget:
            raise _full(program, size, f"it takes {made.bytes:,} bytes, of {self.budget:,}")
        try:
            return made(model, rows)
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            raise _full(program, size, "memory is full") from error

    def among(self, count: float) -> Engine:
        """This engine, with no more devices than ``count`` rows can use."""
        used = int(min(len(self.devices), max(1, -(-count // self.hosts))))
        return self if used == len(self.devices) else replace(self, devices=self.devices[:used])

    def everywhere(self, shared: Any) -> Any:
        """Arrays that all rows share, on every device."""
        if len(self.devices) == 1:
            return shared
        given, placed = self.placed.get(self.devices, (None, None))
        if shared is given or shared is placed:
            return placed
        put = jax.device_put(shared, NamedSharding(_mesh(self.devices), PartitionSpec()))
        if isinstance(shared, Model):
            self.placed[self.devices] = shared, put
        return put

    def spread(self, rows: Any) -> Any:
        """Arrays (N, …), each device's own rows on it."""
        if len(self.devices) == 1:
            return rows
        return jax.device_put(rows, NamedSharding(_mesh(self.devices), PartitionSpec(_ROWS)))

    def prepared(self, program: Program, limit: int, model: Any, rows: Rows) -> Compiled:
        """The program, compiled for chunks of these shapes; a thread of its own may ask."""
        return _compiled(program, limit, *_signature(model, rows), self.devices)

    def _used(self, program: Program, limit: int, model: Any, rows: Rows) -> Compiled:
        """What ``prepared`` returns; it is remembered that the program was used so."""
        key = program, limit, *_signature(model, rows), self.devices
        made = _compiled(*key)
        self.compiled.setdefault(program.name, set()).add(key)
        return made

    def _halve(self, program: Program, model: Model, why: str) -> None:
        limit = self._limit(program, model)
        if self.hosts > 1:  # the others would wait for what this one does anew
            raise ResourceError(
                f"{program.name} needs more memory than a host has: {why}.",
                f"With several hosts, set it for all: engine.batch={max(limit // 2, 1)}",
            )
        if limit == 1:
            raise ResourceError(
                f"{program.name} needs more memory than there is, with one input at a time too: "
                f"{why}.",
                "Take a smaller input or a device with more memory, or raise engine.memory_budget"
                + (", or have fewer share it: engine.cpu_devices=1" if self.on_cpu else "."),
            )
        self.limits[program] = limit // 2


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
def _compiled(
    program: Program,
    limit: int,
    tree: Any,
    signature: tuple[tuple[tuple[int, ...], Any], ...],
    devices: tuple[jax.Device, ...],
) -> Compiled:
    def run(model: Model, rows: Rows) -> Any:
        return program(limit, model, *rows)

    shapes = tree.unflatten([jax.ShapeDtypeStruct(*leaf) for leaf in signature])
    places = None
    if len(devices) > 1:
        mesh = _mesh(devices)
        whole, cut = PartitionSpec(), PartitionSpec(_ROWS)
        places = NamedSharding(mesh, whole), NamedSharding(mesh, cut)
        # Every device runs the program on its own rows; there is nothing to exchange.
        run = jax.shard_map(run, mesh=mesh, in_specs=(whole, cut), out_specs=cut, check_vma=False)
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


def _mesh(devices: tuple[jax.Device, ...]) -> Mesh:
    return Mesh(np.asarray(devices), (_ROWS,))


def _full(program: Program, size: int, why: str) -> ResourceError:
    hint = "Take smaller pictures or a device with more memory, or raise engine.memory_budget."
    if size > 1:
        hint = f"Take fewer at once: method.{program.name}.batch={size // 2}"
    return ResourceError(
        f"{program.name} needs more memory than there is, with {size} at a time: {why}.", hint
    )


def _signature(model: Any, rows: Rows) -> tuple[Any, tuple[tuple[tuple[int, ...], Any], ...]]:
    leaves, tree = jax.tree.flatten((model, rows))
    return tree, tuple((leaf.shape, leaf.dtype) for leaf in leaves)


class Replayed:
    """A source of inputs (H, W, C) that are made one after another, of which few exist at once.

    Chunks that did not fit into memory are asked for again, so the last ones are kept.
    """

    def __init__(self, inputs: Iterable[np.ndarray]) -> None:
        self._rest = iter(inputs)
        self._kept: deque[np.ndarray] = deque()
        self._first = 0

    def __call__(self, start: int, stop: int) -> Rows:
        while self._first < start - IN_FLIGHT * (stop - start) and self._kept:
            self._kept.popleft()
            self._first += 1
        wanted = max(0, stop - self._first - len(self._kept))
        self._kept.extend(np.asarray(one, np.float32) for one in islice(self._rest, wanted))
        found = list(islice(self._kept, start - self._first, stop - self._first))
        return (np.stack(found) if found else np.zeros(0, np.float32),)


def compilations() -> int:
    """How often this process compiled a program."""
    return _compiled.cache_info().misses
