"""From the layout of the framework that wrote a tensor to the network's own.

Kernels here are (height, width, input, output) and (input, output); PyTorch's and Caffe's are
(output, input, height, width) and (output, input), and what they flatten is channels first. Of a
transposed convolution theirs is (input, output, height, width), turned by 180 degrees against
Flax's; Flax's own ``transpose_kernel`` is taken to be off where the shape does not tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

Shape = tuple[int, ...]


def channels_first(parameter: str, source: str) -> bool:
    """True if a kernel of the network is called as PyTorch and Caffe call theirs in the file."""
    leaf = parameter.rpartition(".")[2]
    return leaf in ("kernel", "depthwise_kernel") and source.endswith("weight")


def arranged_shape(shape: Shape, wanted: Shape, *, first: bool, turned: bool = False) -> Shape:
    """The shape a tensor of the file has in the network's layout; ``wanted`` if it fits.

    Axes of length one may be missing, and neighbouring axes may be one: a depthwise kernel is
    (h, w, c, m) in Keras and (h, w, 1, c * m) in Flax; an old Caffe bias is (1, 1, 1, n).
    """
    moved = tuple(shape[axis] for axis in _axes(len(shape), turned)) if first else shape
    return wanted if _regroups(moved, wanted) or _regroups(wanted, moved) else moved


def arrange(
    values: np.ndarray,
    wanted: Shape,
    *,
    first: bool,
    turned: bool = False,
    flattened: Shape | None = None,
) -> np.ndarray:
    """A tensor of the file in the network's layout (``arranged_shape`` says that it fits).

    Args:
      first: as ``channels_first`` says.
      turned: it is the kernel of a transposed convolution.
      flattened: height, width and channels of the map that a dense layer gets flattened.
    """
    if first and values.ndim == 2 and flattened and values.shape[1] == prod(flattened):
        height, width, channels = flattened
        values = values.reshape(-1, channels, height, width)
    if first:
        values = values.transpose(_axes(values.ndim, turned))
        if turned:
            values = np.flip(values, tuple(range(values.ndim - 2)))
    return values.reshape(wanted)


def _axes(count: int, turned: bool = False) -> list[int]:
    """(output, input, …) to (…, input, output); turned, (input, output, …) to the same."""
    if count < 2:
        return list(range(count))
    return [*range(2, count), 0, 1] if turned else [*range(2, count), 1, 0]


def _regroups(fine: Sequence[int], coarse: Sequence[int]) -> bool:
    """True if joining neighbours of ``fine`` gives ``coarse``, axes of length one aside."""
    rest = [side for side in fine if side != 1]
    for side in (side for side in coarse if side != 1):
        size = 1
        while size < side and rest:
            size *= rest.pop(0)
        if size != side:
            return False
    return not rest
