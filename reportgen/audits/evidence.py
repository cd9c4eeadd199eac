"""What checks look at, computed once for all of them and only if one asks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from reportgen.core.errors import NotApplicableError
from reportgen.core.images import ImageBatch
from reportgen.engine.rows import Engine
from reportgen.methods.answers import Answers, Totals, pixels
from reportgen.methods.targets import predict, softmax
from reportgen.models.base import LayerInfo, Model
from reportgen.rewrite.units import groups, rectified


@dataclass
class Evidence:
    """A network, and images."""

    model: Model
    images: ImageBatch
    engine: Engine

    @cached_property
    def logits(self) -> np.ndarray:
        """(N, classes) of all images.

        Raises:
          NotApplicableError: without images.
        """
        self._need_images()
        return predict(self.engine, self.model, self.images, self.images.listed)

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

    @cached_property
    def totals(self) -> dict[str, Totals]:
        """What the units of every layer answered to all images, by the layer's path.

        Raises:
          NotApplicableError: without images.
        """
        self._need_images()
        layers = [layer for layer in self.model.layers if _has_units(layer)]
        found = {
            layer.path: Totals.none(layer.shape[-1], math.prod(layer.shape[:-1]))
            for layer in layers
        }
        program = Answers((), (), tuple(found), "audit")
        for chunk in self.engine.map(program, self.model, pixels(self.images), self.images.listed):
            for path, totals in found.items():
                totals.take(chunk.made, path)
        return found

    @cached_property
    def witnesses(self) -> dict[str, str]:
        """The layers whose answers below zero are lost, and the layer at which that is seen."""
        return rectified(self.model.traced())

    @cached_property
    def groups(self) -> dict[str, int]:
        """Of each convolution, by its layer's path."""
        return groups(self.model.traced())

    def kernels(self, layer: LayerInfo) -> dict[str, np.ndarray]:
        """A layer's trained arrays with two axes or more, by name."""
        own = self.model.layer_parameters(layer.path)
        return {name: np.asarray(array) for name, array in own.items() if array.ndim > 1}

    def _need_images(self) -> None:
        if not self.images.listed:
            raise NotApplicableError("There are no images.")


def _has_units(layer: LayerInfo) -> bool:
    return len(layer.shape) in (1, 3)
