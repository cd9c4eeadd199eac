"""results.json of earlier schema versions as that of this one: an archive outlives the tool."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from reportgen.core.errors import OutputError
from reportgen.core.report import SCHEMA_VERSION

Data = dict[str, Any]


def _from_1(data: Data) -> Data:
    """Version 2 says what was measured of layers and images, which version 1 did not keep."""
    return {**data, "measured": None, "schema_version": 2}


_STEPS: Mapping[int, Callable[[Data], Data]] = {1: _from_1}


def schema_version(data: Any) -> int:
    """Of the content of a results.json.

    Raises:
      OutputError: if this reportgen does not read it.
    """
    version = data.get("schema_version") if isinstance(data, dict) else None
    if type(version) is not int or version < 1:
        raise OutputError(
            f"results.json has schema version {version!r}; expected 1 to {SCHEMA_VERSION}.",
            "It was not written by reportgen, or was changed since: reportgen verify DIR tells.",
        )
    if version > SCHEMA_VERSION:
        raise OutputError(
            f"results.json has schema version {version}; this reportgen reads 1 to "
            f"{SCHEMA_VERSION}.",
            "Take the reportgen that wrote it (see provenance.reportgen in the file), or a later "
            "one.",
        )
    return version


def upgraded(data: Any) -> Data:
    """The content of a results.json in this version's form; the data itself is left as it is.

    Raises:
      OutputError: if it is of a later version, or of none.
    """
    version = schema_version(data)
    for step in range(version, SCHEMA_VERSION):
        data = _STEPS[step](data)
    return dict(data)
