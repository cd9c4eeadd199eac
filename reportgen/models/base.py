"""The Model interface: everything that a method may know of a network.

An adapter supplies a ``Program``: a pure function of parameters and input that announces each of
its layers to a hook. Naming, capture, taps, stopping early, the list of layers and their cost are
then the same for every framework, and are written once, here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from reportgen.core.spec import InputSpec
from reportgen.models.cost import flops_by_scope

Parameters = dict[str, jax.Array]
Hook = Callable[[str, str, Callable[[], Any]], Any]


class Program(Protocol):
    """A network as a pure, hashable function.

    ``program(parameters, x, hook)`` returns the logits (N, classes) for inputs x (N, H, W, C) and
    calls ``hook(path, kind, run)`` for every layer in place of running it; ``run()`` runs it.
    """

    def __call__(self, parameters: Parameters, x: jax.Array, hook: Hook) -> jax.Array: ...


@dataclass(frozen=True, kw_only=True)
class LayerInfo:
    """A layer as the user names it.

    Attributes:
      path: dotted path of the module; a second call of the same module is ``path#2``.
      kind: ``conv``, ``dense``, ``pool``, ``activation``, ``softmax``, ``norm``, ``dropout``, …
      shape: of the output, without the batch.
      parameters: names and shapes of the layer's own parameters, in the layout of Flax (HWIO).
      flops: of this layer and what it contains, for one image; a multiply-add counts as two.
    """

    path: str
    kind: str
    shape: tuple[int, ...]
    parameters: tuple[tuple[str, tuple[int, ...]], ...]
    flops: int

    @property
    def parameter_count(self) -> int:
        """Number of the layer's own parameters."""
        total = 0
        for _, shape in self.parameters:
            size = 1
            for side in shape:
                size *= side
            total += size
        return total

    @property
    def spatial(self) -> bool:
        """True if the output is a stack of maps (H, W, C)."""
        return len(self.shape) == 3


class _Reached(Exception):  # noqa: N818 (a signal, not an error)
    """Unwinds the network's own code once the wanted layer has been computed."""

    def __init__(self, value: Any) -> None:
        self.value = value


@dataclass
class _Recorder:
    """The hook: numbers repeated calls, adds taps, keeps outputs, stops where asked."""

    taps: Mapping[str, jax.Array] = field(default_factory=dict)
    stop: str | None = None
    activations: dict[str, jax.Array] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)

    def __call__(self, path: str, kind: str, run: Callable[[], Any]) -> Any:
        self.calls[path] = call = self.calls.get(path, 0) + 1
        name = path if call == 1 else f"{path}#{call}"
        with jax.named_scope(name):
            output = run()
        if not isinstance(output, jax.Array):
            return output
        if name in self.taps:
            output = output + self.taps[name]
        self.activations[name] = output
        self.kinds[name] = kind
        if name == self.stop:
            raise _Reached(output)
        return output


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class Model:
    """A network with its weights. A pytree: pass it as an argument to a jitted function.

    Attributes:
      parameters: dotted name (``conv1.kernel``) to array; the only leaves.
      program: the network as a function.
      name: short name for the report.
      architecture: name of the class or function that built it.
      spec: its input.
      layers: in execution order.
      flops: of one image; a multiply-add counts as two.
      classes: names of the outputs.
    """

    parameters: Parameters
    program: Program = field(metadata={"static": True})
    name: str = field(metadata={"static": True})
    architecture: str = field(metadata={"static": True})
    spec: InputSpec = field(metadata={"static": True})
    layers: tuple[LayerInfo, ...] = field(metadata={"static": True})
    flops: int = field(metadata={"static": True})
    classes: tuple[str, ...] = field(metadata={"static": True})

    def apply(
        self, x: jax.Array, taps: Mapping[str, jax.Array] | None = None
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Run the network on inputs (N, H, W, C), normalised.

        Args:
          taps: path to an array that is added to that layer's output; zeros give a place to
            differentiate by.

        Returns:
          Logits (N, classes) and the output of every layer by path. Under ``jax.jit`` what is
          not used is not computed.

        Raises:
          KeyError: if a tap names no layer that ran.
        """
        recorder = _Recorder(taps=taps or {})
        logits = self.program(self.parameters, x, recorder)
        if unknown := set(recorder.taps) - set(recorder.activations):
            raise KeyError(f"taps at layers that did not run: {sorted(unknown)}")
        return logits, recorder.activations

    def activation(self, path: str, x: jax.Array) -> jax.Array:
        """Output of one layer, running the network no further than there.

        So the convolutional front of a network that ends in dense layers takes any size.

        Raises:
          KeyError: if no layer of that path ran.
        """
        recorder = _Recorder(stop=path)
        try:
            self.program(self.parameters, x, recorder)
        except _Reached as reached:
            return jnp.asarray(reached.value)
        raise KeyError(f"no layer {path!r} ran")

    def layer(self, path: str) -> LayerInfo:
        """The layer of exactly this path (KeyError if there is none)."""
        for layer in self.layers:
            if layer.path == path:
                return layer
        raise KeyError(path)

    def layer_parameters(self, path: str) -> dict[str, jax.Array]:
        """A layer's own parameters by their short names (``kernel``, ``bias``)."""
        module = path.partition("#")[0]
        return {
            name: self.parameters[f"{module}.{name}"] for name, _ in self.layer(path).parameters
        }

    @property
    def parameter_count(self) -> int:
        """Number of all parameters."""
        return sum(int(array.size) for array in self.parameters.values())

    def with_parameters(self, parameters: Parameters) -> Model:
        """The same network with other weights."""
        return replace(self, parameters=parameters)


class Outline(NamedTuple):
    """What abstract evaluation tells of a network: its layers, number of outputs and FLOPs."""

    layers: tuple[LayerInfo, ...]
    outputs: int
    flops: int


def outline(
    *,
    program: Program,
    parameters: Mapping[str, jax.ShapeDtypeStruct],
    spec: InputSpec,
) -> Outline:
    """A network's layers and cost for one image, without computing anything.

    Args:
      parameters: shapes and types by dotted name; no values are needed.

    Raises:
      Whatever the network's own code raises on an input of ``spec``.
    """
    recorder = _Recorder()

    def forward(weights: Parameters, x: jax.Array) -> jax.Array:
        return program(weights, x, recorder)

    x = jax.ShapeDtypeStruct((1, *spec.shape), jnp.float32)
    traced, logits = jax.make_jaxpr(forward, return_shape=True)(dict(parameters), x)
    flops = flops_by_scope(traced.jaxpr)
    own: dict[str, list[tuple[str, tuple[int, ...]]]] = {}
    for dotted, array in parameters.items():
        module, _, name = dotted.rpartition(".")
        own.setdefault(module, []).append((name, tuple(array.shape)))
    layers = tuple(
        LayerInfo(
            path=path,
            kind=recorder.kinds[path],
            shape=tuple(activation.shape[1:]),
            parameters=tuple(own.get(path, ())),
            flops=flops.get(path, 0),
        )
        for path, activation in recorder.activations.items()
    )
    return Outline(layers, int(logits.shape[-1]), flops[""])
