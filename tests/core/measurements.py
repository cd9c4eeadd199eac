"""Hand-made measurements, for tests of what compares them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from reportgen.core.measured import Measured, MeasuredLayer, Sketch, bin_of


def layer(
    path: str = "conv1",
    weights: np.ndarray | None = None,
    answers: np.ndarray | None = None,
    **fields: Any,
) -> MeasuredLayer:
    """A layer as a survey measures it: of weights (n,), and answers (places, U)."""
    own = np.zeros(0) if weights is None else np.asarray(weights, np.float64)
    sketch = Sketch()
    sketch.take(own)
    seen = np.zeros((0, 0)) if answers is None else np.asarray(answers, np.float64)
    bins, counts = np.unique(bin_of(seen[np.isfinite(seen)]), return_counts=True)
    measured: dict[str, Any] = {
        "path": path,
        "kind": "conv",
        "shape": (8, 8, seen.shape[1] or 4),
        "weights_sha256": hashlib.sha256(own.tobytes()).hexdigest() if own.size else "",
        "norm": float(np.linalg.norm(own)),
        "sketch": sketch.sums if own.size else np.zeros(0),
        "unit_norms": np.zeros(0),
        "bins": bins,
        "counts": counts,
        "means": seen.mean(axis=0) if seen.size else np.zeros(0),
        "deviations": seen.std(axis=0) if seen.size else np.zeros(0),
        "sparsity": (seen <= 0).mean(axis=0) if seen.size else np.zeros(0),
        "dead": (seen <= 0).all(axis=0) if seen.size else np.zeros(0, bool),
    }
    return MeasuredLayer(**{**measured, **fields})


def measured(
    *layers: MeasuredLayer,
    images: Sequence[int] = (),
    labels: Sequence[int] = (),
    predicted: Sequence[int] = (),
) -> Measured:
    """Layers and images; an image is known by a number, and has no label where none is given."""
    count = len(images)
    digests = [hashlib.sha256(bytes([number])).digest()[:16] for number in images]
    classes = predicted or [0] * count
    return Measured(
        layers=layers,
        names=tuple(f"image-{number}" for number in images),
        digests=np.frombuffer(b"".join(digests), np.uint8).reshape(count, 16),
        labels=np.array(labels or [-1] * count, np.int64),
        predicted=np.array(classes, np.int64).reshape(count, 1),
        probabilities=np.ones((count, 1), np.float32),
    )
