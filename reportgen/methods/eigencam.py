"""Eigen-CAM: what most of a layer's activation has in common, whatever the class.

Muhammad, Yeasin: Eigen-CAM (2020), arXiv:2008.00299. pytorch-grad-cam's ``EigenCAM`` first takes
each channel's mean away, which the paper does not: ``centred`` chooses.
"""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp

from reportgen.core.settings import Switch, settings
from reportgen.methods.attribution import Maps
from reportgen.methods.class_activation import ClassActivation, placed
from reportgen.models.base import Model


def eigencam(activation: jax.Array, *, centred: bool) -> tuple[jax.Array, jax.Array]:
    """ReLU(A v), v the first right singular vector of the activation A (positions × channels).

    A singular vector has no sign; it is turned so that the largest absolute value of A v is
    positive. Of rectified maps that are not centred all of A v has one sign.

    Args:
      activation: (N, h, w, K).
      centred: take each channel's mean over positions away first.

    Returns:
      Maps (N, h, w), not negative, in units of activation; and (N,), which share of the sum of
      squares of A the first component holds (0..1).
    """
    count, rows, columns, channels = activation.shape
    matrix = activation.reshape(count, rows * columns, channels)
    if centred:
        matrix = matrix - matrix.mean(axis=1, keepdims=True)
    _, singular, right = jnp.linalg.svd(matrix, full_matrices=False)
    projected = jnp.einsum("npk,nk->np", matrix, right[:, 0])
    furthest = jnp.abs(projected).argmax(axis=1, keepdims=True)
    sign = jnp.where(jnp.take_along_axis(projected, furthest, axis=1) < 0, -1, 1)
    squares = (singular**2).sum(axis=1)
    share = jnp.where(squares > 0, singular[:, 0] ** 2 / jnp.where(squares > 0, squares, 1), 0)
    return jnp.maximum(sign * projected, 0).reshape(count, rows, columns), share


@settings
class EigenCAM(ClassActivation):
    """Those of all class activation methods, and:

    Attributes:
      centred: take each channel's mean over positions away first, as pytorch-grad-cam does and
        the paper does not.
    """

    title: ClassVar[str] = "Eigen-CAM"
    formula: ClassVar[str] = (
        "ReLU(A v), v the first right singular vector of the activation A, positions × channels "
        "(Muhammad and Yeasin 2020)"
    )
    intro: ClassVar[str] = (
        "Where the layer is most active in the pattern of channels that is common to most of the "
        "image: it asks neither for a gradient nor for a class, so it shows what the network "
        "sees, not what it decides by. pytorch-grad-cam first takes each channel's mean away; here "
        "centred=true does."
    )
    measure: ClassVar[str] = "units of activation, not negative; the same for every class"
    signed: ClassVar[bool] = False
    by_gradient: ClassVar[bool] = False

    centred: Switch

    def details(self, model: Model) -> str:
        return super().details(model) + ("; centred" if self.centred else "; not centred")

    def explain(
        self, model: Model, x: jax.Array, targets: jax.Array, keys: jax.Array, batch: int
    ) -> Maps:
        activation = placed(model.activation(self.path, x), x.shape[1], x.shape[2])
        maps, share = eigencam(activation, centred=self.centred)
        return Maps(self.enlarged(maps, x), {"share of the first component": share})
