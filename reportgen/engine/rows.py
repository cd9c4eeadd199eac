"""Programs over rows: images, masked copies, units. One chunk after another, on all devices.

A row's result depends on no other row, so rows may be cut into chunks in any way: as many as memory
holds, the same number on every device. The last chunk is filled up with copies, so that one
compilation serves all. Where several hosts work on one report, each takes its part of every chunk,
and all have the results.
"""

from __future__ import annotations

import json
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding, PartitionSpec

from reportgen.core.errors import ResourceError
from reportgen.engine.digest import digest
from reportgen.engine.kept import Kept
from reportgen.engine.memory import affordable, measured_budget, no_room
from reportgen.engine.programs import (
    ROWS,
    Compiled,
    Program,
    Rows,
    compiled_program,
    mesh,
    signature,
)
from reportgen.models.base import Model

Source = Callable[[int, int], Rows]  # rows start to stop, fewer where there are no more

IN_FLIGHT = 2  # chunks: the host prepares one while the devices compute another
_CACHED = 8 << 20  # bytes of one layer's output: a CPU would wait for its memory with more


class _Made(NamedTuple):
    """A chunk on its way: arrays on the devices, or what was made of its rows before."""

    name: str
    before: dict[str, Any] | None
    new: Any


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
      compiled: digests of what each program was compiled for, by the program's name.
      limits: rows at once that memory allowed, where it is less than ``batch``.
      early_ranking: units that will not be drawn need not be climbed to the end; ``check`` climbs
        them all the same and tells how many would have been missed.
      bfloat16: whether pictures are synthesised by networks of 16-bit numbers.
      told: what was measured on the way, in lines for the log.
      placed: by devices, the network that was last put on all of them, and its copy.
      kept: where finished work is found again; None for nowhere. Several hosts keep none: they
        must all do the same.
    """

    batch: int
    budget: int
    devices: tuple[jax.Device, ...]
    compiled: dict[str, set[str]] = field(default_factory=dict)
    limits: dict[Program, int] = field(default_factory=dict)
    hosts: int = 1
    host: int = 0
    early_ranking: bool | Literal["check"] = True
    bfloat16: bool = False
    told: list[str] = field(default_factory=list)
    placed: dict[tuple[jax.Device, ...], tuple[Any, Any]] = field(default_factory=dict)
    kept: Kept | None = None
    _known: dict[Any, str] = field(default_factory=dict)
    _watching: list[set[tuple[str, str]]] = field(default_factory=list)

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
        kept: Kept | None = None,
    ) -> Engine:
        """On all devices of this host, with the memory that they have.

        Args:
          weights: bytes of the network, of which every device has a copy.
          bfloat16: ``auto`` for wherever it is faster: not on a CPU.
          kept: of one host alone.
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
            kept=kept if jax.process_count() == 1 else None,
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
        keep: bool = True,
    ) -> Iterator[Chunk]:
        """Chunks of at most ``count`` rows, in their order.

        Args:
          advance: told of every finished row.
          few: each row takes many runs of the network. A CPU then takes one row at a time: a person
            sees how far it is, and need not wait to interrupt it.
          keep: find what was made of equal rows before, and keep what is made.

        Raises:
          ResourceError: if a single row does not fit into the budget, or into memory.
        """
        kept = self.kept if keep else None
        return self.among(count)._map(program, model, source, count, advance, few, kept)

    def _map(
        self,
        program: Program,
        model: Model,
        source: Source,
        count: float,
        advance: Callable[[int], None],
        few: bool,
        kept: Kept | None,
    ) -> Iterator[Chunk]:
        own, model = model, self.everywhere(model)
        ahead = 1 if few and self.on_cpu else IN_FLIGHT
        start, waiting = 0, deque[tuple[int, int, int, _Made]]()
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
                        name = kept.name(program, limit, own, mine) if kept else ""
                        before = kept.find(name) if kept else None
                        run = self._compiled(program, limit, model, mine, before is None)
                        began += time.perf_counter() - compiling
                        if run is None:
                            continue
                        made = _Made(name, before, None if before else run(model, mine))
                        waiting.append((start, found, size, made))
                        start += found
                if not waiting:
                    return
                first, found, size, made = waiting[0]
                jax.block_until_ready(made.new)
            except jax.errors.JaxRuntimeError as error:
                if "RESOURCE_EXHAUSTED" not in str(error):
                    raise
                self._halve(program, model, "memory is full")
                start = waiting[0][0] if waiting else start
                waiting.clear()
                continue
            waiting.popleft()
            ended = time.perf_counter()
            whole = made.before or self._whole(made, (ended - began) / size, kept)
            host = jax.tree.map(lambda array, n=found: array[:n], whole["rows"])
            yield Chunk(first, found, host, float(whole["seconds"]))
            began = time.perf_counter()
            advance(found)

    def _whole(self, made: _Made, seconds: float, kept: Kept | None) -> dict[str, Any]:
        whole = {"rows": self._fetched(made.new), "seconds": np.float64(seconds)}
        if kept:
            kept.keep(made.name, whole)
        return whole

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

    def recalled(
        self, about: tuple[Any, ...], make: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        """What ``make()`` made before of these things, or makes now: nested arrays by name.

        What it used of programs and told the log counts again.
        """
        if self.kept is None:
            return make()
        name = self.kept.name(*about)
        found = self.kept.find(name)
        if found is None:
            used, told = set[tuple[str, str]](), len(self.told)
            self._watching.append(used)
            try:
                made = make()
            finally:
                self._watching.pop()
            notes = json.dumps([sorted(used), self.told[told:]]).encode()
            self.kept.keep(name, {"made": made, "notes": np.frombuffer(notes, np.uint8)})
            return made
        programs, lines = json.loads(found["notes"].tobytes())
        for program, shapes in programs:
            self._count(program, shapes)
        self.told += lines
        before: dict[str, Any] = found["made"]
        return before

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
        self, program: Program, limit: int, model: Model, rows: Rows, needed: bool
    ) -> Callable[[Model, Rows], Any] | None:
        """The program for chunks of a size; None, and the limit halved, if it takes too much.

        Args:
          needed: if it is not, because its rows are kept, nothing is compiled.
        """
        if not needed:
            self._note(program, limit, model, rows)
            return lambda model, rows: None
        made = self._asked(program, limit, model, rows)
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
        made = self._asked(program, size, model, rows)
        if made.bytes > self.budget:
            raise no_room(program.name, size, f"it takes {made.bytes:,} bytes, of {self.budget:,}")
        try:
            return made(model, rows)
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            raise no_room(program.name, size, "memory is full") from error

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
        put = jax.device_put(shared, NamedSharding(mesh(self.devices), PartitionSpec()))
        if isinstance(shared, Model):
            self.placed[self.devices] = shared, put
        return put

    def spread(self, rows: Any) -> Any:
        """Arrays (N, …), each device's own rows on it."""
        if len(self.devices) == 1:
            return rows
        return jax.device_put(rows, NamedSharding(mesh(self.devices), PartitionSpec(ROWS)))

    def prepared(self, program: Program, limit: int, model: Any, rows: Rows) -> Compiled:
        """The program, compiled for chunks of these shapes; a thread of its own may ask."""
        return compiled_program(program, limit, *signature(model, rows), self.devices)

    def _asked(self, program: Program, limit: int, model: Any, rows: Rows) -> Compiled:
        """What ``prepared`` returns; it is remembered that the program was used so."""
        return compiled_program(*self._note(program, limit, model, rows))

    def _note(self, program: Program, limit: int, model: Model, rows: Rows) -> Any:
        """Remember that a program was used for such rows; what it is compiled for."""
        key = program, limit, *signature(model, rows), self.devices
        if key not in self._known:
            networks = jax.tree.leaves(model, is_leaf=lambda part: isinstance(part, Model))
            ways = [
                (one.rewriting, one.kernels is None) for one in networks if isinstance(one, Model)
            ]
            shapes = [(shape, str(dtype)) for shape, dtype in key[3]]
            self._known[key] = digest(program, limit, shapes, ways, len(self.devices))
        self._count(program.name, self._known[key])
        return key

    def _count(self, program: str, shapes: str) -> None:
        self.compiled.setdefault(program, set()).add(shapes)
        for used in self._watching:
            used.add((program, shapes))

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
