"""What the page takes, section by section, and how it is kept within ``report.max_mb``.

What counts is what is opened and mailed: report.html and assets/. The arrays stay whole whatever
becomes of their pictures.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from reportgen.core.report import Rendering
from reportgen.render import numbers
from reportgen.render.assets import Assets
from reportgen.render.block_views import View
from reportgen.render.html import render_html, render_ledger
from reportgen.render.single import single, weight
from reportgen.render.text import printable
from reportgen.render.thumbnail import PATH as THUMBNAIL

SHEET, SCRIPT = "assets/style.css", "assets/report.js"

_MARK = b"<!-- ledger -->"
T = TypeVar("T")

# Pixels that a picture keeps on its shorter side.
_SMALLEST = 32


@dataclass(frozen=True)
class Entry:
    """What one section takes: pictures that it shows first, and bytes."""

    section: str
    pictures: int
    size: int


@dataclass(frozen=True)
class Ledger:
    """What the page takes, and what had to be left out of it.

    Attributes:
      notes: what was left out or drawn smaller, in sentences.
    """

    entries: tuple[Entry, ...]
    scope: str
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of all sections."""
        return sum(entry.size for entry in self.entries)

    def lines(self) -> list[str]:
        """The ledger as lines of a log."""
        rows = [
            f"{entry.size:12,} bytes  {printable(entry.section)}: "
            f"{numbers.counted(entry.pictures, 'picture')}"
            for entry in self.entries
        ]
        return [*rows, f"{self.size:12,} bytes  {self.scope}", *self.notes]

    def view(self) -> View:
        """The ledger for the templates."""
        pictures = sum(entry.pictures for entry in self.entries)
        return {
            "notes": list(self.notes),
            "table": {
                "type": "table",
                "caption": "",
                "columns": [
                    {"name": "section", "numeric": False},
                    {"name": "pictures", "numeric": True},
                    {"name": "size", "numeric": True},
                ],
                "rows": [
                    [
                        printable(entry.section),
                        numbers.integer(entry.pictures),
                        numbers.size(entry.size),
                    ]
                    for entry in self.entries
                ],
                "totals": [self.scope, numbers.integer(pictures), numbers.size(self.size)],
            },
        }


@dataclass(frozen=True)
class Page:
    """A page that is ready to be written.

    Attributes:
      view: what it was drawn from, with its ledger.
    """

    html: bytes
    view: View
    ledger: Ledger


def page_within(view: View, assets: Assets, rendering: Rendering) -> Page:
    """The page of a view, within the report's budget as far as it can be.

    First go values under the cursor, then drawings for dark pages, where those for light ones can
    stand; then pictures are drawn smaller. Of each the largest come first.
    """
    allowed = math.inf if rendering.max_mb is None else rendering.max_mb * 1e6
    cuts = _Cuts(rendering)
    while True:
        shown = cuts.shown(view)
        text = render_html(shown, assets.templates)
        if rendering.bundle == "single":
            text = single(text.decode(), _without_thumbnail(assets.files())).encode()
        ledger = _ledger(len(text), assets, rendering, cuts.notes)
        excess = ledger.size - allowed
        if excess <= 0 or not cuts.deepen(assets, excess):
            break
    if excess > 0:
        cuts.give_up(excess)
        ledger = _ledger(len(text), assets, rendering, cuts.notes)
    html = text.replace(_MARK, render_ledger(ledger.view(), assets.templates), 1)
    return Page(html, {**shown, "ledger": ledger.view()}, ledger)


def _ledger(text: int, assets: Assets, rendering: Rendering, notes: tuple[str, ...]) -> Ledger:
    """The ledger of a page of so many bytes; its own bytes are the page's too."""
    inside = rendering.bundle == "single"
    taken = _taken(assets, rendering)
    pictures = _pictures(assets)
    scope = "report.html" if inside else "report.html and assets/"
    if rendering.max_mb is not None:
        scope += f", at most {numbers.number(rendering.max_mb)} MB"

    def entry(section: str) -> Entry:
        return Entry(
            section,
            sum(assets.owner(path) == section for path in pictures),
            sum(size for path, size in taken.items() if assets.owner(path) == section),
        )

    sections = [entry(name) for name in dict.fromkeys(map(assets.owner, taken)) if name]
    rest = text + sum(0 if inside else size for size in taken.values())
    rest -= sum(found.size for found in sections)
    page = Entry("Page, style and script", entry("").pictures, rest)
    draft = Ledger((page, *sections), scope, notes)
    page = replace(page, size=rest + len(render_ledger(draft.view(), assets.templates)))
    return Ledger((page, *sections), scope, notes)


def _taken(assets: Assets, rendering: Rendering) -> dict[str, int]:
    """Bytes that each file adds to what the page takes."""
    sizes = {path: len(content) for path, content in assets.files().items()}
    if rendering.bundle == "dir":
        return sizes
    coded = set(assets.pictures())
    coded.update(assets.twins())
    return {
        path: weight(size) if path in coded else size
        for path, size in _without_thumbnail(sizes).items()
    }


