"""Keras 3 models on the JAX backend behind the Model interface (extra ``keras``).

A layer is named by its place: its name, below the names of the models that hold it. Layers are
marked while one trace is going on, in which ``Layer.__call__`` is exchanged under a lock.
"""

from __future__ import annotations

import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from reportgen.core.errors import ModelError
from reportgen.core.paths import beside
from reportgen.core.spec import InputSpec
from reportgen.models.base import Adapted, Parameters
from reportgen.models.evaluation import evaluation_arguments, in_words
from reportgen.models.weights.checkpoint import reading
from reportgen.rewrite.compat import held
from reportgen.rewrite.marks import SCOPE, mark

_LOCK = threading.RLock()
# Names of what Keras's normalisations measure. That a variable is not trainable does not tell it:
# a person may have frozen kernels.
_STATISTICS = ("moving_mean", "moving_variance")
# The first that is a base of the layer's class says its kind.
_KINDS: tuple[tuple[str, str], ...] = (
    ("Conv", "conv"),
    ("DepthwiseConv", "conv"),
    ("SeparableConv", "conv"),
    ("Dense", "dense"),
    ("EinsumDense", "dense"),
    ("MultiHeadAttention", "attention"),
    ("Softmax", "softmax"),
    ("Add", "add"),
    ("Concatenate", "concat"),
    ("Flatten", "flatten"),
    ("Reshape", "reshape"),
    ("ZeroPadding", "pad"),
    ("Embedding", "embed"),
)


def kind_of(layer: keras.Layer) -> str:
    """A layer's kind: its own ``kind`` attribute, else by its Keras class, else ``block``."""
    named = getattr(type(layer), "kind", None)
    if isinstance(named, str):
        return named
    name = type(layer).__name__
    if isinstance(layer, keras.Model):
        return "block"
    if isinstance(layer, keras.layers.Activation):
        softmax = getattr(layer.activation, "__name__", "") == "softmax"
        return "softmax" if softmax else "activation"
    if "Pooling" in name:
        return "pool"
    if "Normalization" in name:
        return "norm"
    if "Dropout" in name or name == "GaussianNoise":
        return "dropout"
    if "ReLU" in name or name in ("ELU", "Swish"):
        return "activation"
    if "ConvTranspose" in name.replace("1D", "").replace("2D", "").replace("3D", ""):
        return "conv_transpose"
    bare = name.rstrip("D").rstrip("123")
    return next((kind for known, kind in _KINDS if bare == known), "block")


@contextmanager
def _marking(root: keras.Model) -> Iterator[None]:
    """Every layer that is called inside marks its output by its path below ``root``."""
    with _LOCK:
        original = keras.layers.Layer.__call__
        above: list[str] = []

        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            if self is root or isinstance(self, keras.layers.InputLayer):
                return original(self, *args, **kwargs)
            kwargs = _evaluating(self, kwargs)
            above.append(self.name)
            path = ".".join(above)
            try:
                with jax.named_scope(SCOPE + path):
                    return mark(original(self, *args, **kwargs), path, kind_of(self))
            finally:
                above.pop()

        keras.layers.Layer.__call__ = call
        try:
            yield
        finally:
            keras.layers.Layer.__call__ = original


@contextmanager
def _own_words() -> Iterator[None]:
    """Exceptions keep their own words; Keras puts a list of arguments around them."""
    with _LOCK:
        changed = keras.config.is_traceback_filtering_enabled()
        keras.config.disable_traceback_filtering()
        try:
            yield
        finally:
            if changed:
                keras.config.enable_traceback_filtering()


def _evaluating(layer: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    """A layer's arguments with ``training=False``, whatever the user's code says."""
    # It is always a keyword: Keras takes nothing but tensors by position.
    return {**kwargs, **evaluation_arguments(layer.call)}


@dataclass(frozen=True, eq=False)
class KerasProgram:
    """A Keras model as a pure function of its dotted variables (evaluation mode).

    Attributes:
      names: of its trainable and of its other variables, in Keras's order.
      constants: values of variables that are no weights (states of random generators).
    """

    model: keras.Model
    names: tuple[tuple[str, ...], tuple[str, ...]]
    constants: dict[str, np.ndarray]

    def __call__(self, parameters: Parameters, x: jax.Array) -> Any:
        values = {**self.constants, **parameters}
        trainable, other = ([jnp.asarray(values[n]) for n in part] for part in self.names)
        more = evaluation_arguments(self.model.call)
        with _marking(self.model), _own_words():
            outputs, _ = self.model.stateless_call(trainable, other, x, **more)
        return outputs


def load(path: Path, kwargs: Mapping[str, Any], spec: InputSpec) -> Adapted:
    """The model of a saved ``.keras`` file; no code in it is run (Keras's safe mode).

    Raises:
      ModelError: if there is no such file, or Keras cannot load it.
      WeightsError: if it is damaged.
    """
    if not path.is_file():
        hint = beside(path, lambda other: other.suffix == ".keras")
        raise ModelError(f"There is no Keras file {path}.", hint)
    _check_backend()
    # Keras takes a damaged archive for a file that is not there, and from Python 3.12 on, where
    # an archive's checksums do not hold for what is read out of order, for a whole one.
    with reading(path, ".keras"), zipfile.ZipFile(path) as archive:
        if broken := archive.testzip():
            raise ValueError(f"{broken} is damaged")
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True, **kwargs)
    except Exception as error:
        first = (str(error).splitlines() or [""])[0]
        raise ModelError(
            f"Keras cannot load {path}: {type(error).__name__}: {first}",
            "A model with layers of your own needs a factory that imports them: "
            "model.factory=package.module:name.",
        ) from error
    return adapt(model, spec)


