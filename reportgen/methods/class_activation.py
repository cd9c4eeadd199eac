"""What all class activation methods share: the layer, its activation and gradient, enlarging.

A method of this family weights the maps of one layer and adds them up. The map is as coarse as the
layer and is enlarged to the input.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import ClassVar, Literal, NamedTuple, Self

import jax
import jax.numpy as jnp

from reportgen.core.errors import ModelError, NotApplicableError, did_you_mean
from reportgen.core.settings import Text, settings
from reportgen.methods.attribution import Attribution
from reportgen.methods.draws import normal
from reportgen.methods.resize import resized
from reportgen.models.base import LayerInfo, Model

Resize = Literal["bilinear", "nearest"]

# Class token, distillation token, registers: more of them are not looked for.
MOST_PREFIX_TOKENS = 5
# Layers that a default passes over: they make a map coarser, or leave it as it is.
_PASSED_OVER = ("pool", "dropout", "flatten")
_TESTED_AT_ONCE = 8


class Grid(NamedTuple):
    """Where a layer's positions lie: row by row, behind tokens that have no place in the image."""

    rows: int
    columns: int
    prefix: int = 0


class Captured(NamedTuple):
    """A layer's output and its gradient, in the layer's own grid.

    Attributes:
      activation: (N, h, w, K).
      gradient: of the explained scores by the activation, (N, h, w, K), in scores per unit of
        activation.
    """

    activation: jax.Array
    gradient: jax.Array