def _without_thumbnail(files: dict[str, T]) -> dict[str, T]:
    """What is put into a single page: the thumbnail is for the index page of a sweep."""
    return {path: found for path, found in files.items() if path != THUMBNAIL}


def _pictures(assets: Assets) -> list[str]:
    return [path for path in assets.pictures() if path != THUMBNAIL]


def _is_values(path: str) -> bool:
    """Whether a file holds values under the cursor: all scripts but the page's own."""
    return path.endswith(".js") and path != SCRIPT


class _Cuts:
    """What is left out of a page, and what is drawn smaller."""

    def __init__(self, rendering: Rendering) -> None:
        self._rendering = rendering
        self._dropped: list[str] = []
        self._twins: list[str] = []
        self._factors: dict[str, int] = {}
        self._pictures = 0
        self._failed = ""

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done, in sentences."""
        found = []
        if self._dropped:
            count = numbers.counted(len(self._dropped), "file")
            found.append(f"Values under the cursor are left out {self._reason} ({count} of them).")
        if self._twins:
            count = numbers.counted(len(self._twins), "drawing")
            found.append(f"Dark pages show {count} in light colours {self._reason}.")
        if self._factors:
            few, all_ = len(self._factors), numbers.counted(self._pictures, "picture")
            size = _sizes(list(self._factors.values()), "their" if few > 1 else "its")
            found.append(
                f"{numbers.integer(few)} of {all_} {'are' if few > 1 else 'is'} drawn at {size} "
                f"{self._reason}; each says so. The arrays in arrays/ are whole."
            )
        return (*found, *filter(None, [self._failed]))

    @property
    def _reason(self) -> str:
        return f"to keep within report.max_mb={self._rendering.max_mb:g}"

    def give_up(self, excess: float) -> None:
        """Tells that a page is too large, and that nothing more can be left out."""
        self._failed = (
            f"The page takes {numbers.size(math.ceil(excess))} more than "
            f"report.max_mb={self._rendering.max_mb:g} allows, and nothing is left in it that "
            "could be drawn smaller: show fewer layers, units or images."
        )

    def deepen(self, assets: Assets, excess: float) -> bool:
        """Saves so many bytes, or about as many; False if nothing can be saved any more."""
        taken = _taken(assets, self._rendering)
        chosen: list[list[str]] = []
        for some in (filter(_is_values, taken), assets.twins()):
            chosen.append([])
            for path in sorted(some, key=lambda path: (-taken[path], path)):
                if excess > 0:
                    chosen[-1].append(path)
                    excess -= taken[path]
        dropped, twins = chosen
        factors = self._planned(taken, assets.sizes(), excess)
        assets.drop([*dropped, *twins])
        assets.shrink(factors)
        self._dropped += dropped
        self._twins += twins
        self._factors.update(factors)
        self._pictures = len(_pictures(assets))
        return bool(dropped or twins or factors)

    def _planned(
        self, taken: dict[str, int], sizes: dict[str, tuple[int, int]], excess: float
    ) -> dict[str, int]:
        """New factors by path, the largest pictures first; half as wide is taken for a quarter."""
        factors: dict[str, int] = {}
        queue = [(-float(taken[path]), path) for path in sizes]
        heapq.heapify(queue)
        while queue and excess > 0:
            size, path = heapq.heappop(queue)
            factor = 2 * factors.get(path, self._factors.get(path, 1))
            if min(sizes[path]) // factor >= _SMALLEST:
                factors[path] = factor
                excess += size * 3 / 4
                heapq.heappush(queue, (size / 4, path))
        return factors

    def shown(self, view: View) -> View:
        """The view without what is left out; figures say how small their pictures are drawn."""
        cut = self._dropped or self._twins or self._factors
        return self._told(view)[0] if cut else view

    def _told(self, value: Any) -> tuple[Any, list[int]]:
        """A part of the view, and the factors in it that no words tell yet."""
        if isinstance(value, list):
            parts = [self._told(part) for part in value]
            return [part for part, _ in parts], [factor for _, more in parts for factor in more]
        if not isinstance(value, dict):
            return value, []
        fields = {key: self._told(part) for key, part in value.items()}
        made = {key: part for key, (part, _) in fields.items()}
        found = [factor for _, more in fields.values() for factor in more]
        if made.get("values") in self._dropped:
            made["values"] = ""
        if made.get("dark") in self._twins:
            made["dark"] = ""
        if factor := self._factors.get(str(made.get("src"))):
            found.append(factor)
        if found and isinstance(made.get("detail"), str):
            said = made["detail"].rstrip()
            end = "" if not said or said[-1] in ".!?" else "."
            made["detail"] = f"{said}{end} Drawn at {_sizes(found, 'its')} {self._reason}.".lstrip()
            found = []
        return made, found


def _sizes(factors: list[int], whose: str) -> str:
    low, high = min(factors), max(factors)
    share = f"1/{low}" if low == high else f"1/{low} to 1/{high}"
    return f"{share} of {whose} size"
