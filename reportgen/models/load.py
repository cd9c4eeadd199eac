"""From the configuration to a Model with its weights."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
from flax import nnx

from reportgen.config import ModelConfig, WeightsConfig
from reportgen.core.errors import ConfigError, ModelError, WeightsError, did_you_mean
from reportgen.embedded import FOLDER
from reportgen.models import nnx as nnx_adapter
from reportgen.models.base import Model, Outline, Parameters, outline
from reportgen.models.weights import safetensors
from reportgen.models.weights.place import place


@dataclass(frozen=True)
class Weights:
    """Where the weights came from: words for the report, SHA-256 of the file, random or not."""

    source: str
    sha256: str
    random: bool


@dataclass(frozen=True)
class Network:
    """A network without weights: all that listing its layers needs."""

    config: ModelConfig
    build: Callable[[int], nnx.Module]
    program: nnx_adapter.NnxProgram
    shapes: dict[str, jax.ShapeDtypeStruct]
    outline: Outline

    def with_weights(self, parameters: Parameters) -> Model:
        """The Model of these weights."""
        classes = self.config.classes or tuple(str(i) for i in range(self.outline.outputs))
        return Model(
            parameters=parameters,
            program=self.program,
            name=self.config.name,
            architecture=self.config.factory,
            spec=self.config.input,
            layers=self.outline.layers,
            flops=self.outline.flops,
            classes=classes,
        )


def open_network(config: ModelConfig) -> Network:
    """Build a network abstractly; no weights are made and nothing is computed.

    Raises:
      ModelError: if the factory cannot be imported, fails, or its classes do not fit its outputs.
    """
    factory = _factory(config.factory)

    def build(seed: int = 0) -> nnx.Module:
        # The random streams are made here, inside of the abstract evaluation that uses them.
        module: nnx.Module = factory(**config.kwargs, rngs=nnx.Rngs(seed))
        return module

    try:
        program, shapes = nnx_adapter.split(build)
        seen = outline(program=program, parameters=shapes, spec=config.input)
    except Exception as error:
        raise ModelError(
            f"model {config.name!r} ({config.factory}) does not build or run on an input of "
            f"{config.input.shape}: {type(error).__name__}: {str(error).splitlines()[0]}",
            "Compare model.kwargs and model.input with what the class expects.",
        ) from error
    if config.classes and len(config.classes) != seen.outputs:
        raise ModelError(
            f"model.classes has {len(config.classes)} names for {seen.outputs} outputs.",
            "Give one name an output, or model.classes=[] for numbers.",
        )
    return Network(config, build, program, shapes, seen)


def _factory(name: str) -> Callable[..., Any]:
    module_name, colon, attribute = name.partition(":")
    if not colon:
        raise ConfigError(f"model.factory is {name!r}.", "Write it as package.module:name.")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ModelError(f"model.factory {name!r} cannot be imported: {error}.") from error
    found = getattr(module, attribute, None)
    if not callable(found):
        names = [key for key, value in vars(module).items() if callable(value)]
        raise ModelError(
            f"{module_name} has no function or class {attribute!r}.", did_you_mean(attribute, names)
        )
    return found


def load_model(network: Network, config: WeightsConfig, seed: int) -> tuple[Model, Weights]:
    """A network with the weights that the configuration asks for.

    Raises:
      WeightsError: if there are none, or they do not fit.
    """
    if config.random and config.path is not None:
        raise ConfigError(
            "Both weights=random and weights.path are given.", "Take one of the two away."
        )
    if config.random:
        parameters = nnx_adapter.parameters_of(network.build(seed), network.program)
        return network.with_weights(parameters), Weights(f"random, seed {seed}", "", True)
    path = _path(network.config, config)
    parameters = place(safetensors.read(path), network.shapes, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    source = "embedded" if config.path is None else str(config.path)
    return network.with_weights(parameters), Weights(f"{source} ({path.name})", digest, False)


def _path(model: ModelConfig, config: WeightsConfig) -> Path:
    if config.path is None:
        if not model.embedded:
            raise WeightsError(
                f"model {model.name!r} comes without weights.",
                "Give a file (weights.path=…), or ask for random ones (weights=random).",
            )
        return FOLDER / model.embedded
    path = Path(config.path)
    if not path.is_file():
        near = [str(other) for other in path.parent.glob("*.safetensors")]
        raise WeightsError(f"There is no weights file {path}.", did_you_mean(str(path), near))
    return path
