"""From the configuration to a Model with its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from reportgen.config import Config, ScoreConfig
from reportgen.core.errors import ConfigError, ModelError, UserError, WeightsError, did_you_mean
from reportgen.core.paths import beside
from reportgen.core.spec import InputSpec
from reportgen.embedded import FOLDER
from reportgen.models import factory
from reportgen.models.base import Adapted, Model, Outline, Parameters, outline
from reportgen.models.classes import class_names
from reportgen.models.head import Head
from reportgen.models.heap import keep_memory
from reportgen.models.weights.load import Naming, looks_like_weights, place_file, read


@dataclass(frozen=True)
class Weights:
    """Where the weights came from.

    Attributes:
      source: words for the report.
      sha256: of the file; empty if there is none.
      random: they were drawn, not learned.
      scheme: whose names the file uses: ``torchvision``, ``keras``, …; empty for the network's own.
      problems: what of the file did not fit, a line each; only with ``weights.strict=false``.
      drawn: names of parameters that the file did not give, and that were drawn instead.
    """

    source: str
    sha256: str
    random: bool
    scheme: str = ""
    problems: tuple[str, ...] = ()
    drawn: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network without weights: all that listing its layers needs."""

    name: str
    architecture: str
    spec: InputSpec
    classes: tuple[str, ...]
    adapted: Adapted
    outline: Outline

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of how the network is run."""
        adapted = self.adapted
        return (
            f"{adapted.framework}; evaluation mode: {adapted.evaluation}.",
            f"Scores: {self.outline.head.words}.",
            *(
                f"Not listed: {path} runs inside of {around}, where its output cannot be seen."
                for path, around in self.outline.hidden
            ),
        )

    def with_weights(self, parameters: Parameters) -> Model:
        """The Model of these weights."""
        return Model(
            parameters=parameters,
            program=self.adapted.program,
            head=self.outline.head,
            name=self.name,
            architecture=self.architecture,
            spec=self.spec,
            layers=self.outline.layers,
            flops=self.outline.flops,
            classes=self.classes,
            statistics=self.adapted.statistics,
        )


def describe(
    adapted: Adapted,
    *,
    spec: InputSpec,
    name: str,
    architecture: str,
    classes: tuple[str, ...] = (),
    score: ScoreConfig,
    output: str = "",
) -> Network:
    """List an adapted network's layers; nothing is computed.

    Args:
      classes: names of the scores; empty for their numbers.

    Raises:
      ModelError: if it does not run on its input, or its output does not fit the rest.
    """
    head = Head(output=output, ends_in="", score=score)
    try:
        seen = outline(
            program=adapted.program,
            parameters=adapted.shapes,
            spec=spec,
            head=head,
            statistics=adapted.statistics,
        )
    except UserError:
        raise
    except Exception as error:
        raise ModelError(
            f"model {name!r} ({architecture}) does not run on an input of {spec.shape} "
            f"(height, width, channels): {factory.told(error)}.",
            "Compare model.input and model.kwargs with what the network expects.",
        ) from error
    if classes and score.kind != "norm" and len(classes) != seen.outputs:
        raise ModelError(
            f"model.classes has {len(classes)} names for {seen.outputs} outputs.",
            "Give one name an output, or model.classes=[] for numbers.",
        )
    if score.kind == "norm":
        classes = ("norm",)
    return Network(
        name=name,
        architecture=architecture,
        spec=spec,
        classes=classes or tuple(str(i) for i in range(seen.outputs)),
        adapted=adapted,
        outline=seen,
    )


def open_network(config: Config) -> Network:
    """Build a network abstractly; no weights are made and nothing is computed.

    Only a plain function without ``init`` has its weights file read: its parameters' shapes stand
    nowhere else.

    Raises:
      ModelError: if the factory cannot be imported, fails, or its classes do not fit its outputs.
    """
    if config.engine.cpu_lowerings:
        keep_memory()
    model = config.model
    tensors: dict[str, Any] = {}

    def from_file() -> Mapping[str, Any]:
        if config.weights.path is None:
            raise ModelError(
                f"model.factory {model.factory!r} returned a function without parameters.",
                "Give its weights (weights.path=…), or return a pair (init, f) with "
                "init(key) -> params.",
            )
        tensors.update(read(_path(config)).tensors)
        return tensors

    adapted = factory.adapt(model.factory, model.kwargs, model.input, from_file)
    try:
        return describe(
            adapted,
            spec=model.input,
            name=model.name,
            architecture=model.factory,
            classes=class_names(model.classes),
            score=config.score,
            output=model.output,
        )
    except ModelError as error:
        if not tensors or not isinstance(error.__cause__, LookupError):
            raise
        # Its parameters are the file's, so what it does not find there is the file's fault.
        raise WeightsError(
            f"{_path(config)} holds the weights of another network: {model.factory} raised "
            f"{factory.told(error.__cause__)}. The file has {_some(list(tensors))}.",
            "Give the weights of this network: weights.path=…",
        ) from error


def _some(names: list[str]) -> str:
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "")


def load_model(network: Network, config: Config) -> tuple[Model, Weights]:
    """A network with the weights that the configuration asks for.

    Raises:
      WeightsError: if there are none, or they do not fit.
    """
    wanted = config.weights
    if wanted.source in ("random", "factory"):
        if wanted.path is not None:
            raise ConfigError(
                f"Both weights={wanted.source} and weights.path are given.",
                "Take one of the two away.",
            )
        random = wanted.source == "random"
        if random and _own_file(config):
            raise ConfigError(
                f"weights=random is given, and {config.model.factory} has weights of its own.",
                "Take one away: name a factory that builds the network, or leave weights= out.",
            )
        if not random and config.model.factory.startswith("reportgen.models.zoo."):
            raise ConfigError(
                f"weights=factory is given, and {config.model.factory} loads no weights.",
                "Ask for random ones (weights=random), or give a file (weights.path=…).",
            )
        parameters = network.adapted.initial(config.seed)
        source = (
            f"random, seed {config.seed}" if random else f"as {config.model.factory} makes them"
        )
        return _ready(network, parameters, config), Weights(source, "", random)
    path = _path(config)
    adapted = network.adapted
    placed = place_file(
        path, adapted.shapes, _naming(network), strict=wanted.strict, finite=wanted.finite
    )
    parameters = placed.parameters
    missing = tuple(name for name in adapted.shapes if name not in parameters)
    if missing:
        drawn = adapted.initial(config.seed)
        parameters = {**parameters, **{name: drawn[name] for name in missing}}
    scheme = "" if placed.scheme == "own" else placed.scheme
    names = f", names of {scheme}" if scheme else ""
    shipped = path.parent == FOLDER
    source = f"{'embedded ' + path.name if shipped else path} ({placed.format}{names})"
    weights = Weights(source, placed.sha256, False, scheme, placed.problems, missing)
    return _ready(network, parameters, config), weights


def _ready(network: Network, parameters: Parameters, config: Config) -> Model:
    """The Model of these weights, in the form that the device is fastest at."""
    model = network.with_weights(parameters)
    on_cpu = jax.default_backend() == "cpu"
    return model.for_cpu() if on_cpu and config.engine.cpu_lowerings else model


def _naming(network: Network) -> Naming:
    """What a network of the zoo, or a user's, says of other frameworks' names for its weights."""

    def said(name: str, nothing: Any) -> Any:
        method = getattr(network.adapted.network, name, None)
        return method() if callable(method) else nothing

    return Naming(
        said("published", {}),
        said("flattened", {}),
        tuple(said("ignored", ())),
        {
            layer.path: layer.shape[-1]
            for layer in network.outline.layers
            if layer.kind == "conv_transpose"
        },
    )


def _own_file(config: Config) -> Path | None:
    """The file that the model itself is read from, if it is one that holds weights too."""
    name = config.model.factory
    return Path(name) if name.endswith(factory.KERAS_FILE) else None


def _path(config: Config) -> Path:
    model = config.model
    if config.weights.path is not None:
        path = Path(config.weights.path)
        if not path.exists():
            raise WeightsError(
                f"There is no weights file {path}.", beside(path, looks_like_weights)
            )
        return path
    embedded = [file.name for file in sorted(FOLDER.glob("*.safetensors"))]
    if model.embedded and model.embedded not in embedded:
        raise WeightsError(
            f"model.embedded is {model.embedded!r}, which is no file of weights that comes with "
            "reportgen.",
            f"{did_you_mean(model.embedded, embedded)} Weights of your own: weights.path=FILE.",
        )
    own = FOLDER / model.embedded if model.embedded else _own_file(config)
    if own is None:
        raise WeightsError(
            f"model {model.name!r} comes without weights.",
            "Give a file (weights.path=…), ask for random ones (weights=random), or for those "
            "that the factory itself makes or loads (weights=factory).",
        )
    return own
