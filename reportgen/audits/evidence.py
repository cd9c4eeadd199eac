"""What checks look at, computed once for all of them and only if one asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from reportgen.audits.finished import Finished
from reportgen.audits.pair import Pair
from reportgen.core.errors import NotApplicableError
from reportgen.core.images import ImageBatch
from reportgen.methods.answers import Totals
from reportgen.methods.kernels import repeated, unit_kernel
from reportgen.methods.numerics import Compared, compared
from reportgen.methods.survey import Survey
from reportgen.methods.targets import softmax
from reportgen.models.base import LayerInfo, Model
from reportgen.models.select import select_layers
from reportgen.rewrite.units import groups


@dataclass
class Evidence:
    """A network and images, of which the survey knows, and what else a run made.

    Attributes:
      metrics: of the methods that ran, as a report has them.
      compared: the baseline and this report so far; None without a baseline.
      drawn: the first pages and the run so far, for checks that are about the report.
    """

    survey: Survey
    metrics: Mapping[str, float] = field(default_factory=dict)
    compared: Pair | None = None
    drawn: Finished | None = None

    @property
    def model(self) -> Model:
        """The network."""
        return self.survey.model

    @property
    def images(self) -> ImageBatch:
        """All of them."""
        return self.survey.images

    @property
    def pair(self) -> Pair:
        """The baseline, and this report.

        Raises:
          NotApplicableError: without a baseline.
        """
        if self.compared is None:
            raise NotApplicableError(
                "There is no report to compare with: baseline=FOLDER names one."
            )
        return self.compared

    @property
    def finished(self) -> Finished:
        """The pages, once they are drawn."""
        assert self.drawn is not None, "only checks that are about the report see the pages"
        return self.drawn

    def chosen(self, patterns: tuple[str, ...] | None) -> tuple[LayerInfo, ...]:
        """The layers that patterns name; all of them without patterns.

        Raises:
          ModelError: if a pattern names no layer.
        """
        return select_layers(self.model.layers, patterns or ("all",))

    @property
    def logits(self) -> np.ndarray:
        """(N, classes) of all images.

        Raises:
          NotApplicableError: without images.
        """
        self._need_images()
        return self.survey.seen.logits

    @cached_property
    def labels(self) -> np.ndarray:
        """(N,) true classes.

        Raises:
          NotApplicableError: without images, labels, or with one output alone.
        """
        self._need_images()
        if self.images.labels is None:
            raise NotApplicableError("The images have no labels.")
        if len(self.model.classes) < 2:
            raise NotApplicableError("The network has one score, and no classes.")
        return self.images.labels

    @cached_property
    def probabilities(self) -> np.ndarray:
        """(N, classes) softmax of the logits, in float64; NaN where a logit is not finite."""
        return softmax(self.logits)

    @property
    def totals(self) -> dict[str, Totals]:
        """What the units of every layer answered to all images, by the layer's path.

        Raises:
          NotApplicableError: without images.
        """
        self._need_images()
        return self.survey.seen.totals

    @cached_property
    def _groups(self) -> dict[str, int]:
        return groups(self.model.traced())

    def repeated(self, layer: LayerInfo, cosine: float) -> np.ndarray | None:
        """(units,) of each unit the earlier one that it repeats, -1 if none; see ``repeated``.

        None for a layer without a kernel.
        """
        kernel = unit_kernel(self.model, layer)
        if kernel is None:
            return None
        return repeated(kernel, self._groups.get(layer.path, 1), cosine)

    @cached_property
    def numerics(self) -> tuple[Compared, ...]:
        """An image's numbers by compiled programs and without: see ``methods.numerics``.

        Raises:
          NotApplicableError: if they cannot be compared.
        """
        return compared(self.survey)

    def kernels(self, layer: LayerInfo) -> dict[str, np.ndarray]:
        """A layer's trained arrays with two axes or more, by name."""
        own = self.model.layer_parameters(layer.path)
        return {name: np.asarray(array) for name, array in own.items() if array.ndim > 1}

    def _need_images(self) -> None:
        if not self.images.listed:
            raise NotApplicableError("There are no images.")
