"""Kernels of units: which repeat another one's, and the parts of them that are shown."""

from __future__ import annotations

import numpy as np

from reportgen.models.base import LayerInfo, Model

_FEWEST = 9  # weights of a kernel: directions of fewer are alike by chance
_SHOWN = 4  # inputs of a kernel with places
_MOST = 1024  # inputs of a kernel without: more are no picture


def unit_kernel(model: Model, layer: LayerInfo) -> np.ndarray | None:
    """A convolution's kernel (h, w, inputs, units) or a dense one's (inputs, units); else None."""
    if layer.kind not in ("conv", "dense"):
        return None
    for array in model.layer_parameters(layer.path).values():
        if array.ndim in (2, 4) and array.shape[-1] == layer.shape[-1]:
            return np.asarray(array, np.float32)
    return None


def repeated(kernel: np.ndarray, groups: int, threshold: float) -> np.ndarray:
    """(units,) of each unit the earlier one that it repeats, -1 if none.

    A unit repeats the one to whose kernel its own has the highest cosine, if that is above the
    threshold, of those before it that repeat none themselves. The bias and the size of the kernel
    do not count. Units in different groups read different inputs; kernels of fewer than nine
    weights are not compared.

    Args:
      kernel: (…, inputs, units).
      groups: of the convolution.
    """
    units = kernel.shape[-1]
    flat, each = kernel.reshape(-1, units), units // groups
    found = np.full(units, -1)
    if len(flat) < _FEWEST:
        return found
    for first in range(0, units, each):
        part = flat[:, first : first + each]
        products = part.T @ part  # of all pairs; the kernels themselves are not copied
        norms = np.sqrt(np.diag(products))
        with np.errstate(invalid="ignore", divide="ignore"):
            cosines = products / np.outer(norms, norms)
        alike = np.tril(cosines > threshold, -1)
        own = found[first : first + each]
        for unit in np.flatnonzero(alike.any(axis=1)):
            earlier = np.flatnonzero(alike[unit] & (own < 0))
            if earlier.size:
                own[unit] = first + earlier[np.argmax(cosines[unit, earlier])]
    return found


def kernel_parts(
    kernel: np.ndarray, units: tuple[int, ...], colours: str
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """What is shown of some units' kernels, and which inputs that is of.

    The mean over inputs would let weights of both signs cancel, so each unit shows the four inputs
    that it reads most, by the norm of their weights; a kernel of 1 × 1, or a dense one, all inputs,
    in their order.

    Args:
      colours: order of the image's channels, rgb or bgr, where the layer reads the image itself.

    Returns:
      (N, P, h, w) and (N, P), or in colour (N, 1, h, w, 3) and None; both None for dense layers
      with more than 1,024 inputs.
    """
    if kernel.ndim == 2:
        kernel = kernel[None, None]
    chosen = kernel[..., list(units)].transpose(3, 2, 0, 1)  # units, inputs, h, w
    count, inputs, height, width = chosen.shape
    if colours and inputs == 3:
        drawn = chosen.transpose(0, 2, 3, 1)[:, None]
        return drawn[..., ::-1] if colours == "bgr" else drawn, None
    if height * width == 1:
        if inputs > _MOST:
            return None, None
        return chosen, np.broadcast_to(np.arange(inputs), (count, inputs)).copy()
    norms = np.square(chosen).sum(axis=(2, 3))
    strongest = np.argsort(-norms, axis=1, kind="stable")[:, :_SHOWN]
    order = np.sort(strongest, axis=1) if inputs <= _SHOWN else strongest
    return np.take_along_axis(chosen, order[..., None, None], axis=1), order
