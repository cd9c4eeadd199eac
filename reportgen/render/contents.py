"""The contents of a section: its groups by name, those of layers as a tree where they are many."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from reportgen.render import numbers

View = dict[str, Any]

FLAT = 12
"""Groups up to which a section lists them as they are; more are folded."""

_PARTS = re.compile(r"^[^./]+|[./][^./]*")


def contents(groups: Sequence[View]) -> View:
    """What stands below a section's link.

    Args:
      groups: views of the section's groups, with ``id``, ``title``, ``layer`` and ``rows``.

    Returns:
      ``nodes``, each with ``title``, ``id`` (empty where a part of a path stands for several
      layers), ``count`` of groups, and the ``nodes`` below it; and ``folded``: empty, or words for
      the fold that holds a long list (``26 layers``).
    """
    many = len(groups) > FLAT
    if many:
        nodes = _tree([(_parts(group), str(group["id"])) for group in groups])
    else:
        nodes = [_leaf(group["title"], group["id"]) for group in groups]
    return {"nodes": nodes, "folded": numbers.counted(len(groups), _noun(groups)) if many else ""}


def _noun(groups: Sequence[View]) -> str:
    """What a section's groups are, if all are of a layer of their own, or of an image."""
    layers = {group["layer"] for group in groups}
    if len(layers) == len(groups) and "" not in layers:
        return "layer"
    first = {
        block["type"] for group in groups for row in group["rows"][:1] for block in row["main"]
    }
    return "image" if first and first <= {"heatmap", "comparison"} else "part"


def _parts(group: View) -> list[str]:
    """A title cut before each dot and slash of the layer's path in it, and after the path."""
    layer, title = group["layer"], group["title"]
    if not layer or not title.startswith(layer):
        return [title]
    return [part for part in (*_PARTS.findall(layer), title[len(layer) :]) if part]


def _tree(entries: Sequence[tuple[list[str], str]]) -> list[View]:
    """Paths under the first part that they share with another; one alone keeps its whole path."""
    heads: dict[str, list[tuple[list[str], str]]] = {}
    for parts, own in entries:
        heads.setdefault(parts[0] if parts else "", []).append((parts[1:], own))
    nodes = []
    for head, below in heads.items():
        if len(below) == 1:
            ((parts, own),) = below
            nodes.append(_leaf("".join((head, *parts)), own))
            continue
        ends = [_leaf(head, own) for parts, own in below if not parts]
        nodes.append(_node(head, ends + _tree([entry for entry in below if entry[0]])))
    return nodes


def _leaf(title: str, own: str) -> View:
    return {"title": title, "id": own, "count": 1, "nodes": []}


def _node(head: str, below: list[View]) -> View:
    if len(below) == 1:
        return {**below[0], "title": head + below[0]["title"]}
    return {
        "title": head,
        "id": "",
        "count": sum(node["count"] for node in below),
        "nodes": [
            {**node, "title": node["title"].lstrip("./ ·") or node["title"]} for node in below
        ],
    }
