"""Names of a network's outputs: listed in the configuration, or in a file that it names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from reportgen.core.errors import ModelError
from reportgen.core.paths import beside

_ENDINGS = (".txt", ".json")


def class_names(given: tuple[str, ...]) -> tuple[str, ...]:
    """The names that ``model.classes`` gives.

    Args:
      given: the names; or one file: text with a name a line, or JSON with a list, or with indices
        to names, or to pairs of identifier and name (Keras's ``imagenet_class_index.json``).

    Raises:
      ModelError: if the file is not there or holds something else.
    """
    if len(given) != 1 or not given[0].endswith(_ENDINGS):
        return given
    path = Path(given[0])
    if not path.is_file():
        hint = beside(path, lambda other: other.suffix in _ENDINGS)
        raise ModelError(f"There is no file of class names {path}.", hint)
    try:
        text = path.read_text("utf-8")
        names = _from_json(json.loads(text)) if path.suffix == ".json" else text.splitlines()
    except ValueError as error:
        raise ModelError(
            f"The class names in {path} cannot be read: {error}.",
            'It is a JSON list of names, or {"0": "name", …}; in a .txt file a name a line.',
        ) from error
    return tuple(name.strip() for name in names if name.strip())


def _from_json(found: Any) -> list[str]:
    if isinstance(found, dict):
        missing = [i for i in range(len(found)) if str(i) not in found]
        if missing:
            raise ValueError(f"there is no class {missing[0]} among its {len(found)}")
        found = [found[str(i)] for i in range(len(found))]
    if not isinstance(found, list):
        raise ValueError(f"it holds a {type(found).__name__}")
    names = [entry[-1] if isinstance(entry, list) and entry else entry for entry in found]
    if wrong := [name for name in names if not isinstance(name, str)]:
        raise ValueError(f"{wrong[0]!r} is no name")
    return names
