"""The health of every layer at a glance: dead units, zeros, numbers that are not finite, weights.

A unit is dead if a rectifier reads its output and that is never above zero, on any image at any
place. What is not rectified has no dead units: zero is a value like any other there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from reportgen.core.blocks import Bars, BarSeries, Block, Cell, Group, Table, Text
from reportgen.methods.base import Context
from reportgen.methods.survey import Survey, has_units
from reportgen.models.base import LayerInfo

_SHOWN = 32  # layers in one plot
_PIECE = 1 << 20  # numbers


@dataclass(frozen=True, kw_only=True)
class Health:
    """One layer in numbers.

    Attributes:
      rms: root mean square of its kernels' finite weights; None if it has none.
      largest: of their sizes.
      weights_bad: share of all its parameters that are not finite (0..1).
      units: of the output's last axis.
      dead: units never above zero, None where nothing is rectified or there are no images.
      zeros: share of outputs that are zero or below (0..1), None where ``dead`` is.
      bad: share of units' answers to an image that are not finite at some place (0..1), None where
        there are no images, or the layer has no units.
    """

    layer: LayerInfo
    rms: float | None
    largest: float | None
    weights_bad: float
    units: int
    dead: int | None = None
    zeros: float | None = None
    bad: float | None = None

    @property
    def dead_share(self) -> float | None:
        return None if self.dead is None else self.dead / max(1, self.units)


def health(survey: Survey) -> tuple[Health, ...]:
    """Of every layer with trained parameters, in execution order."""
    trained = [one for one in survey.model.layers if one.parameter_count > one.statistics_count]
    return tuple(_health(survey, layer) for layer in trained)


def _health(survey: Survey, layer: LayerInfo) -> Health:
    trained = {
        name: np.asarray(array)
        for name, array in survey.model.layer_parameters(layer.path).items()
        if name not in layer.statistics
    }
    squares, largest, finite = 0.0, 0.0, 0
    for part in _pieces([array for array in trained.values() if array.ndim > 1]):
        squares += float(part @ part)
        largest = max(largest, float(np.abs(part).max(initial=0.0)))
        finite += part.size
    size = sum(array.size for array in trained.values())
    good = sum(part.size for part in _pieces(trained.values()))
    own = Health(
        layer=layer,
        rms=math.sqrt(squares / finite) if finite else None,
        largest=largest if finite else None,
        weights_bad=1 - good / size if size else 0.0,
        units=layer.shape[-1] if layer.shape else 1,
    )
    if not survey.images.listed or not has_units(layer):
        return own
    totals = survey.seen.totals[layer.path]
    own = replace(own, bad=1 - totals.share)
    if layer.path not in survey.heard:
        return own
    heard = survey.seen.totals[survey.heard[layer.path]]
    counted = float(heard.finite.sum())
    zeros = 1 - float(heard.above.sum()) / counted if counted else math.nan
    return replace(own, dead=int(heard.silent.sum()), zeros=zeros)


def _pieces(arrays: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Finite numbers as float64, some at a time: a large layer's would take much memory."""
    for array in arrays:
        flat = array.reshape(-1)
        for start in range(0, flat.size, _PIECE):
            part = flat[start : start + _PIECE].astype(np.float64)
            yield part[np.isfinite(part)]


def overview(context: Context, found: Sequence[Health]) -> Group:
    """Plots of what is to be seen at a glance, and the table of all numbers."""
    images = len(context.images) if context.images.listed else 0
    made: list[Block] = []
    rectified = [one for one in found if one.dead is not None]
    if images and not rectified:
        made.append(
            Text(
                text="No layer is rectified by ReLU, by itself or right behind it: none can have "
                "dead units.",
                tone="note",
            )
        )
    of = _counted(images)
    for part, some in _parts(rectified):
        made.append(
            Bars(
                names=_paths(some),
                series=(
                    BarSeries(name="dead units", values=_values(one.dead_share for one in some)),
                    BarSeries(name="zero outputs", values=_values(one.zeros for one in some)),
                ),
                x_label="share of the layer",
                x_range=(0.0, 1.0),
                caption=context.caption(
                    f"Dead units and zeros{part}",
                    detail=f"of rectified layers; a dead unit is above zero nowhere in {of}",
                ),
            )
        )
    for part, some in _parts([one for one in found if one.rms is not None]):
        made.append(
            Bars(
                names=_paths(some),
                series=(BarSeries(name="weights", values=_values(one.rms for one in some)),),
                x_label="root mean square",
                caption=context.caption(
                    f"Scale of the weights{part}",
                    detail="kernels without biases; layers in execution order",
                ),
            )
        )
    made.append(_table(found, images))
    return Group(
        title="Health of the layers",
        subtitle=f"those with weights, over {of}"
        if images
        else "of their weights alone, no images",
        blocks=tuple(made),
    )


def _counted(images: int) -> str:
    return "one image" if images == 1 else f"{images} images"


def _paths(found: Sequence[Health]) -> tuple[str, ...]:
    return tuple(one.layer.path for one in found)


def _values(found: Iterable[float | None]) -> np.ndarray:
    return np.array([math.nan if value is None else value for value in found])


def _parts(found: Sequence[Health]) -> Iterator[tuple[str, Sequence[Health]]]:
    """As many layers as one plot holds, with words for each part where there are several."""
    parts = max(1, math.ceil(len(found) / _SHOWN))
    size = max(1, math.ceil(len(found) / parts))
    for start in range(0, len(found), size):
        some = found[start : start + size]
        words = f" · {some[0].layer.path} to {some[-1].layer.path}" if parts > 1 else ""
        yield words, some


def _table(found: Sequence[Health], images: int) -> Table:
    """All numbers; of outputs only if there were images."""
    weights = ("layer", "kind", "units", "weights, RMS", "largest weight")
    bad = "weights not finite, share"
    rows: list[tuple[Cell, ...]] = []
    for one in found:
        row: tuple[Cell, ...] = (one.layer.path, one.layer.kind, one.units)
        row += (one.rms, one.largest, one.weights_bad)
        rows.append((*row, one.dead, one.dead_share, one.zeros, one.bad) if images else row)
    outputs = ("dead", "dead share", "zero share", "outputs not finite, share")
    return Table(
        columns=(*weights, bad, *(outputs if images else ())),
        rows=tuple(rows),
        caption="Where a rectifier reads the output, what is below zero counts as zero; of others "
        "no unit is called dead."
        if images
        else "",
    )
