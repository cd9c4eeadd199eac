"""What a report measured of its network, layer by layer and image by image.

It is what later reports are compared with: numbers, and a few arrays whose size grows with units
and images, never with weights or answers.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np

from reportgen.core.fields import Array, Number

SKETCH = 1024
BINS = 2048
DIGEST = 16  # bytes


@dataclass(frozen=True, kw_only=True)
class MeasuredLayer:
    """One layer, with U units on the last axis of its output.

    Attributes:
      shape: of its output, without the batch.
      weights_sha256: of its own parameters, by name; empty if it has none.
      norm: L2, of all its parameters.
      sketch: (1024,) float64, see ``sketch``; (0,) if it has no parameters.
      unit_norms: (U,) L2 of each unit's part of the kernel; (0,) without such a kernel.
      bins, counts: (B,) of the histogram of its answers that are not empty, ascending: see
        ``bin_of``. Both are (0,) if there were no images, and so are ``means`` and all that follow.
      means, deviations: (U,) of each unit's answers to all images at all places.
      sparsity: (U,) share of answers that are zero or below (0..1).
      dead: (U,) whether none was above zero, where a rectifier reads them.
    """

    path: str
    kind: str
    shape: tuple[int, ...]
    weights_sha256: str
    norm: Number
    sketch: Array
    unit_norms: Array
    bins: Array
    counts: Array
    means: Array
    deviations: Array
    sparsity: Array
    dead: Array


@dataclass(frozen=True, kw_only=True)
class Measured:
    """All layers in execution order, and N images.

    Attributes:
      names: N, of the images.
      digests: (N, 16) of each image's pixels at the network's size, see ``image_digest``.
      labels: (N,) class indices, -1 where there is none.
      predicted: (N, K) class indices, the highest score first.
      probabilities: (N, K) softmax of the logits, of the same classes; (N, 0) if the network has
        one score alone, as ``predicted``.
    """

    layers: tuple[MeasuredLayer, ...]
    names: tuple[str, ...]
    digests: Array
    labels: Array
    predicted: Array
    probabilities: Array

    def layer(self, path: str) -> MeasuredLayer | None:
        """By its path; None if there is none."""
        return next((layer for layer in self.layers if layer.path == path), None)


def image_digest(pixels: np.ndarray) -> np.ndarray:
    """(16,) uint8: first bytes of the SHA-256 of an image (H, W, C; 0..255) as float32."""
    pixels = np.ascontiguousarray(pixels, np.float32)
    content = hashlib.sha256(f"{pixels.dtype.str} {pixels.shape}\n".encode())
    content.update(pixels.data)
    return np.frombuffer(content.digest()[:DIGEST], np.uint8)


@dataclass
class Sketch:
    """A random projection of numbers that come piece by piece (a count sketch).

    The squared distance of two sketches is that of the numbers, on average; its standard deviation
    is 4.4 % of it (Charikar, Chen and Farach-Colton: Finding Frequent Items in Data Streams, 2002).
    Signs are drawn from PCG64's raw bits, which are the same in every version of NumPy.
    """

    sums: np.ndarray = field(default_factory=lambda: np.zeros(SKETCH))
    _bits: np.random.PCG64 = field(default_factory=lambda: np.random.PCG64(0))

    def take(self, values: np.ndarray) -> None:
        """Take in numbers (n,); n is a multiple of 1024, but for the last piece's."""
        padded = np.zeros(-(-len(values) // SKETCH) * SKETCH)
        padded[: len(values)] = values
        words = self._bits.random_raw(len(padded) // 64).astype("<u8")
        signs = np.unpackbits(words.view(np.uint8), bitorder="little")
        self.sums += np.where(signs, padded, -padded).reshape(-1, SKETCH).sum(axis=0)


def bin_of(values: np.ndarray) -> np.ndarray:
    """The bins of finite numbers, ascending with them: 0 to 2047, four to a power of two.

    A bin is the sign, the exponent and the first two bits of the mantissa of a float32: bins are a
    seventh to a fifth of their numbers wide. Zero, and what is too small for a float32, has the
    bin ``bin_of(0)`` beside numbers up to 3e-39.
    """
    bits = (np.asarray(values, np.float32) + np.float32(0)).view(np.uint32)  # -0 becomes 0
    ordered = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    return (ordered >> 21).astype(np.int64)


def lower_edges(bins: np.ndarray) -> np.ndarray:
    """The smallest number of each bin."""
    ordered = np.asarray(bins, np.uint32) << np.uint32(21)
    negative = ordered < np.uint32(1 << 31)
    # Of negative numbers the smallest is the largest pattern of bits.
    bits = np.where(negative, ~ordered, ordered & np.uint32(0x7FFFFFFF)).astype(np.uint32)
    return bits.view(np.float32).astype(np.float64)
