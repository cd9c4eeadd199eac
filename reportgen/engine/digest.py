"""Digests of what work depends on: settings, programs, arrays, networks, code."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import re
import types
from collections.abc import Callable, Mapping, Set
from enum import Enum
from functools import cache, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import reportgen
from reportgen.models.base import Model

_ADDRESS = re.compile(r"0x[0-9a-f]+")
_PLAIN = (bool, int, float, complex, str, bytes, type(None), slice)


class Digest:
    """SHA-256 over values of any kind that work depends on: equal ones have equal digests.

    Classes and functions from outside of reportgen count with the source of their module, so that
    a changed method of one's own does not find what it made before. The network's own code counts
    as the program that it is traced to.

    Raises:
      TypeError: for a value of which it is not known whether another one is equal.
    """

    def __init__(self) -> None:
        self._content = hashlib.sha256()

    def hex(self) -> str:
        """64 digits."""
        return self._content.hexdigest()

    def take(self, value: Any) -> None:
        """Take in one value."""
        for kinds, take in _TAKERS:
            if isinstance(value, kinds):
                take(self, value)
                return
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            self._source(type(value))
            for field in dataclasses.fields(value):
                self._word(field.name)
                self.take(getattr(value, field.name))
            return
        raise TypeError(f"{type(value).__module__}.{type(value).__qualname__} has no digest")

    def _word(self, *words: str) -> None:
        for word in words:
            self._content.update(f"{len(word)}:{word};".encode())

    def _plain(self, value: Any) -> None:
        self._word(type(value).__name__, repr(value))

    def _array(self, value: Any) -> None:
        if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
            self._word("key", str(value.dtype))
            value = jax.random.key_data(value)
        array = np.ascontiguousarray(value)
        self._word("array", array.dtype.str, repr(np.shape(value)))
        self._content.update(array.reshape(-1).view(np.uint8).data)

    def _several(self, value: Any) -> None:
        self._word(type(value).__name__, str(len(value)))
        for part in value:
            self.take(part)

    def _mapping(self, value: Mapping[Any, Any]) -> None:
        self._word("mapping", str(len(value)))
        for name in sorted(value, key=repr):
            self.take(name)
            self.take(value[name])

    def _set(self, value: Set[Any]) -> None:
        self._several(sorted(value, key=repr))

    def _partial(self, value: partial[Any]) -> None:
        self._several((value.func, value.args, value.keywords))

    def _function(self, value: Any) -> None:
        self._source(value)
        cells = value.__closure__ or ()
        self._several(
            (value.__code__.co_code, value.__defaults__, *(c.cell_contents for c in cells))
        )

    def _method(self, value: types.MethodType) -> None:
        self._several((value.__func__, value.__self__))

    def _type(self, value: type) -> None:
        self._source(value)

    def _network(self, value: Model) -> None:
        self._word("network", network_digest(value))

    def _source(self, value: Any) -> None:
        self._word(value.__module__, value.__qualname__, _source_of(value.__module__))


_TAKERS: tuple[tuple[Any, Callable[[Digest, Any], None]], ...] = (
    (Enum, lambda own, value: own._several((type(value), value.name))),
    (_PLAIN, Digest._plain),
    (Model, Digest._network),
    ((np.ndarray, np.generic, jax.Array), Digest._array),
    ((tuple, list), Digest._several),
    (Mapping, Digest._mapping),
    (Set, Digest._set),
    (Path, lambda own, value: own._plain(str(value))),
    (np.dtype, lambda own, value: own._word("dtype", value.str)),
    (partial, Digest._partial),
    (types.MethodType, Digest._method),
    (types.FunctionType, Digest._function),
    (type, Digest._type),
)


def digest(*values: Any) -> str:
    """Of several values, as hexadecimal digits."""
    own = Digest()
    own.take(values)
    return own.hex()


# The last networks: a method asks for the same one again and again.
_networks: dict[int, tuple[Model, str]] = {}
_KNOWN = 8


def network_digest(model: Model) -> str:
    """Of a network's weights and of the program that it runs."""
    known, found = _networks.get(id(model), (None, ""))
    if known is not model:
        found = digest(
            {name: np.asarray(array) for name, array in model.parameters.items()},
            _program(model),
            *(model.head, model.spec, model.rewriting, model.kernels is None),
        )
        if len(_networks) >= _KNOWN:
            _networks.pop(next(iter(_networks)))
        _networks[id(model)] = model, found
    return found


def _program(model: Model) -> str:
    closed = dataclasses.replace(model, rewriting=None).traced()
    constants = digest([np.asarray(constant) for constant in closed.consts])
    return _ADDRESS.sub("", str(closed.jaxpr)) + constants


@cache
def code_digest() -> str:
    """Of reportgen's own code."""
    folder = Path(reportgen.__file__).parent
    content = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        content.update(f"{path.relative_to(folder).as_posix()}\n".encode())
        content.update(path.read_bytes())
    return content.hexdigest()


@cache
def _source_of(module: str) -> str:
    """Digest of a module that is not reportgen's; that of reportgen is known anyway."""
    if module.partition(".")[0] in ("reportgen", "jax", "jaxlib", "numpy", "builtins", "optax"):
        return ""
    try:
        found = inspect.getsourcefile(__import__(module, fromlist=["_"]))
        return hashlib.sha256(Path(found or "").read_bytes()).hexdigest()
    except (ImportError, OSError, TypeError, ValueError):
        return ""
