"""Typed settings: a dataclass that checks what the configuration gives it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar, dataclass_transform

import pydantic.dataclasses
from pydantic import BeforeValidator, ByteSize, ConfigDict, Field, Strict, ValidationError

from reportgen.core.errors import ConfigError, did_you_mean

T = TypeVar("T")


def _as_bytes(value: Any) -> Any:
    """``4GiB``, and plain numbers that are more than nothing."""
    if isinstance(value, bool) or (isinstance(value, int | float) and value < 1):
        raise ValueError(f"expected a number of bytes such as 4GiB, found {value!r}")
    return value


def _as_tuple(value: Any) -> Any:
    """One value where a list is meant."""
    return value if isinstance(value, list | tuple) or value is None else (value,)


def _as_pattern(value: Any) -> Any:
    """``{kind: conv}`` as YAML reads ``kind: conv``; layer names may be numbers."""
    if isinstance(value, Mapping) and list(value) == ["kind"]:
        return f"kind:{value['kind']}"
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


# Strict, so that a switch (true) is not taken for a number, nor a text for a switch.
Switch = Annotated[bool, Strict()]
Whole = Annotated[int, Strict(), Field(ge=0)]
Count = Annotated[int, Strict(), Field(ge=1)]
Real = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Positive = Annotated[float, Strict(), Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Strict(), Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Strict(), Field(ge=0, le=1)]
Text = Annotated[str, BeforeValidator(_as_pattern)]
Bytes = Annotated[ByteSize, BeforeValidator(_as_bytes)]
FilePath = Annotated[str, Strict(), Field(min_length=1)]
Texts = Annotated[tuple[Text, ...], BeforeValidator(_as_tuple)]
Indices = Annotated[tuple[Whole, ...], BeforeValidator(_as_tuple)]
Reals = Annotated[tuple[Real, ...], BeforeValidator(_as_tuple)]


@dataclass_transform(frozen_default=True, kw_only_default=True)
def settings(cls: type[T]) -> type[T]:
    """A frozen, keyword-only dataclass whose fields are checked; unknown keys are refused."""
    make = pydantic.dataclasses.dataclass(
        frozen=True, kw_only=True, config=ConfigDict(extra="forbid")
    )
    return make(cls)  # type: ignore[return-value]


def parse(cls: type[T], values: Mapping[str, Any], where: str = "") -> T:
    """Settings from plain values.

    Args:
      where: dotted place of the values in the configuration, for messages.

    Raises:
      ConfigError: naming every wrong key and value, what was expected and the nearest name.
    """
    try:
        return cls(**values)
    except ValidationError as error:
        found = [_told(cls, problem, where) for problem in error.errors()]
        if len(found) == 1:
            (message, hint), *_ = found
            raise ConfigError(f"The configuration is wrong at {message}.", hint) from error
        text = "\n".join(f"  {message}. {hint}".rstrip() for message, hint in found)
        raise ConfigError(f"The configuration is wrong:\n{text}") from error


def _told(cls: type, problem: Any, where: str) -> tuple[str, str]:
    """One problem in words, and the likely fix."""
    place = ".".join(str(part) for part in (where, *problem["loc"]) if part != "")
    if problem["type"] == "unexpected_keyword_argument":
        owner = _owner(cls, problem["loc"][:-1])
        fields = list(getattr(owner, "__dataclass_fields__", {}))
        return f"{place}: there is no such key", did_you_mean(str(problem["loc"][-1]), fields)
    if problem["type"] in ("missing", "missing_argument", "missing_keyword_only_argument"):
        return f"{place}: a value is missing", ""
    if problem["type"] == "value_error":  # a class's own check, which says what it found
        return f"{place}: {problem['ctx']['error']}", ""
    if problem["type"] == "string_too_short":
        return f"{place}: expected a path, found an empty one", f"Name it: {place}=PATH"
    message = problem["msg"].replace("Input should be", "expected")
    message = message.replace("a valid i", "an i").replace("a valid ", "a ")
    message = message.replace("a tuple", "a list").replace("a boolean", "true or false")
    return f"{place}: {message}, found {problem['input']!r}", ""


def _owner(cls: type, loc: tuple[Any, ...]) -> type:
    """The settings class that a path of field names leads to."""
    for part in loc:
        field = getattr(cls, "__pydantic_fields__", {}).get(part)
        if field is not None and isinstance(field.annotation, type):
            cls = field.annotation
    return cls
