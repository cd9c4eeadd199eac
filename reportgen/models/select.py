"""Choosing layers by path, glob or kind."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Protocol, TypeVar

from reportgen.core.errors import ModelError, did_you_mean


class Named(Protocol):
    """A layer of a network, or what a report measured of one."""

    @property
    def path(self) -> str: ...

    @property
    def kind(self) -> str: ...


Layer = TypeVar("Layer", bound=Named)


def select_layers(layers: Sequence[Layer], patterns: Sequence[str]) -> tuple[Layer, ...]:
    """The layers that any of the patterns names, in execution order.

    Args:
      patterns: ``all``, a path (``conv1``), a glob over paths (``conv*``, ``blocks.[0-3].*``) or
        a kind (``kind:conv``).

    Raises:
      ModelError: for a pattern that names no layer.
    """
    if not patterns:
        raise ModelError(
            "No layer is chosen: layers is empty.", "layers=all takes every layer that fits."
        )
    wanted: set[str] = set()
    for pattern in patterns:
        found = {layer.path for layer in layers if _matches(layer, pattern)}
        if not found:
            raise _unknown(layers, pattern)
        wanted |= found
    return tuple(layer for layer in layers if layer.path in wanted)


def _matches(layer: Named, pattern: str) -> bool:
    if pattern == "all":
        return True
    if pattern.startswith("kind:"):
        return layer.kind == pattern.removeprefix("kind:").strip()
    # A literal path wins over its reading as a glob: `blocks[0]` is not a character class.
    return layer.path == pattern or fnmatchcase(layer.path, pattern)


def _unknown(layers: Sequence[Named], pattern: str) -> ModelError:
    if pattern.startswith("kind:"):
        kinds = [f"kind:{kind}" for kind in dict.fromkeys(layer.kind for layer in layers)]
        return ModelError(f"No layer is of {pattern!r}.", did_you_mean(pattern, kinds))
    plain = re.sub(r"[*?\[\]]", "", pattern)
    hint = did_you_mean(plain, [layer.path for layer in layers])
    return ModelError(
        f"No layer matches {pattern!r}.", f"{hint} List all with: reportgen layers".strip()
    )
