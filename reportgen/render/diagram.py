"""The network as boxes in execution order: where each box and arrow of the SVG goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from reportgen.core.blocks import Diagram, Node
from reportgen.render import numbers
from reportgen.render.templating import SHIPPED, Templates
from reportgen.render.text import drawable, printable, shorten

_COLUMNS = 4
_ROWS = 12
_BOX_WIDTH, _BOX_HEIGHT = 172, 66
_GAP_X, _GAP_Y = 26, 30
_MARGIN = 6

# The first family of which a word begins the kind's name gives the box its colour.
_FAMILIES = {
    "conv": ("conv", "patch"),
    "dense": ("dense", "linear", "einsum", "attention", "multihead", "embed", "lora"),
    "norm": ("batch", "layernorm", "group", "rms", "instance", "norm", "weightnorm", "spectral"),
    "pool": ("pool", "max", "avg", "mean", "global", "upsample", "resize"),
    "act": ("relu", "gelu", "silu", "swish", "elu", "sigmoid", "tanh", "softmax", "act"),
}
_LIGHT = {
    "conv": "#0072b2",
    "dense": "#8e5aa8",
    "norm": "#b87a00",
    "pool": "#00875f",
    "act": "#c4500a",
    "other": "#6b7684",
}
_DARK = {
    "conv": "#4aa8e0",
    "dense": "#b890d0",
    "norm": "#e0a83c",
    "pool": "#2cc49a",
    "act": "#f08a3c",
    "other": "#95a0ae",
}
_DRESS = {
    "light": {"ink": "#1f2933", "muted": "#55606e", "line": "#8a95a3", "box": "#f7f8fa"},
    "dark": {"ink": "#e6e9ee", "muted": "#a3adba", "line": "#6f7b8a", "box": "#1e252e"},
}


@dataclass(frozen=True)
class Part:
    """A piece of the diagram that fits a page, in both dresses; its size in CSS pixels."""

    light: bytes
    dark: bytes
    width: int
    height: int
    first: int
    last: int


def diagram(block: Diagram, templates: Templates = SHIPPED) -> list[Part]:
    """The diagram in pieces of at most 48 boxes; the arrow out of one leads into the next."""
    size = _COLUMNS * _ROWS
    heaviest = max((node.parameters for node in block.nodes), default=0)
    return [
        _part(block.nodes, start, min(start + size, len(block.nodes)), heaviest, templates)
        for start in range(0, max(1, len(block.nodes)), size)
    ]


def _part(
    nodes: Sequence[Node], start: int, stop: int, heaviest: int, templates: Templates
) -> Part:
    boxes = [_box(index - start, nodes[index], heaviest) for index in range(start, stop)]
    columns = min(_COLUMNS, max(1, len(boxes)))
    rows = max(1, -(-len(boxes) // _COLUMNS))
    shape: dict[str, Any] = {
        "width": 2 * _MARGIN + columns * _BOX_WIDTH + (columns - 1) * _GAP_X,
        "height": 2 * _MARGIN + rows * _BOX_HEIGHT + (rows - 1) * _GAP_Y,
        "boxes": boxes,
        "arrows": [_arrow(before, after) for before, after in pairwise(boxes)],
        "box_width": _BOX_WIDTH,
        "box_height": _BOX_HEIGHT,
    }
    template = templates.environment.get_template("diagram.svg.j2")
    light = template.render(shape, **_DRESS["light"], colours=_LIGHT)
    dark = template.render(shape, **_DRESS["dark"], colours=_DARK)
    return Part(
        light.encode(), dark.encode(), shape["width"], shape["height"], start + 1, max(stop, 1)
    )


def _box(place: int, node: Node, heaviest: int) -> dict[str, Any]:
    row, column = divmod(place, _COLUMNS)
    share = node.parameters / heaviest if heaviest else 0.0
    return {
        "x": _MARGIN + column * (_BOX_WIDTH + _GAP_X),
        "y": _MARGIN + row * (_BOX_HEIGHT + _GAP_Y),
        "path": _label(node.path, 21),
        "kind": _label(node.kind, 24),
        "shape": _label(" × ".join(map(str, node.shape)), 18),
        "parameters": numbers.quantity(node.parameters) if node.parameters else "",
        "bar": round(max(share * (_BOX_WIDTH - 22), 1.5), 1) if node.parameters else 0,
        "family": _family(node.kind),
    }


def _label(text: str, length: int) -> str:
    return drawable(shorten(" ".join(printable(text).split()), length))


def _family(kind: str) -> str:
    lowered = kind.casefold()
    for family, beginnings in _FAMILIES.items():
        if any(lowered.startswith(beginning) for beginning in beginnings):
            return family
    for family, beginnings in _FAMILIES.items():
        if any(beginning in lowered for beginning in beginnings):
            return family
    return "other"


def _arrow(before: dict[str, Any], after: dict[str, Any]) -> str:
    """An SVG path from box to box; at a row's end, back through the gap below it."""
    middle = before["y"] + _BOX_HEIGHT / 2
    if before["y"] == after["y"]:
        return f"M{before['x'] + _BOX_WIDTH} {middle}H{after['x'] - 2}"
    down = before["x"] + _BOX_WIDTH / 2
    turn = before["y"] + _BOX_HEIGHT + _GAP_Y / 2 - 2
    into = after["x"] + _BOX_WIDTH / 2
    return f"M{down} {before['y'] + _BOX_HEIGHT}V{turn}H{into}V{after['y'] - 2}"
