"""results.json and arrays/*.npz as values: a Report to plain data and back (no file is touched)."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from reportgen.core.blocks import ComparedMap, Comparison, Group, Heatmap
from reportgen.core.errors import OutputError
from reportgen.core.measured import Measured, MeasuredLayer
from reportgen.core.report import SCHEMA_VERSION, Report, Section
from reportgen.core.upgrade import upgraded

Arrays = dict[str, dict[str, np.ndarray]]

MEASURED = "measured"  # the file of arrays; no method is called so


class _Writer:
    """Names the arrays of one file: ``conv1/montage/tiles``, numbered where a name recurs.

    What several sections show of an image, the image itself and the maps of a comparison, is not
    stored again; all else is found in its section's file under its own name.

    Args:
      name: of the file.
      parts: what holds the arrays.
      stored: where each array of earlier sections is, by its content; added to.
    """

    def __init__(
        self, name: str, parts: Iterable[Any], stored: dict[bytes, dict[str, Any]]
    ) -> None:
        self.file = f"{_slug(name)}.npz"
        self.arrays: dict[str, np.ndarray] = {}
        self._stored = stored
        self._places: dict[int, dict[str, Any]] = {}
        for part in parts:
            self._name(part, "")

    def _name(self, value: Any, prefix: str, shared: bool = False) -> None:
        if isinstance(value, np.ndarray):
            if id(value) not in self._places:
                array = np.ascontiguousarray(value)
                content = hashlib.sha256(f"{array.dtype.str} {array.shape}\n".encode())
                content.update(array.data)
                place = self._stored.get(content.digest()) if shared else None
                place = place or self._keep(array, prefix)
                self._stored.setdefault(content.digest(), place)
                self._places[id(value)] = place
        elif isinstance(value, tuple):
            for part in value:
                self._name(part, prefix)
        elif is_dataclass(value):
            if isinstance(value, Group):
                prefix = f"{prefix}{_slug(value.title)}/"
            elif isinstance(value, MeasuredLayer):
                prefix = f"{prefix}{_slug(value.path)}/"
            elif (kind := getattr(value, "type", None)) is not None:
                part = getattr(value, "part", "")
                prefix = f"{prefix}{_slug(part)}/{kind}/" if part else f"{prefix}{kind}/"
            for field in fields(value):
                inner = getattr(value, field.name)
                name = field.name if isinstance(inner, np.ndarray) else ""
                shared = isinstance(value, Comparison | ComparedMap) or (
                    isinstance(value, Heatmap) and name == "image"
                )
                self._name(inner, prefix + name, shared)

    def _keep(self, array: np.ndarray, prefix: str) -> dict[str, Any]:
        key, count = prefix, 1
        while key in self.arrays:
            count += 1
            key = f"{prefix}-{count}"
        self.arrays[key] = array
        return {
            "file": self.file,
            "key": key,
            "shape": list(array.shape),
            "dtype": str(array.dtype),
        }

    def put(self, value: np.ndarray) -> dict[str, Any]:
        return self._places[id(value)]


def _slug(name: str) -> str:
    """A name that is safe as a part of a path inside an archive."""
    return re.sub(r"[^A-Za-z0-9_#.-]+|^\.+", "_", name)[:80] or "_"


def strict(value: Any) -> Any:
    """Non-finite floats as strings that the reader takes back: strict JSON has no such numbers."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {key: strict(part) for key, part in value.items()}
    if isinstance(value, list):
        return [strict(part) for part in value]
    return value


class _Reader:
    def __init__(self, load: Callable[[str], Mapping[str, np.ndarray]]) -> None:
        self._load = cache(load)

    def get(self, reference: Mapping[str, Any]) -> np.ndarray:
        try:
            array = self._load(str(reference["file"]))[str(reference["key"])]
        except KeyError as error:
            raise ValueError(f"no array {error} for {dict(reference)}") from error
        if list(array.shape) != list(reference["shape"]):
            raise ValueError(f"array {reference['key']} has shape {array.shape}, not as stated")
        return array


@cache
def _adapter(kind: type) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def dump(report: Report) -> tuple[dict[str, Any], Arrays]:
    """A report as data for strict JSON, and the arrays it refers to, each in its section's file.

    An image that several sections explain is in the file of the first.
    """
    arrays: Arrays = {}
    stored: dict[bytes, dict[str, Any]] = {}
    sections = []
    for section in report.sections:
        writer = _Writer(section.method, section.blocks, stored)
        sections.append(_adapter(Section).dump_python(section, mode="json", context=writer))
        if writer.arrays:
            arrays[writer.file] = writer.arrays
    bare = replace(report, sections=(), measured=None)
    data = _adapter(Report).dump_python(bare, mode="json")
    data["sections"] = sections
    if report.measured is not None:
        writer = _Writer(MEASURED, (report.measured,), stored)
        data["measured"] = _adapter(Measured).dump_python(
            report.measured, mode="json", context=writer
        )
        arrays[writer.file] = writer.arrays
    return strict(data), arrays


def load(data: Any, load_arrays: Callable[[str], Mapping[str, np.ndarray]]) -> Report:
    """The report of plain data; ``load_arrays`` opens one file of arrays by name.

    Raises:
      OutputError: if the data is of a later schema version, or not of its schema.
    """
    data = upgraded(data)
    try:
        report: Report = _adapter(Report).validate_python(data, context=_Reader(load_arrays))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise OutputError(f"results.json is damaged at {where}: {first['msg']}") from error
    return report


def json_schema() -> dict[str, Any]:
    """The JSON Schema of results.json; the package ships it as a file, and a test compares them."""
    schema = _adapter(Report).json_schema(mode="serialization")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"reportgen results, version {SCHEMA_VERSION}",
        **schema,
    }
