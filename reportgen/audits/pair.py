"""Two reports that are compared, and what all checks share that compare them.

What is matched, and why not all of it can be, is said here once for all of them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from reportgen.audits.base import Audit, Measure
from reportgen.core import drift
from reportgen.core.blocks import Group, Heatmap
from reportgen.core.checks import About
from reportgen.core.errors import NotApplicableError
from reportgen.core.measured import Measured, MeasuredLayer
from reportgen.core.report import Report
from reportgen.core.settings import settings
from reportgen.models.select import select_layers

if TYPE_CHECKING:
    from reportgen.audits.evidence import Evidence

Layers = list[tuple[MeasuredLayer, MeasuredLayer]]


@dataclass(frozen=True, kw_only=True)
class TwoMaps:
    """Maps (H, W) of one image by one method.

    Attributes:
      same_class: both explain a class of one name, chosen in one way.
    """

    image: str
    base: np.ndarray
    candidate: np.ndarray
    same_class: bool


@dataclass(frozen=True)
class Pair:
    """An earlier report, and one that is held against it.

    Whatever is asked for raises NotApplicableError, with the reason, where there is none of it.
    """

    base: Report
    candidate: Report

    @cached_property
    def measured(self) -> tuple[Measured, Measured]:
        """What both measured."""
        for report, called in ((self.base, "baseline"), (self.candidate, "report")):
            if report.measured is None:
                raise NotApplicableError(
                    f"The {called} {report.title!r} does not tell what was measured of its layers "
                    "and images: it was made by an earlier reportgen (schema version 1)."
                )
        assert self.base.measured is not None
        assert self.candidate.measured is not None
        return self.base.measured, self.candidate.measured

    def layers(self, patterns: Sequence[str] | None) -> Layers:
        """The base's layers and the candidate's that match by path and shape.

        Args:
          patterns: which of the candidate's; None for all.

        Raises:
          ModelError: if a pattern names no layer of the candidate.
        """
        base, candidate = self.measured
        chosen = {one.path for one in select_layers(candidate.layers, patterns or ("all",))}
        pairs = [pair for pair in drift.matched(base, candidate).pairs if pair[1].path in chosen]
        if not pairs:
            raise NotApplicableError(
                "No layer has the same path and the same shape of output in both networks."
            )
        return pairs

    def answers(self, patterns: Sequence[str] | None) -> Layers:
        """The layers, see ``layers``, whose answers to the same images both reports tell."""
        pairs = self.layers(patterns)
        base, candidate = self.measured
        shared, counts = len(self.shared), (len(base.names), len(candidate.names))
        if not all(counts):
            raise NotApplicableError("There are no images.")
        if counts != (shared, shared):
            raise NotApplicableError(
                f"The images are not the same, so neither are answers to them: {shared} of the "
                f"baseline's {counts[0]} are among these {counts[1]}."
            )
        return [pair for pair in pairs if drift.has_answers(*pair)]

    @property
    def images(self) -> np.ndarray:
        """(M, 2) places of the images that both have, one at the least."""
        if not len(self.shared):
            counts = [len(one.names) for one in self.measured]
            raise NotApplicableError(
                "There are no images."
                if not min(counts)
                else f"None of the baseline's {counts[0]} images is among these {counts[1]}."
            )
        return self.shared

    @cached_property
    def shared(self) -> np.ndarray:
        """(M, 2) places of the images that both have, or of none."""
        return drift.shared_images(*self.measured)

    @property
    def answered(self) -> drift.Answered:
        """How both classify the labelled images that both have."""
        base, candidate = self.measured
        self._need_classes(len(self.images))
        found = drift.answered(base, candidate)
        if not len(found.right):
            raise NotApplicableError("No image that both have is labelled in both.")
        return found

    @property
    def flips(self) -> tuple[drift.Flip, ...]:
        """The images that are classified otherwise."""
        base, candidate = self.measured
        self._need_classes(len(self.images))
        classes = self.base.model.classes, self.candidate.model.classes
        return drift.flips(base, candidate, *classes)

    def _need_classes(self, images: int) -> None:
        if images and not drift.has_classes(*self.measured):
            raise NotApplicableError("A network has one score, and no classes.")

    @cached_property
    def maps(self) -> dict[str, list[TwoMaps]]:
        """Maps of the images that both explain, by the name of the method.

        An image is the same if its pixels are. Where a method has several maps of one, the first
        is matched with the first.
        """
        before, after = _maps(self.base), _maps(self.candidate)
        found: dict[str, list[TwoMaps]] = {}
        for key, candidates in after.items():
            earlier = before.get(key, ())
            for (_, old, was), (title, new, now) in zip(earlier, candidates, strict=False):
                if old.shape == new.shape:
                    found.setdefault(key[0], []).append(
                        TwoMaps(image=title, base=old, candidate=new, same_class=was == now)
                    )
        if not found:
            raise NotApplicableError(_no_maps(before, after))
        return found


# Of each map: the image's name, the map, and which class it explains.
_Shown = dict[tuple[str, bytes], list[tuple[str, np.ndarray, str]]]


def _maps(report: Report) -> _Shown:
    """By the method's name and the image's pixels."""
    found: _Shown = {}
    for section in report.sections:
        for group in section.blocks:
            if isinstance(group, Group) and group.blocks and isinstance(group.blocks[0], Heatmap):
                shown = group.blocks[0]
                image = np.ascontiguousarray(shown.image)
                pixels = f"{image.dtype.str} {image.shape}\n".encode() + image.tobytes()
                maps = found.setdefault((section.method, pixels), [])
                maps.append((group.title, shown.map, group.subtitle))
    return found


def _no_maps(before: _Shown, after: _Shown) -> str:
    if not after:
        return "No method of this report makes maps: add one that does, method=[…,gradcam]."
    if not before:
        return "No method of the baseline makes maps."
    own, other = ({method for method, _ in maps} for maps in (before, after))
    if not own & other:
        return (
            f"The baseline's maps are by {', '.join(sorted(own))}, these by "
            f"{', '.join(sorted(other))}."
        )
    return "The maps of the baseline are of other images, or of another size."


@settings
class DriftAudit(Audit):
    """Settings of all checks that compare two reports; they need no network, and no JAX."""

    about: ClassVar[About] = "baseline"

    def measure(self, evidence: Evidence) -> Iterable[Measure]:
        return self.compare(evidence.pair)

    @abstractmethod
    def compare(self, pair: Pair) -> Iterable[Measure]:
        """The numbers.

        Raises:
          NotApplicableError: if there are none, with the reason.
        """
