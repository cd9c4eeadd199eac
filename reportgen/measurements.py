"""What a report keeps of its network for later ones to be compared with."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from reportgen.core.images import ImageBatch
from reportgen.core.measured import (
    DIGEST,
    SKETCH,
    Measured,
    MeasuredLayer,
    Sketch,
    image_digest,
)
from reportgen.methods.survey import Survey
from reportgen.methods.targets import softmax
from reportgen.models.base import LayerInfo

_TOP = 5  # classes of an image
_PIECE = 1024 * SKETCH  # numbers at a time


def measured(survey: Survey) -> Measured:
    """Of all layers and images."""
    images = survey.images
    names = images.names if images.listed else ()
    return Measured(
        layers=tuple(_layer(survey, layer) for layer in survey.model.layers),
        names=names,
        digests=_digests(images, len(names)),
        labels=_labels(images, len(names)),
        **_predictions(survey, len(names)),
    )


def _digests(images: ImageBatch, count: int) -> np.ndarray:
    digests = np.zeros((count, DIGEST), np.uint8)
    for i in range(count):
        digests[i] = image_digest(images.pixels[i])
    return digests


def _labels(images: ImageBatch, count: int) -> np.ndarray:
    if not count or images.labels is None:
        return np.full(count, -1, np.int32)
    return images.labels.astype(np.int32)


def _predictions(survey: Survey, count: int) -> dict[str, Any]:
    if not count or len(survey.model.classes) < 2:
        return {
            "predicted": np.zeros((count, 0), np.int32),
            "probabilities": np.zeros((count, 0)),
        }
    probabilities = softmax(survey.seen.logits)
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :_TOP]
    return {
        "predicted": best.astype(np.int32),
        "probabilities": np.take_along_axis(probabilities, best, axis=1),
    }


def _layer(survey: Survey, layer: LayerInfo) -> MeasuredLayer:
    own = survey.model.layer_parameters(layer.path)
    parameters = {name: np.asarray(own[name]) for name in sorted(own)}
    return MeasuredLayer(
        path=layer.path,
        kind=layer.kind,
        shape=layer.shape,
        **_weights(parameters),
        unit_norms=_unit_norms(parameters, layer),
        **_answers(survey, layer),
    )


def _weights(parameters: Mapping[str, np.ndarray]) -> dict[str, Any]:
    if not parameters:
        return {"weights_sha256": "", "norm": 0.0, "sketch": np.zeros(0)}
    content, sketch, squares = hashlib.sha256(), Sketch(), 0.0
    for name, array in parameters.items():
        content.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        content.update(np.ascontiguousarray(array).view(np.uint8).data)
    for piece in _pieces(parameters):
        sketch.take(piece)
        squares += float(piece @ piece)
    return {
        "weights_sha256": content.hexdigest(),
        "norm": math.sqrt(squares),
        "sketch": sketch.sums,
    }


def _pieces(parameters: Mapping[str, np.ndarray]) -> Iterator[np.ndarray]:
    """Parameters as float64, a piece at a time: a copy of a large layer would take much memory."""
    for array in parameters.values():
        flat = array.reshape(-1)
        for start in range(0, flat.size, _PIECE):
            piece = flat[start : start + _PIECE].astype(np.float64)
            padded = np.zeros(-(-len(piece) // SKETCH) * SKETCH)
            padded[: len(piece)] = piece
            yield padded


def _unit_norms(parameters: Mapping[str, np.ndarray], layer: LayerInfo) -> np.ndarray:
    units = layer.shape[-1] if layer.shape else 0
    for array in parameters.values():
        if array.ndim > 1 and array.shape[-1] == units:
            flat = array.reshape(-1, units)
            return np.asarray(np.sqrt(np.einsum("pu,pu->u", flat, flat, dtype=np.float64)))
    return np.zeros(0)


def _answers(survey: Survey, layer: LayerInfo) -> dict[str, Any]:
    seen = survey.seen if survey.images.listed else None
    if seen is None or layer.path not in seen.totals:
        none = np.zeros(0)
        nothing = dict.fromkeys(("means", "deviations", "sparsity"), none)
        whole = np.zeros(0, np.int64)
        return {"bins": whole, "counts": whole.copy(), **nothing, "dead": np.zeros(0, bool)}
    totals, counts = seen.totals[layer.path], seen.histograms[layer.path]
    bins, dead = np.flatnonzero(counts), survey.dead(layer)
    return {
        "bins": bins,
        "counts": counts[bins],
        "means": totals.mean,
        "deviations": totals.deviation,
        "sparsity": totals.sparsity,
        "dead": np.zeros(len(totals.finite), bool) if dead is None else dead,
    }
