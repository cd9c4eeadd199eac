"""What every method is: checked settings, the layers it applies to, and blocks for the report."""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import jax
import numpy as np

from reportgen.config import ColormapConfig
from reportgen.core.blocks import Block, Caption, Cell, Finding
from reportgen.core.images import ImageBatch
from reportgen.engine.rows import Engine
from reportgen.methods.survey import Survey
from reportgen.models.base import LayerInfo, Model


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a method works on.

    Attributes:
      layers: those chosen for this method, in execution order; empty for one that takes none.
      images: at the network's size, before normalisation.
      key: random key of this method, derived from the seed and the method's name.
      engine: runs programs over images.
      survey: what is known of all images, once somebody asks.
      timings: tell seconds in the report.
      advance: tells the progress bar of so many finished units of ``Method.work``.
      command: the command line that makes this section; more overrides may be added.
      explained: what attribution methods have made, by name; for those that need maps.
    """

    model: Model
    images: ImageBatch
    layers: tuple[LayerInfo, ...]
    colormap: ColormapConfig
    key: jax.Array
    engine: Engine
    survey: Survey
    timings: bool
    advance: Callable[[int], None]
    command: Callable[..., str]
    explained: Mapping[str, Explained] = field(default_factory=dict)

    def caption(self, title: str, *overrides: str, detail: str = "", formula: str = "") -> Caption:
        """A caption with the command line that makes its picture again."""
        return Caption(
            title=title, detail=detail, formula=formula, override=self.command(*overrides)
        )


@dataclass(frozen=True, kw_only=True)
class Explained:
    """The maps of one method, for what compares or tests them.

    Attributes:
      maps: (N, H, W), of the first N images.
      targets: (N,) explained classes.
      keys: (N,) random keys that the maps were made with.
      explain: ``explain(model, x, targets, keys)`` makes maps (N, H, W) of inputs (N, H, W, C),
        normalised.
      low, high: (N,) values drawn as the ends of the colormap.
    """

    title: str
    maps: np.ndarray
    targets: np.ndarray
    keys: jax.Array
    explain: Callable[[Model, np.ndarray, np.ndarray, jax.Array], np.ndarray]
    low: np.ndarray
    high: np.ndarray
    colormap: str
    opacity: float


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a method made.

    Attributes:
      metrics: headline numbers for the head of the report, unrounded.
      explained: the maps of an attribution method, for methods that compare or test them.
      evidence: facts for the maps of other methods, by method and place of the image.
    """

    blocks: tuple[Block, ...]
    intro: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    explained: Explained | None = None
    evidence: Mapping[tuple[str, int], tuple[tuple[str, Cell], ...]] = field(default_factory=dict)


class Method(ABC):
    """A method's settings; subclasses are declared with ``@settings`` and hold plain fields.

    A subclass with a field ``layers`` takes layers: its own choice, or else the configuration's.
    """

    title: ClassVar[str]
    needs_images: ClassVar[bool] = True
    needs_maps: ClassVar[bool] = False  # it tests the maps of those that ran before it
    makes_maps: ClassVar[bool] = False
    unit: ClassVar[tuple[str, str]] = ("unit", "units")  # what ``work`` counts: one, and many

    def rejects(self, layer: LayerInfo) -> str:
        """Why the method cannot use a layer; empty if it can."""
        return ""

    @abstractmethod
    def work(self, context: Context) -> int:
        """How many units of work ``run`` will report as finished.

        Called for every method before any of them computes: settings that do not fit this model
        or these images are refused here.

        Raises:
          UserError: naming the setting, what was expected and what was found.
        """

    @abstractmethod
    def run(self, context: Context) -> Result:
        """Compute."""


def fold_in_name(key: jax.Array, name: str) -> jax.Array:
    """A key that depends on a stable name, so not on what else is computed, nor in what order."""
    return jax.random.fold_in(key, zlib.crc32(name.encode()))
