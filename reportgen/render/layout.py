"""Which blocks stand side by side: pictures left, what belongs to them right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

View = dict[str, Any]

_PICTURES = frozenset({"montage", "heatmap", "matrix", "curve"})
_COMPANIONS = frozenset({"key_values", "histogram"})
_COMPANIONS_BESIDE = 4
_NARROW = 400
_FEW_COLUMNS, _FEW_ROWS = 6, 16
_MEDIUM = 560


def rows(blocks: Sequence[View]) -> list[View]:
    """Blocks in their order, as rows.

    A row is ``split`` or ``split wide`` (one picture in ``main``, what follows it in ``side``),
    ``flow`` (small blocks one after another as the width allows), ``full`` (one block over the
    whole width) or ``group``.
    """
    found: list[View] = []
    index = 0
    while index < len(blocks):
        block = blocks[index]
        index += 1
        beside: list[View] = []
        if block["type"] in _PICTURES:
            beside = _companions(blocks[index:])
            index += len(beside)
        if beside:
            kind = "split" if block["images"][0]["width"] <= _MEDIUM else "split wide"
            found.append({"kind": kind, "main": [block], "side": [_once(b, block) for b in beside]})
        elif not _is_small(block):
            kind = "group" if block["type"] == "group" else "full"
            found.append({"kind": kind, "main": [block], "side": []})
        elif found and found[-1]["kind"] == "flow":
            found[-1]["main"].append(block)
        else:
            found.append({"kind": "flow", "main": [block], "side": []})
    return found


def _companions(following: Sequence[View]) -> list[View]:
    beside: list[View] = []
    for block in following[:_COMPANIONS_BESIDE]:
        if block["type"] not in _COMPANIONS:
            break
        beside.append(block)
    return beside


def _once(companion: View, picture: View) -> View:
    """The companion without its override line where the picture beside it prints the same."""
    same = companion.get("override") and companion["override"] == picture.get("override")
    return {**companion, "override": ""} if same else companion


def _is_small(block: View) -> bool:
    if block["type"] == "montage":
        return bool(block["images"][0]["width"] <= _NARROW)
    if block["type"] == "table":
        return len(block["columns"]) <= _FEW_COLUMNS and len(block["rows"]) <= _FEW_ROWS
    return block["type"] in {"histogram", "key_values", "curve", "matrix", "bars"}
