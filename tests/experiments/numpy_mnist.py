"""Keras's MNIST network in NumPy, forwards and back, with the three rules of rectifiers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def _windows(v: np.ndarray) -> np.ndarray:
    """(h - 2, w - 2, 3, 3, channels): every 3 × 3 window."""
    views = np.lib.stride_tricks.sliding_window_view(v, (3, 3), axis=(0, 1))
    return views.transpose(0, 1, 3, 4, 2)


class Network:
    """Valid 3 × 3 convolutions of 32 and 64 maps, max-pool of 2, dense layers of 128 and 10."""

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        self.p = {name: np.asarray(value, np.float64) for name, value in parameters.items()}

    def forward(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Outputs by layer for an input (28, 28, 1)."""
        p = self.p
        v = {"x": x}
        v["conv1"] = np.tensordot(_windows(x), p["conv1.kernel"], 3) + p["conv1.bias"]
        v["relu1"] = np.maximum(v["conv1"], 0)
        v["conv2"] = np.tensordot(_windows(v["relu1"]), p["conv2.kernel"], 3) + p["conv2.bias"]
        v["relu2"] = np.maximum(v["conv2"], 0)
        v["pool1"] = v["relu2"].reshape(12, 2, 12, 2, 64).max(axis=(1, 3))
        v["dense1"] = v["pool1"].reshape(-1) @ p["dense1.kernel"] + p["dense1.bias"]
        v["relu3"] = np.maximum(v["dense1"], 0)
        v["dense2"] = v["relu3"] @ p["dense2.kernel"] + p["dense2.bias"]
        return v

    def gradients(self, v: Mapping[str, np.ndarray], target: int, rule: str) -> dict[str, Any]:
        """Of the score before softmax, by ``pool1`` and the input.

        Args:
          rule: of rectifiers: ``plain`` 1[x > 0] g, ``guided`` 1[x > 0] max(g, 0), or ``relu``
            max(g, 0).
        """
        p = self.p

        def back(g: np.ndarray, x: np.ndarray) -> np.ndarray:
            g = g if rule == "plain" else np.maximum(g, 0)
            return g if rule == "relu" else g * (x > 0)

        g = back(p["dense2.kernel"][:, target], v["dense1"])
        pool = (p["dense1.kernel"] @ g).reshape(12, 12, 64)
        cells = v["relu2"].reshape(12, 2, 12, 2, 64)
        # The first of equal values has the gradient: where a cell is zero it is cut off anyway,
        # but for the deconvnet, which does not look at it.
        flat = cells.transpose(0, 2, 4, 1, 3).reshape(12, 12, 64, 4)
        chosen = np.eye(4)[flat.argmax(axis=-1)] * pool[..., None]
        g = chosen.reshape(12, 12, 64, 2, 2).transpose(0, 3, 1, 4, 2).reshape(24, 24, 64)
        g = self._transposed(back(g, v["conv2"]), p["conv2.kernel"])
        return {"pool1": pool, "x": self._transposed(back(g, v["conv1"]), p["conv1.kernel"])}

    @staticmethod
    def _transposed(g: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        height, width = g.shape[:2]
        out = np.zeros((height + 2, width + 2, kernel.shape[2]))
        for i in range(3):
            for j in range(3):
                out[i : i + height, j : j + width] += g @ kernel[i, j].T
        return out


def enlarged(values: np.ndarray, side: int) -> np.ndarray:
    """A square map by linear interpolation between the centres of its cells."""
    count = len(values)
    places = (np.arange(side) + 0.5) * count / side - 0.5
    rows = np.stack([np.interp(places, range(count), column) for column in values.T], axis=1)
    return np.stack([np.interp(places, range(count), row) for row in rows])
