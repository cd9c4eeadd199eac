"""A network's traced program, and running it while its layers are named, tapped and recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import jax

from reportgen.models.head import Ending, Head, choose_output, ending
from reportgen.rewrite.compat import ClosedJaxpr, Jaxpr, JaxprEqn, used
from reportgen.rewrite.convolutions import KernelForm
from reportgen.rewrite.cpu import lowered
from reportgen.rewrite.interpreter import (
    ROUND,
    Scopes,
    enters,
    evaluate,
    operations,
    scanned,
    shape_of,
    walk,
)
from reportgen.rewrite.marks import SCOPE, mark_p

# From a traced program to the one that is run in its stead; hashable, as a key of what is traced.
Rewriting = Callable[[ClosedJaxpr], ClosedJaxpr]
# A parameter that is the kernel of a convolution, and how it is kept.
Kernel = tuple[str, KernelForm]


@dataclass(frozen=True)
class Traced:
    """A program at one input shape.

    Attributes:
      ending: the softmax at its end, where scores are taken before it.
      failure: what the network raised, if it did not run to its end at this shape.
    """

    closed: ClosedJaxpr
    ending: Ending | None
    failure: Exception | None

    def wanted(self, body: Jaxpr) -> bool:
        """Whether there is anything to see for us inside of an inner program."""
        return _marked(body) or (
            self.ending is not None and any(eqn is self.ending.place[-1] for eqn in walk(body))
        )

    def to_scores(self) -> ClosedJaxpr:
        """The program up to what goes into the softmax at its end, without what is not used.

        Its marks are kept.
        """
        closed = self.closed
        if self.ending is not None:
            avals = [jax.ShapeDtypeStruct(shape_of(v), v.aval.dtype) for v in closed.jaxpr.invars]

            def run(*arguments: Any) -> Any:
                recorder = Recorder(self, keep_marks=True)
                evaluate(self.closed, arguments, recorder, self.wanted)
                return recorder.logits

            closed = jax.make_jaxpr(run)(*avals)
        return used(closed)

    def lowered(self, prepared: Sequence[tuple[int, KernelForm]]) -> Traced:
        """The program for a CPU, which takes some kernels once more, prepared."""
        closed = lowered(self.closed, prepared)
        return Traced(closed, self.ending and ending(closed.jaxpr), self.failure)

    def run(
        self,
        parameters: Mapping[str, Any],
        x: jax.Array,
        recorder: Recorder,
        prepared: Iterable[jax.Array] = (),
    ) -> jax.Array:
        """The network's output, or what goes into the softmax at its end.

        Args:
          prepared: kernels, where the program takes them once more.
        """
        recorder.parameters = parameters
        arguments = [*(parameters[name] for name in sorted(parameters)), x, *prepared]
        output = evaluate(self.closed, arguments, recorder, self.wanted)[0]
        return output if self.ending is None else recorder.logits


@lru_cache(maxsize=4096)
def _marked(jaxpr: Jaxpr) -> bool:
    return any(eqn.primitive is mark_p for eqn in walk(jaxpr))


@lru_cache(maxsize=64)
def _trace(
    program: Callable[..., Any],
    head: Head,
    rewriting: Rewriting | None,
    kernels: tuple[Kernel, ...] | None,
    parameters: tuple[tuple[str, tuple[int, ...], Any], ...],
    shape: tuple[int, ...],
    dtype: Any,
    partly: bool,
    mesh: Any,
) -> Traced:
    """Trace a program once for each input shape.

    Args:
      mesh: of devices, whose parts run the program: JAX writes it into what it traces.
      rewriting: what is done to the program once it is traced.
      kernels: given prepared too, to a program for a CPU; None for the plain program.
      partly: take a program that raises as far as it came.
    """
    names = [name for name, _, _ in parameters]
    failures: list[Exception] = []

    def forward(weights: list[jax.Array], x: jax.Array) -> jax.Array:
        try:
            returned = program(dict(zip(names, weights, strict=True)), x)
            return x if partly else choose_output(returned, head.output)
        except Exception as error:
            if not partly:
                raise
            failures.append(error)
            return x

    weights = [jax.ShapeDtypeStruct(shape, dtype) for _, shape, dtype in parameters]
    closed = jax.make_jaxpr(forward)(weights, jax.ShapeDtypeStruct(shape, dtype))
    found = None if partly else ending(closed.jaxpr)
    traced = Traced(closed, found, failures[0] if failures else None)
    if rewriting is not None:
        traced = Traced(rewriting(traced.to_scores()), None, traced.failure)
    if kernels is not None:
        traced = traced.lowered([(names.index(name), form) for name, form in kernels])
    return traced


def traced_program(
    program: Callable[..., Any],
    head: Head,
    parameters: Mapping[str, Any],
    x: Any,
    *,
    rewriting: Rewriting | None = None,
    kernels: tuple[Kernel, ...] | None = None,
    partly: bool = False,
) -> Traced:
    # Sorted, as JAX sorts a dictionary that goes through jit.
    signature = tuple((name, tuple(v.shape), v.dtype) for name, v in sorted(parameters.items()))
    shape = tuple(x.shape)
    mesh = jax.sharding.get_abstract_mesh()
    return _trace(program, head, rewriting, kernels, signature, shape, x.dtype, partly, mesh)


class Reached(Exception):  # noqa: N818 (a signal, not an error)
    """Ends the evaluation once the wanted layer has been computed."""

    def __init__(self, value: Any) -> None:
        self.value = value


@dataclass
class Recorder:
    """The rule at marks: numbers repeated calls, adds taps, keeps outputs, stops where asked."""

    traced: Traced
    taps: Mapping[str, jax.Array] = field(default_factory=dict)
    stop: str | None = None
    keep_marks: bool = False
    activations: dict[str, jax.Array] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    made_by: dict[str, tuple[str, str]] = field(default_factory=dict)  # module, and its call
    calls: dict[str, int] = field(default_factory=dict)
    flops: dict[str, int] = field(default_factory=dict)
    rounds: dict[str, int] = field(default_factory=dict)
    stacked: set[str] = field(default_factory=set)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    logits: Any = None
    depth: int = 0  # of the operations around the ending, how many have been entered

    def __call__(self, eqn: JaxprEqn, inputs: list[Any], scopes: Scopes) -> list[Any] | None:
        if not enters(eqn, self.traced.wanted):
            self._charge(eqn, scopes)
        elif eqn.primitive.name == "scan":
            slices = {id(value) for value in scanned(eqn, inputs)}
            self.stacked |= {name for name, v in self.parameters.items() if id(v) in slices}
        self._look_for_ending(eqn, inputs)
        if eqn.primitive is not mark_p or self.keep_marks:
            return None
        path = eqn.params["path"]
        call = self._name(path)
        name = call + eqn.params["part"]
        if eqn.params["last"]:  # of the arrays that this call returns
            self.calls[path] = self.calls.get(path, 0) + 1
        output = inputs[0]
        if name in self.taps:
            output = output + self.taps[name]
        self.activations[name] = output
        self.kinds[name] = eqn.params["kind"]
        self.made_by[name] = path, call
        rounds = [scope for scope in scopes if scope.startswith(ROUND)]
        if rounds:
            self.rounds[name] = int(rounds[-1].removeprefix(ROUND))
        if name == self.stop:
            raise Reached(output)
        return [output]

    def _look_for_ending(self, eqn: JaxprEqn, inputs: list[Any]) -> None:
        ending = self.traced.ending
        if ending is None or self.depth == len(ending.place):
            return
        if eqn is ending.place[self.depth]:
            self.depth += 1
            if self.depth == len(ending.place):
                self.logits = inputs[ending.operand]

    def _name(self, path: str) -> str:
        """A layer's name in the call that is going on."""
        call = self.calls.get(path, 0) + 1
        return path if call == 1 else f"{path}#{call}"

    def _charge(self, eqn: JaxprEqn, scopes: Scopes) -> None:
        """Charge an operation to the layers that it is in, and to the total (the empty name)."""
        paths = [scope.removeprefix(SCOPE) for scope in scopes if scope.startswith(SCOPE)]
        if cost := operations(eqn):
            for name in dict.fromkeys(("", *map(self._name, paths))):
                self.flops[name] = self.flops.get(name, 0) + cost
