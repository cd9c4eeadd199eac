"""The Model interface: everything that a method may know of a network.

An adapter supplies a ``Program``: a pure function of parameters and input whose layers' outputs are
marked (``rewrite/marks.py``). Naming, capture, taps, stopping early, the list of layers and their
cost are then the same for every framework, and are written once, here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from reportgen.core.spec import InputSpec
from reportgen.models.head import Head
from reportgen.models.trace import Kernel, Reached, Recorder, Rewriting, Traced, traced_program
from reportgen.rewrite.compat import ClosedJaxpr, Jaxpr, bodies, jaxpr_as_fun
from reportgen.rewrite.cpu import kernels, lowered
from reportgen.rewrite.interpreter import enters, walk
from reportgen.rewrite.local import Box, local
from reportgen.rewrite.marks import mark_p

Parameters = dict[str, jax.Array]
Shapes = Mapping[str, jax.ShapeDtypeStruct]


class Program(Protocol):
    """A network as a pure, hashable function in evaluation mode.

    ``program(parameters, x)`` returns what the network returns for inputs x (N, H, W, C). Every
    layer runs in a named scope ``layer:PATH`` and its output is marked by its path and kind.
    """

    def __call__(self, parameters: Parameters, x: jax.Array) -> Any: ...

    def __hash__(self) -> int: ...


@dataclass(frozen=True, kw_only=True)
class Adapted:
    """A network of some framework, without weights.

    Attributes:
      shapes: shape and type of every parameter by dotted name (``block.conv1.kernel``).
      initial: weights as the framework makes them, from a seed.
      framework: its name.
      evaluation: what was done to set evaluation mode, for the report.
      network: the framework's own object, which may know published names of its weights.
      statistics: names of the parameters that are batch statistics: measured, not trained.
    """

    program: Program
    shapes: dict[str, jax.ShapeDtypeStruct]
    initial: Callable[[int], Parameters]
    framework: str
    evaluation: str
    network: Any
    statistics: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class LayerInfo:
    """A layer as the user names it.

    Attributes:
      path: dotted path of the module; a second call of the same module is ``path#2``, and of a
        call that returns several arrays each is ``path[key]``.
      kind: ``conv``, ``dense``, ``pool``, ``activation``, ``softmax``, ``norm``, ``dropout``, …
      shape: of the output, without the batch.
      parameters: names and shapes of the layer's own parameters, in the layout of Flax (HWIO).
      flops: of this layer and what it contains, for one image; a multiply-add counts as two.
      names: the same parameters' names in the whole network, dotted.
      statistics: which of them, by short name, are batch statistics: measured, not trained.
      round: of the scan that the layer runs in, if the network keeps the parameters of all rounds
        stacked; those of this layer are the slices of this round.
    """

    path: str
    kind: str
    shape: tuple[int, ...]
    parameters: tuple[tuple[str, tuple[int, ...]], ...]
    flops: int
    names: tuple[str, ...] = ()
    statistics: tuple[str, ...] = ()
    round: int | None = None

    @property
    def parameter_count(self) -> int:
        """Number of the layer's own parameters, batch statistics among them."""
        return sum(math.prod(shape) for _, shape in self.parameters)

    @property
    def statistics_count(self) -> int:
        """How many of them are batch statistics."""
        return sum(math.prod(shape) for name, shape in self.parameters if name in self.statistics)

    @property
    def spatial(self) -> bool:
        """True if the output is a stack of maps (H, W, C); attention is (heads, tokens, tokens)."""
        return len(self.shape) == 3 and self.kind != "attention"


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Model:
    """A network with its weights. A pytree: pass it as an argument to a jitted function.

    Attributes:
      parameters: dotted name (``conv1.kernel``) to array; the only leaves.
      program: the network as a function.
      head: how scores are read off its output.
      name: short name for the report.
      architecture: name of the class or function that built it.
      spec: its input.
      layers: in execution order.
      flops: of one image; a multiply-add counts as two.
      classes: names of the scores.
      statistics: names of the parameters that are batch statistics: measured, not trained.
      rewriting: what is done to the traced program before it runs, such as other derivatives.
      kernels: those that ``prepared`` has; None if the program runs as it was traced, without what
        makes it faster on a CPU.
      prepared: kernels in other forms, made once and not in every step.
    """

    parameters: Parameters
    program: Program = field(metadata={"static": True})
    head: Head = field(metadata={"static": True})
    name: str = field(metadata={"static": True})
    architecture: str = field(metadata={"static": True})
    spec: InputSpec = field(metadata={"static": True})
    layers: tuple[LayerInfo, ...] = field(metadata={"static": True})
    flops: int = field(metadata={"static": True})
    classes: tuple[str, ...] = field(metadata={"static": True})
    statistics: frozenset[str] = field(default=frozenset(), metadata={"static": True})
    rewriting: Rewriting | None = field(default=None, metadata={"static": True})
    kernels: tuple[Kernel, ...] | None = field(default=None, metadata={"static": True})
    prepared: tuple[jax.Array, ...] = ()

    def apply(
        self, x: jax.Array, taps: Mapping[str, jax.Array] | None = None
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Run the network on inputs (N, H, W, C), normalised.

        Args:
          taps: path to an array that is added to that layer's output; zeros give a place to
            differentiate by.

        Returns:
          Scores (N, classes), which are logits unless the configuration's ``score`` says otherwise,
          and the output of every layer by path. Under ``jax.jit`` what is not used is not computed.

        Raises:
          KeyError: if a tap names no layer that ran.
        """
        traced = self._traced(x)
        recorder = Recorder(traced, taps=taps or {})
        output = traced.run(self.parameters, x, recorder, self.prepared)
        if unknown := set(recorder.taps) - set(recorder.activations):
            raise KeyError(f"taps at layers that did not run: {sorted(unknown)}")
        return self.head.scores(output), recorder.activations

    def activation(self, path: str, x: jax.Array) -> jax.Array:
        """Output of one layer, running the network no further than there.

        So the convolutional front of a network that ends in dense layers takes any size.

        Raises:
          KeyError: if no layer of that path ran.
          Exception: what the network raised, if that was before the layer.
        """
        traced = self._traced(x, partly=True)
        recorder = Recorder(traced, stop=path)
        try:
            traced.run(self.parameters, x, recorder, self.prepared)
        except Reached as reached:
            return jnp.asarray(reached.value)
        if traced.failure is not None:
            raise traced.failure
        raise KeyError(f"no layer {path!r} ran")

    def around(self, x: jax.Array, rows: np.ndarray, columns: np.ndarray) -> Around:
        """One input (1, H, W, C), normalised, of which then boxes are changed.

        Args:
          rows, columns: first and last place, exclusive, of what changes: (R, 2) and (K, 2).
        """
        plain = replace(self, kernels=None, prepared=())
        program = local(plain._traced(x).to_scores(), rows, columns)
        names, whole, part = sorted(self.parameters), program.whole, program.part
        if self.kernels is not None:
            given = [(names.index(name), form) for name, form in self.kernels]
            whole, part = lowered(whole, given), lowered(part, given)
        weights = [self.parameters[name] for name in names]
        output, *kept = jaxpr_as_fun(whole)(*weights, x, *self.prepared)

        def changed(box: jax.Array, row: jax.Array, column: jax.Array) -> jax.Array:
            (output,) = jaxpr_as_fun(part)(*weights, *kept, box, row, column, *self.prepared)
            return self.head.scores(output)

        return Around(self.head.scores(output), program.box, changed)

    def _traced(self, x: jax.Array, *, partly: bool = False) -> Traced:
        return traced_program(
            self.program,
            self.head,
            self.parameters,
            x,
            rewriting=self.rewriting,
            kernels=self.kernels,
            partly=partly,
        )

    def rewritten(self, rewriting: Rewriting) -> Model:
        """The same network, run as another program: see ``rewrite/``."""
        return replace(self, rewriting=rewriting)

    def traced(self) -> ClosedJaxpr:
        """The program for one image: its inputs are the parameters, sorted by name, and x.

        It is that of any device, without what makes it faster on a CPU.
        """
        plain = replace(self, kernels=None, prepared=())
        return plain._traced(jnp.zeros((1, *self.spec.shape), jnp.float32)).closed

    def for_cpu(self) -> Model:
        """The same network, run by the program that is fastest on a CPU, with equal results."""
        closed = replace(self, rewriting=None).traced()
        names = sorted(self.parameters)
        found = tuple((names[i], form) for i, form in kernels(closed) if i < len(names))
        return replace(self, kernels=found, prepared=_prepared(found, self.parameters))

    def layer(self, path: str) -> LayerInfo:
        """The layer of exactly this path (KeyError if there is none)."""
        for layer in self.layers:
            if layer.path == path:
                return layer
        raise KeyError(path)

    def layer_parameters(self, path: str) -> dict[str, jax.Array]:
        """A layer's own parameters by their short names (``kernel``, ``bias``)."""
        layer = self.layer(path)
        own = {}
        for dotted, (name, shape) in zip(layer.names, layer.parameters, strict=True):
            array = self.parameters[dotted]
            stacked = layer.round is not None and array.ndim > len(shape)
            own[name] = array[layer.round] if stacked else array
        return own

    @property
    def parameter_count(self) -> int:
        """Number of all parameters, batch statistics among them."""
        return count(self.parameters, self.parameters)

    @property
    def statistics_count(self) -> int:
        """How many of them are batch statistics."""
        return count(self.parameters, self.statistics)

    def with_parameters(self, parameters: Parameters) -> Model:
        """The same network with other weights, by the same names."""
        own = {name: parameters[name] for name in self.parameters}
        return replace(self, parameters=own, prepared=_prepared(self.kernels or (), own))


class Around(NamedTuple):
    """An input's scores, and those with a box of it changed, which run only what that changes.

    Attributes:
      scores: (1, classes).
      box: where the boxes lie, which are of one size.
      changed: from a box's content (1, h, w, C) and the numbers of its rows and of its columns to
        scores (1, classes).
    """

    scores: jax.Array
    box: Box
    changed: Callable[[jax.Array, jax.Array, jax.Array], jax.Array]


def _prepared(kernels: Iterable[Kernel], parameters: Parameters) -> tuple[jax.Array, ...]:
    """Kernels in other forms; NumPy makes them where they have values, since JAX would compile."""
    return tuple(
        form.prepared(array)
        if isinstance(array, jax.core.Tracer)
        else jnp.asarray(np.ascontiguousarray(form.prepared(np.asarray(array))))
        for array, form in ((parameters[name], form) for name, form in kernels)
    )


def count(parameters: Mapping[str, Any], names: Iterable[str]) -> int:
    """How many numbers the parameters of these names hold."""
    return sum(math.prod(parameters[name].shape) for name in names)


class Outline(NamedTuple):
    """What abstract evaluation tells of a network.

    Attributes:
      outputs: number of scores.
      head: with the softmax that the network ends in, if it does.
      hidden: layers that run where they cannot be seen, each with the operation around it.
    """

    layers: tuple[LayerInfo, ...]
    outputs: int
    flops: int
    head: Head
    hidden: tuple[tuple[str, str], ...]


def outline(
    *,
    program: Program,
    parameters: Shapes,
    spec: InputSpec,
    head: Head,
    statistics: Collection[str] = frozenset(),
) -> Outline:
    """A network's layers and cost for one image, without computing anything.

    Args:
      parameters: shapes and types by dotted name; no values are needed.
      head: its ``ends_in`` is found here.
      statistics: names of the parameters that are batch statistics.

    Raises:
      ModelError: if the output does not fit the head.
      Whatever the network's own code raises on an input of ``spec``.
    """
    x = jax.ShapeDtypeStruct((1, *spec.shape), jnp.float32)
    traced = traced_program(program, head, parameters, x)
    found = replace(head, ends_in=traced.ending.kind if traced.ending else "")
    recorder = Recorder(traced)
    scores = jax.eval_shape(
        lambda weights, x: found.scores(traced.run(weights, x, recorder)), dict(parameters), x
    )
    layers = tuple(_layers(recorder, statistics))
    hidden = tuple(dict.fromkeys(_hidden(traced)))
    return Outline(layers, int(scores.shape[-1]), recorder.flops.get("", 0), found, hidden)


def _layers(recorder: Recorder, statistics: Collection[str]) -> Iterator[LayerInfo]:
    own: dict[str, list[str]] = {}
    for dotted in recorder.parameters:
        own.setdefault(dotted.rpartition(".")[0], []).append(dotted)
    listed: set[tuple[str, int | None]] = set()
    for path, activation in recorder.activations.items():
        module, call = recorder.made_by[path]
        # A plain function's parameter may lie in no group: it is then its layer's only one.
        names = own.get(module, [module] if module in recorder.parameters else [])
        stacked = any(name in recorder.stacked for name in names)
        turn = recorder.rounds.get(path) if stacked else None
        if (module, turn) in listed:  # a later call, or array, has no parameters of its own
            names = []
        listed.add((module, turn))
        yield LayerInfo(
            path=path,
            kind=recorder.kinds[path],
            shape=tuple(activation.shape[1:]),
            parameters=tuple(
                (
                    name.rpartition(".")[2],
                    tuple(recorder.parameters[name].shape[name in recorder.stacked :]),
                )
                for name in names
            ),
            names=tuple(names),
            statistics=tuple(name.rpartition(".")[2] for name in names if name in statistics),
            flops=recorder.flops.get(call, 0),
            round=turn,
        )


def _hidden(traced: Traced, jaxpr: Jaxpr | None = None) -> Iterator[tuple[str, str]]:
    """Marked layers inside of operations that are not entered, with those operations' names."""
    for eqn in (jaxpr or traced.closed.jaxpr).eqns:
        entered = enters(eqn, traced.wanted)
        for body in bodies(eqn):
            if entered:
                yield from _hidden(traced, body)
            else:
                marks = (inner for inner in walk(body) if inner.primitive is mark_p)
                yield from ((mark.params["path"], eqn.primitive.name) for mark in marks)
