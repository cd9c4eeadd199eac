"""From the name of a user's factory to an adapted network of whatever framework it returns."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
from flax import linen, nnx

from reportgen.core.errors import ConfigError, ModelError, did_you_mean
from reportgen.core.spec import InputSpec
from reportgen.models import function
from reportgen.models import linen as linen_adapter
from reportgen.models import nnx as nnx_adapter
from reportgen.models.base import Adapted

KERAS_FILE = ".keras"
Build = Callable[[int | None], Any]

# What JAX raises where Python asks for a value that abstract evaluation does not have.
_LOOKED_AT = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
)
_STDLIB = str(Path(os.__file__).parent)
_EXPECTED = (
    "It returns a Flax nnx or Linen module, a function f(params, x), a pair (init, f) with "
    "init(key) -> params, or a Keras model."
)


def adapt(
    name: str,
    kwargs: Mapping[str, Any],
    spec: InputSpec,
    parameters: Callable[[], Mapping[str, Any]],
) -> Adapted:
    """The network that a factory makes; nothing is computed (Keras builds its own weights).

    Args:
      name: ``package.module:name``, or the path of a saved ``.keras`` file.
      kwargs: passed to the factory.
      parameters: shapes by dotted name out of the weights file, for a function that comes without
        an ``init``.

    Raises:
      ModelError: if it cannot be imported, raises, wants other arguments, or returns what is no
        network.
    """
    # Read by Keras when it is first imported, which the user's module may do.
    os.environ.setdefault("KERAS_BACKEND", "jax")
    if name.endswith(KERAS_FILE):
        return _keras().load(Path(name), kwargs, spec)
    factory, module = _imported(name)
    build = calling(name, factory, kwargs)
    return adapt_made(build, spec, parameters, abstract=not _speaks_keras(module))


def adapt_made(
    build: Build,
    spec: InputSpec,
    parameters: Callable[[], Mapping[str, Any]] | None = None,
    *,
    abstract: bool = True,
) -> Adapted:
    """The network that a function of the seed makes; see ``adapt``.

    Args:
      abstract: build it abstractly to see of what kind it is.
    """
    # Keras makes its weights with every model, which takes seconds: it is made once.
    made, parts = _probed(build) if abstract else (_keras().seeded(build, 0), None)
    if isinstance(made, nnx.Module):
        return nnx_adapter.adapt(build, parts)
    if isinstance(getattr(made, "__wrapped__", None), nnx.Module):  # nnx.jit(module)
        return nnx_adapter.adapt(lambda seed: build(seed).__wrapped__)
    if "keras" in sys.modules and isinstance(made, sys.modules["keras"].Model):
        return _keras().adapt(_keras().seeded(build, 0) if abstract else made, spec, build)
    if abstract:
        made = build(0)  # arrays that it holds, or closes over, were abstract
    if isinstance(made, linen.Module):
        return linen_adapter.adapt(made, spec)
    if isinstance(made, tuple) and len(made) == 2 and all(map(callable, made)):
        return function.adapt(made[1], spec, init=made[0])
    if isinstance(made, tuple) or not callable(made) or _foreign(made):
        kind = f"{type(made).__module__}.{type(made).__qualname__}"
        raise ModelError(f"model.factory returned a {kind}.", _EXPECTED)
    if inspect.isclass(made):
        raise ModelError(
            f"model.factory returned the class {made.__name__}, not an object of it.",
            f"Name the class itself as the factory, or return {made.__name__}(…).",
        )
    return function.adapt(made, spec, parameters=parameters)


def _foreign(made: Any) -> bool:
    """Whether a callable is a module or layer of a framework whose networks are not taken so."""
    packages = {cls.__module__.partition(".")[0] for cls in type(made).__mro__}
    return not packages.isdisjoint({"torch", "tensorflow", "keras", "equinox"})


def _imported(name: str) -> tuple[Callable[..., Any], Any]:
    module_name, colon, attribute = name.partition(":")
    if not colon or not module_name or not attribute:
        raise ConfigError(
            f"model.factory is {name!r}.",
            "Write it as package.module:name, or give the path of a saved .keras file.",
        )
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # a script may end itself when it is imported
        raise ModelError(
            f"model.factory {name!r} cannot be imported: {told(error)}.",
            "It is looked for among what is installed and in the folder the command is run in "
            f"({Path.cwd()}).",
        ) from error
    found: Any = module
    for part in attribute.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        names = [key for key, value in vars(module).items() if callable(value)]
        raise ModelError(
            f"{module_name} has no function or class {attribute!r}.", did_you_mean(attribute, names)
        )
    return found, module


def calling(name: str, factory: Callable[..., Any], kwargs: Mapping[str, Any]) -> Build:
    """A factory as a function of the seed, its arguments checked.

    The seed is None where the network is built for its shapes alone.
    """
    given = dict(kwargs)
    signature = _signature(factory)
    wants_rngs = signature is not None and "rngs" in signature.parameters and "rngs" not in given
    if name.startswith("keras.applications") and "weights" not in given:
        given["weights"] = None  # its default would be downloaded; ours come by weights.path
    if signature is not None:
        _check(name, signature, {*given, *(("rngs",) if wants_rngs else ())})

    def build(seed: int | None) -> Any:
        more = {}
        if wants_rngs:
            # Made here, inside of the abstract evaluation that uses them.
            more["rngs"] = nnx_adapter.rngs_for_shapes() if seed is None else nnx.Rngs(seed)
        try:
            return factory(**given, **more)
        except Exception as error:
            hint = (
                "Compare model.kwargs with what it expects: "
                f"{name.partition(':')[2]}{signature or '(…)'}"
            )
            if "nnx.List" in str(error):
                hint = "Flax keeps modules in nnx.List([…]) or nnx.Dict({…}), not in Python's own."
            raise ModelError(f"model.factory {name!r} raised {told(error)}.", hint) from error

    return build


def _signature(factory: Callable[..., Any]) -> inspect.Signature | None:
    # A class of Flax nnx has a metaclass whose own signature hides the constructor's.
    is_class = inspect.isclass(factory)
    try:
        signature = inspect.signature(factory.__init__ if is_class else factory)
    except (TypeError, ValueError):
        return None
    if not is_class:
        return signature
    # Linen gives every module two arguments that are none of the user's.
    is_linen = isinstance(factory, type) and issubclass(factory, linen.Module)
    hidden = {"parent", "name"} if is_linen else set()
    return signature.replace(
        parameters=[p for p in list(signature.parameters.values())[1:] if p.name not in hidden],
        return_annotation=inspect.Signature.empty,
    )


def _check(name: str, signature: inspect.Signature, given: set[str]) -> None:
    known = signature.parameters
    short = f"{name.partition(':')[2]}{signature}"
    open_ended = any(p.kind is p.VAR_KEYWORD for p in known.values())
    if not open_ended and (unknown := sorted(given - set(known))):
        raise ModelError(
            f"model.factory {name!r} takes no argument {unknown[0]!r}: {short}.",
            did_you_mean(unknown[0], [key for key in known if key != "rngs"]),
        )
    missing = [
        p.name
        for p in known.values()
        if p.default is p.empty
        and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
        and p.name not in given
    ]
    if missing:
        hint = " ".join(f"+model.kwargs.{argument}=…" for argument in missing)
        if missing[0] in ("params", "parameters", "variables", "weights") and len(missing) == 2:
            hint = "If this is the network itself, name a function that returns it."
        raise ModelError(f"model.factory {name!r} needs {', '.join(missing)}: {short}.", hint)


def _probed(build: Build) -> tuple[Any, tuple[Any, Any] | None]:
    """What a factory returns, found without computing anything; only its type may be used.

    A factory that looks at the values of arrays is run for real.

    Returns:
      The object, and for an nnx module its static part and the shapes of its arrays.
    """
    made: list[Any] = []

    def probe(seed: int | None = None) -> Any:
        made.append(build(seed))
        if not isinstance(made[0], nnx.Module):
            return None
        graph, state = nnx_adapter.abstract(made[0])
        made.append(graph)
        return state

    try:
        state = jax.eval_shape(probe)
    except ModelError as error:
        if not isinstance(error.__cause__, _LOOKED_AT):
            raise
        values = probe(0)
        state = jax.eval_shape(lambda: values)
    return made[0], (made[1], state) if len(made) == 2 else None


def _speaks_keras(module: Any) -> bool:
    """Whether a module is Keras's or imports from it: its models are not built abstractly."""
    names = [module.__name__]
    for value in list(vars(module).values()):
        is_module = inspect.ismodule(value)
        names.append(value.__name__ if is_module else str(getattr(value, "__module__", "")))
    return any(name.partition(".")[0] == "keras" for name in names)


def _keras() -> Any:
    try:
        from reportgen.models import keras
    except ImportError as error:
        raise ModelError(
            f"A Keras model needs Keras: {error}.", "Install it: pip install 'reportgen[keras]'"
        ) from error
    return keras


def told(error: BaseException) -> str:
    """An exception in one line, with the last place in it that is the user's own."""
    first = (str(error).splitlines() or [""])[0].rstrip(".")
    if first.endswith(":"):  # an announcement of lines that are not shown
        first = first.rpartition(". ")[0] or first.rstrip(":")
    text = first if isinstance(error, ImportError) else f"{type(error).__name__}: {first}"
    libraries = ("site-packages", "dist-packages", f"{os.sep}reportgen{os.sep}", "<frozen", _STDLIB)
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not any(part in frame.filename for part in libraries)
    ]
    return f"{text} ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else text
