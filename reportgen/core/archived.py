"""What an archive's history tells: a line for each report that came, and for those that went."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from reportgen.core.summary import Summary


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A report that was archived.

    Attributes:
      sequence: its place in the order of the archive, from 1; no clock has a part in it.
      path: of its folder, relative to the archive's: ``lenet/v1.4/0123456789ab``.
      archived: local time (ISO 8601), which is only shown.
      bytes: of all its files but log.txt, which is not hashed.
      sums_sha256: of its SHA256SUMS, and so of all its files.
    """

    sequence: int
    path: str
    model: str
    release: str
    kind: Literal["release", "nightly"]
    archived: str
    bytes: int
    sums_sha256: str
    summary: Summary
    event: Literal["archived"] = "archived"

    @property
    def config(self) -> str:
        """The last part of its path."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, kw_only=True)
class Removal:
    """Reports that were pruned; their numbers stay in the lines before."""

    sequence: int
    removed: str
    paths: tuple[str, ...]
    event: Literal["removed"] = "removed"
