"""What a comparison says, found by name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from reportgen.compare.compared import Compared
from reportgen.core.blocks import Group, Table
from reportgen.core.report import Section


def section(found: Compared, method: str) -> Section:
    return next(one for one in found.sections if one.method == method)


def titles(found: Compared) -> list[str]:
    return [one.title for one in found.sections]


def table(blocks: Iterable[Any], caption: str = "") -> Table:
    """The first whose caption begins so."""
    return next(b for b in blocks if isinstance(b, Table) and b.caption.startswith(caption))


def groups(blocks: Iterable[Any]) -> dict[str, Group]:
    return {block.title: block for block in blocks if isinstance(block, Group)}


def of_type(blocks: Iterable[Any], kind: type) -> list[Any]:
    return [block for block in blocks if isinstance(block, kind)]