def token_grid(tokens: int, height: int, width: int) -> Grid | None:
    """The grid of square patches that tokens come from; None if no grid fits.

    Tokens of patches come row by row and last; up to five before them have no place, as the class
    token (first in timm, torchvision and Google's networks).
    """
    for prefix in range(MOST_PREFIX_TOKENS + 1):
        patches = tokens - prefix
        if patches < 4:
            return None
        rows = round(math.sqrt(patches * height / width))
        if rows and patches % rows == 0 and rows * width == patches // rows * height:
            return Grid(rows, patches // rows, prefix)
    return None


def grid_of(layer: LayerInfo, height: int, width: int) -> Grid | None:
    """Where a layer's positions lie in an input; None if it has no spatial extent.

    Args:
      height, width: of the input.
    """
    shape = layer.shape
    if layer.kind == "attention" or len(shape) not in (2, 3):
        return None
    if len(shape) == 2:
        return token_grid(shape[0], height, width)
    rows, columns, _ = shape
    # Queries and keys that are split into heads: tokens × heads × features, and no map.
    stretched = max(height * columns, width * rows) > 2 * min(height * columns, width * rows)
    if rows * columns == 1 or (layer.kind == "dense" and stretched):
        return None
    return Grid(rows, columns)


def spatial_layers(model: Model) -> tuple[LayerInfo, ...]:
    """The layers with spatial extent greater than 1 × 1, in execution order."""
    height, width, _ = model.spec.shape
    return tuple(layer for layer in model.layers if grid_of(layer, height, width))


def default_layer(model: Model, *, class_maps: bool = False) -> str:
    """The last layer that still tells where.

    - Of a convolutional network: the last with spatial extent. Pools and dropout are passed over,
      since they make a map coarser or leave it as it is; so are class maps, the output of a
      classifier that is a convolution, since each class has but one. This is the last convolution
      behind its rectifier (Grad-CAM's paper), the last block of a residual network and
      ``features[-1]`` of SqueezeNet (pytorch-grad-cam's advice).
    - Of a transformer: the last norm or block whose patches' tokens move the score. With a class
      token that is the norm before the last attention, since behind it only the class token does
      (pytorch-grad-cam's advice); without one it is the norm at the end.

    Args:
      class_maps: take class maps too.

    Raises:
      NotApplicableError: if there is none.
    """
    height, width, _ = model.spec.shape
    found = [layer for layer in spatial_layers(model) if layer.kind not in _PASSED_OVER]
    if not class_maps:
        made = _class_maps(model)
        found = [layer for layer in found if layer.path not in made]
    if found and len(found[-1].shape) == 2:
        tokens = [layer for layer in found if layer.shape[0] == found[-1].shape[0]]
        stream = [layer.path for layer in tokens if layer.kind in ("norm", "block")]
        paths = stream or [layer.path for layer in tokens]
        for end in range(len(paths), 0, -_TESTED_AT_ONCE):
            part = tuple(paths[max(0, end - _TESTED_AT_ONCE) : end])
            moving = [path for path, moves in zip(part, _moving(model, part), strict=True) if moves]
            if moving:
                return moving[-1]
        found = []
    if not found:
        raise NotApplicableError(
            f"Class activation needs a layer with spatial extent, and {model.name} has none that "
            f"moves the score for inputs of {height} × {width}.",
            "Take saliency or integrated_gradients, which need none.",
        )
    return found[-1].path


def _class_maps(model: Model) -> set[str]:
    """Layers of as many channels as there are scores, with no parameters behind them."""
    last = max((i for i, layer in enumerate(model.layers) if layer.parameters), default=0)
    outputs = len(model.classes)
    return {layer.path for layer in model.layers[last:] if layer.shape[-1:] == (outputs,)}


@partial(jax.jit, static_argnums=1)
def _moving(model: Model, paths: tuple[str, ...]) -> jax.Array:
    """Whether the scores depend on a layer's last token, for each layer.

    Found by what does not pass by chance or get lost in rounding: a NaN that is put there.
    """
    x = normal(jax.random.key(0), (len(paths), *model.spec.shape))
    taps = {
        path: jnp.zeros((len(paths), *model.layer(path).shape)).at[i, -1].set(jnp.nan)
        for i, path in enumerate(paths)
    }
    return jnp.isnan(model.apply(x, taps)[0]).any(axis=-1)


def checked_layer(model: Model, path: str, *, by_gradient: bool) -> str:
    """A layer by its path, if it can be used.

    Args:
      by_gradient: its gradient is used, so it must move the score.

    Raises:
      ModelError: if there is no such layer.
      NotApplicableError: if it has no spatial extent, or its tokens do not move the score.
    """
    fitting = [layer.path for layer in spatial_layers(model)]
    try:
        layer = model.layer(path)
    except KeyError:
        hint = did_you_mean(path, [known.path for known in model.layers])
        raise ModelError(
            f"layer: {model.name} has no layer {path!r}.",
            f"{hint} List all with: reportgen layers",
        ) from None
    if path not in fitting:
        shown = ", ".join(fitting[-12:]) or "none"
        raise NotApplicableError(
            f"Class activation needs a layer with spatial extent; the output of {path} is "
            f"{layer.shape}.",
            f"These have it: {'…, ' if len(fitting) > 12 else ''}{shown}.",
        )
    if by_gradient and len(layer.shape) == 2 and not bool(_moving(model, (path,))[0]):
        raise NotApplicableError(
            f"The score does not depend on the patches' tokens of {path}: behind it only the class "
            "token is read, so the map would be empty.",
            f"Take a layer before the last attention, such as {default_layer(model)}.",
        )
    return path


def placed(activation: jax.Array, height: int, width: int) -> jax.Array:
    """A layer's output as maps: (N, h, w, K) as it is, tokens (N, T, K) in their grid.

    Args:
      height, width: of the input.
    """
    if activation.ndim == 4:
        return activation
    grid = token_grid(activation.shape[1], height, width)
    assert grid is not None, "checked_layer lets no other tokens in"
    return activation[:, grid.prefix :].reshape(-1, grid.rows, grid.columns, activation.shape[-1])


def capture(model: Model, path: str, x: jax.Array, targets: jax.Array) -> Captured:
    """A layer's output and its gradient, from one run of the network forwards and back.

    Args:
      path: of a layer with spatial extent.
      x: inputs (N, H, W, C), normalised.
      targets: (N,) class indices.
    """
    shape = jax.eval_shape(lambda m, v: m.apply(v)[1][path], model, x)

    def total(tap: jax.Array) -> tuple[jax.Array, jax.Array]:
        scores, activations = model.apply(x, {path: tap})
        explained = jnp.take_along_axis(scores, targets[:, None], axis=1)
        return explained.sum(), activations[path]

    gradient, activation = jax.grad(total, has_aux=True)(jnp.zeros(shape.shape, shape.dtype))
    height, width = x.shape[1:3]
    return Captured(placed(activation, height, width), placed(gradient, height, width))


def enlarge(maps: jax.Array, height: int, width: int, resize: Resize) -> jax.Array:
    """Maps (N, h, w) at the size of the input, (N, H, W).

    Pixels are areas, so that centres lie half a pixel inside and the edges of map and image
    coincide (as ``align_corners=False`` of PyTorch; ``nearest`` is its ``nearest-exact``).
    """
    return resized(maps[..., None], (height, width), resize)[..., 0]


@settings
class ClassActivation(Attribution):
    """Settings that all class activation methods have, besides those of attribution.

    Attributes:
      layer: path of the layer whose maps are weighted; null for the last that tells where, see
        ``default_layer``.
      resize: how the map is enlarged to the input: ``bilinear``, or ``nearest`` to see its cells.
    """

    by_gradient: ClassVar[bool] = True

    layer: Text | None
    resize: Resize

    def fitted(self, model: Model) -> Self:
        return replace(self, layer=self.chosen_layer(model))

    def chosen_layer(self, model: Model) -> str:
        """The path of the layer.

        Raises:
          ModelError: if there is no such layer.
          NotApplicableError: if it, or the network, has no spatial extent.
        """
        if self.layer is None:
            return default_layer(model)
        return checked_layer(model, self.layer, by_gradient=self.by_gradient)

    @property
    def path(self) -> str:
        """Of the layer, once the method is fitted."""
        assert self.layer is not None, "only a fitted method runs"
        return self.layer

    def details(self, model: Model) -> str:
        height, width, _ = model.spec.shape
        grid = grid_of(model.layer(self.path), height, width)
        assert grid is not None
        what = "tokens" if grid.prefix or len(model.layer(self.path).shape) == 2 else "cells"
        how = "bilinearly, edges on edges" if self.resize == "bilinear" else "by the nearest cell"
        return f"layer {self.path}: {grid.rows} × {grid.columns} {what}, enlarged {how}"

    def enlarged(self, maps: jax.Array, x: jax.Array) -> jax.Array:
        """Maps (N, h, w) at the size of the inputs x (N, H, W, C)."""
        return enlarge(maps, x.shape[1], x.shape[2], self.resize)
