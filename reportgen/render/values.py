"""Raw values of pictures as scripts: what the viewer tells of the pixel under the cursor.

A page opened from a file may neither fetch another file nor read a picture's pixels; a script it
may run. Numbers are quantised, as a page is not where they are kept (that is ``arrays/``).
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from dataclasses import dataclass

import numpy as np

from reportgen.render import colour

MOST = 4_000_000
"""Values of an array above which it has no script: unpacked they would weigh on the page."""

_FINE = 1 << 16  # values up to which an array is kept in 16 bits: that of one map or a few tiles
_RESERVED = 3  # codes after the last step: NaN, infinity, minus infinity
_LEVEL = 6


@dataclass(frozen=True)
class Quantised:
    """An array in whole numbers.

    Attributes:
      codes: uint8 or uint16, of the array's shape. ``low * (1 - p) + high * p`` with
        ``p = code / steps`` is the value to within half a step; ``steps + 1`` stands for NaN,
        ``steps + 2`` and ``steps + 3`` for infinity and minus infinity.
      low, high: the range of the finite values; 0 and 0 where there are none.
      exact: whether nothing was lost, as of whole numbers.
    """

    codes: np.ndarray
    low: float
    high: float
    steps: int
    exact: bool


def quantised(array: np.ndarray) -> Quantised:
    """Whole numbers as they are where 16 bits hold them; others in steps of their finite range.

    There are 65,532 steps for arrays of up to 65,536 values, and 252 for larger ones.
    """
    values = np.asarray(array)
    if values.dtype.kind in "bui" and values.size:
        least, most = int(values.min()), int(values.max())
        if (span := most - least) <= np.iinfo(np.uint16).max:
            codes = (values.astype(np.int64) - least).astype(_narrow(span))
            return Quantised(codes, least, most, max(1, span), True)
    values = values.astype(np.float64)
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    kind = np.uint16 if values.size <= _FINE else np.uint8
    steps = int(np.iinfo(kind).max) - _RESERVED
    scaled = np.nan_to_num(colour.normalised(values, low, high))
    codes = np.floor(scaled * steps + 0.5).astype(kind)
    codes[np.isnan(values)] = steps + 1
    codes[np.isposinf(values)] = steps + 2
    codes[np.isneginf(values)] = steps + 3
    return Quantised(codes, low, high, steps, low == high and finite.size == values.size)


def _narrow(most: int) -> type[np.uint8 | np.uint16]:
    return np.uint8 if most <= np.iinfo(np.uint8).max else np.uint16


def script_path(array: np.ndarray) -> str:
    """Where an array's script is, the same for equal arrays; empty for one of too many values."""
    if not 0 < array.size <= MOST:
        return ""
    values = np.ascontiguousarray(array)
    digest = hashlib.sha256(f"{values.dtype.str} {values.shape}\n".encode())
    digest.update(values.data)
    return f"assets/values-{digest.hexdigest()[:20]}.js"


def script(path: str, array: np.ndarray) -> bytes:
    """The script that puts an array in ``reportgen.values`` under its own path.

    Its ``data`` are the codes as differences from the value before (of the same colour: ``back``
    places before), modulo their bits; the high bytes of 16 bits, then the low ones; deflated, in
    base64. Of smooth maps the high bytes are nearly all zero.
    """
    found = quantised(array)
    shape = list(np.shape(array))
    back = shape[-1] if len(shape) > 2 and shape[-1] == 3 else 1
    codes = found.codes.ravel()
    steps = codes.copy()
    steps[back:] -= codes[:-back]  # unsigned numbers wrap
    if codes.itemsize == 2:
        planes = (steps >> 8).astype(np.uint8).tobytes() + steps.astype(np.uint8).tobytes()
    else:
        planes = steps.tobytes()
    packed = {
        "shape": shape,
        "bits": 8 * codes.itemsize,
        "steps": found.steps,
        "low": found.low,
        "high": found.high,
        "exact": found.exact,
        "back": back,
        "data": base64.b64encode(zlib.compress(planes, _LEVEL)).decode(),
    }
    text = json.dumps(packed, allow_nan=False, separators=(",", ":"))
    return f"reportgen.values[{json.dumps(path)}]={text};\n".encode()
