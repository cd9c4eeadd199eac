"""What the fields of blocks are made of: arrays that are stored beside results.json, captions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import (
    BeforeValidator,
    PlainSerializer,
    PlainValidator,
    SerializationInfo,
    ValidationInfo,
    WithJsonSchema,
)


def _store(value: np.ndarray, info: SerializationInfo) -> Any:
    return info.context.put(value) if info.context is not None else value


def _load(value: Any, info: ValidationInfo) -> np.ndarray:
    if isinstance(value, np.ndarray):
        return value
    if info.context is None:
        raise ValueError("an array reference needs the folder it refers to")
    loaded: np.ndarray = info.context.get(value)
    return loaded


Array = Annotated[
    np.ndarray,
    PlainValidator(_load),
    PlainSerializer(_store),
    WithJsonSchema(
        {
            "type": "object",
            "description": "A float, integer or boolean array in arrays/<file>.npz under <key>.",
            "properties": {
                "file": {"type": "string"},
                "key": {"type": "string"},
                "shape": {"type": "array", "items": {"type": "integer"}},
                "dtype": {"type": "string"},
            },
            "required": ["file", "key", "shape", "dtype"],
            "additionalProperties": False,
        }
    ),
]
Number = Annotated[
    float,
    WithJsonSchema({"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]}),
]


def _number(value: Any) -> Any:
    """What is no JSON number is written as a word, see ``results``."""
    return float(value) if value in ("NaN", "Infinity", "-Infinity") else value


Cell = Annotated[str | int | Number | bool | None, BeforeValidator(_number)]


@dataclass(frozen=True, kw_only=True)
class Caption:
    """What is printed under every picture.

    Attributes:
      title: what is shown (``conv1 · kernel``).
      detail: layer, shape, selection and anything cut, in words.
      formula: name of the formula or procedure, with its source.
      override: the command line that makes this picture again.
    """

    title: str
    detail: str = ""
    formula: str = ""
    override: str = ""
