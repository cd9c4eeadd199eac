"""Single weights far larger than the others of their layer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from reportgen.audits.base import Audit, Measure
from reportgen.core.settings import settings

if TYPE_CHECKING:
    from reportgen.audits.evidence import Evidence


@settings
class WeightScale(Audit):
    """A kernel's largest weight, as a multiple of the root mean square of all its weights."""

    title: ClassVar[str] = "Weight scale"
    advice: ClassVar[str] = (
        "One weight decides what the layer answers. Look for a damaged file, or a loss that "
        "exploded; weight decay or clipped gradients prevent it."
    )

    def measure(self, evidence: Evidence) -> Iterator[Measure]:
        for layer in evidence.chosen(self.layers):
            for name, array in evidence.kernels(layer).items():
                values = np.abs(array[np.isfinite(array)].astype(np.float64))
                scale = float(np.sqrt(np.square(values).mean())) if values.size else 0.0
                if scale:
                    ratio = float(values.max()) / scale
                    message = (
                        f"The largest weight of {layer.path}'s {name} is {values.max():.4g}, "
                        f"{ratio:.3g} times the layer's root mean square."
                    )
                    yield Measure(where=layer.path, value=ratio, message=message)