def seeded(build: Callable[[int | None], Any], seed: int) -> Any:
    """What a factory makes from a seed, with the names that its layers have the first time."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    return build(seed)


def adapt(
    model: keras.Model,
    spec: InputSpec,
    build: Callable[[int | None], keras.Model] | None = None,
) -> Adapted:
    """A Keras model's program and the shapes of its variables.

    Args:
      build: made the model from seed 0, and makes it again from others; without it the model's
        own weights are the only ones.

    Raises:
      ModelError: if Keras runs on another backend or with channels first, or the model does not
        take inputs of ``spec``.
    """
    _check_backend()
    _complete(model, spec)
    _check_shapes(model, spec)
    names = _names(model)
    trainable, other = (
        tuple(names.get(id(v), str(v.path)) for v in variables)
        for variables in (model.trainable_variables, model.non_trainable_variables)
    )
    variables = dict(zip((*trainable, *other), _variables(model), strict=True))
    weights = [n for n, v in variables.items() if jnp.issubdtype(v.dtype, jnp.floating)]

    def initial(seed: int) -> Parameters:
        made = model if build is None or seed == 0 else seeded(build, seed)
        _complete(made, spec)
        values = dict(zip(variables, _variables(made), strict=True))
        return {name: jnp.asarray(values[name].value) for name in weights}

    return Adapted(
        program=KerasProgram(
            model,
            (trainable, other),
            {n: np.asarray(v.value) for n, v in variables.items() if n not in weights},
        ),
        shapes={n: held(variables[n]) for n in weights},
        initial=initial,
        framework="Keras",
        evaluation=in_words(
            evaluation_arguments(model.call), "dropout off, batch statistics frozen"
        ),
        network=model,
        statistics=frozenset(
            n for n in weights if n.rpartition(".")[2].partition("#")[0] in _STATISTICS
        ),
    )


def _variables(model: keras.Model) -> list[Any]:
    return [*model.trainable_variables, *model.non_trainable_variables]


def _complete(model: keras.Model, spec: InputSpec) -> None:
    """Have a model make its variables, if it waits for its first input to do so."""
    if model.built:
        return
    try:
        with _own_words():
            model(np.zeros((1, *spec.shape), np.float32), **evaluation_arguments(model.call))
    except Exception as error:
        raise ModelError(
            f"The Keras model {model.name!r} cannot be built on an input of {spec.shape} "
            f"(height, width, channels): {(str(error).splitlines() or [''])[0]}",
            "Compare model.input with what it expects.",
        ) from error


def _check_backend() -> None:
    if keras.backend.backend() != "jax":
        raise ModelError(
            f"Keras runs on the backend {keras.backend.backend()!r}; reportgen needs 'jax'.",
            "Set the environment variable KERAS_BACKEND=jax.",
        )


def _check_shapes(model: keras.Model, spec: InputSpec) -> None:
    taken = getattr(model, "input_shape", None)
    if isinstance(taken, list | dict):
        raise ModelError(
            f"The Keras model {model.name!r} takes {len(taken)} inputs; reportgen gives it one "
            "batch of images.",
        )
    if not taken or len(taken) != 4:
        return
    found = (None, *spec.shape)
    if any(a is not None and b is not None and a != b for a, b in zip(taken, found, strict=True)):
        raise ModelError(
            f"The Keras model {model.name!r} takes (height, width, channels) {taken[1:]}, "
            f"found model.input {spec.shape}.",
            f"Set model.input.height={taken[1]} model.input.width={taken[2]} "
            f"model.input.channels={taken[3]}."
            if None not in taken[1:]
            else "",
        )


def _names(model: keras.Model) -> dict[int, str]:
    """Dotted names of a model's weights, by ``id``: the path of the layer that owns each, and its
    own name; a second one of the same name is ``name#2``.
    """
    names: dict[int, str] = {}

    def visit(layer: keras.Layer, above: tuple[str, ...]) -> None:
        for part in layer._flatten_layers(include_self=False, recursive=False):
            visit(part, (*above, part.name))
        for variable in layer.weights:
            if id(variable) in names:
                continue
            name = short = ".".join((*above, variable.name))
            count = 1
            while name in names.values():
                count += 1
                name = f"{short}#{count}"
            names[id(variable)] = name

    visit(model, ())
    return names
