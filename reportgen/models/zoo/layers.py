"""Small layers as modules, so that a network's pools, norms and activations have names.

Caffe calls every blob by its name; these make ``pool1``, ``relu1`` and ``prob`` layers that a
config can select like any other.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx


def kernel_init(
    key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32, *_: object
) -> jax.Array:
    """The values of Flax's own choice for a convolution, LeCun's truncated normal ones.

    Drawn flat: for a kernel's shape XLA's CPU backend takes ten times as long to compile their
    generator, several seconds for a whole network.
    """
    flat = jax.random.truncated_normal(key, -2, 2, (math.prod(shape),), dtype)
    deviation = jnp.sqrt(jnp.array(1 / math.prod(shape[:-1]), dtype))
    # The constant is the deviation of what is left of a normal distribution between -2 and 2.
    return flat.reshape(shape) * (deviation / jnp.array(0.87962566103423978, dtype))


def patches(inputs: int, outputs: int, size: int, rngs: nnx.Rngs) -> nnx.Conv:
    """A convolution over patches that do not overlap."""
    return nnx.Conv(
        inputs,
        outputs,
        (size, size),
        strides=size,
        padding="VALID",
        kernel_init=kernel_init,
        rngs=rngs,
    )


class MaxPool(nnx.Module):
    """Maximum over windows of (N, H, W, C); NaN in a window is its maximum.

    Of equal values the first in reading order gets the gradient, as in Caffe, PyTorch and XLA.

    Args:
      size, stride: of the windows, in both directions.
      padding: pixels of minus infinity on each of the four sides.
      ceil: round the number of windows up, as Caffe does and PyTorch on demand: the last window
        may reach over the far edge, but begins on the input or on the near padding.
    """

    kind: ClassVar[str] = "pool"

    def __init__(self, size: int, stride: int, *, padding: int = 0, ceil: bool = False) -> None:
        self.size = size
        self.stride = stride
        self.padding = padding
        self.ceil = ceil

    def _reach(self, side: int) -> int:
        """Pixels from where the first window begins to where the last one does, both counted."""
        spare = side + 2 * self.padding - self.size
        steps = -(-spare // self.stride) if self.ceil else spare // self.stride
        if self.ceil and steps * self.stride >= side + self.padding:
            steps -= 1
        if steps < 0:
            raise ValueError(f"no window of {self.size} pixels fits into {side} pixels")
        return steps * self.stride + 1

    def __call__(self, x: jax.Array) -> jax.Array:
        ends = (self._reach(side) + self.size - 1 for side in x.shape[1:3])
        padding = [
            (self.padding, max(0, end - self.padding - side))
            for end, side in zip(ends, x.shape[1:3], strict=True)
        ]
        window, strides = ((1, number, number, 1) for number in (self.size, self.stride))
        low = -jnp.inf
        return jax.lax.reduce_window(
            x, low, jax.lax.max, window, strides, ((0, 0), *padding, (0, 0))
        )


class GlobalMean(nnx.Module):
    """Mean over H and W: (N, H, W, C) to (N, C)."""

    kind: ClassVar[str] = "pool"

    def __call__(self, x: jax.Array) -> jax.Array:
        return x.mean(axis=(1, 2))


class LRN(nnx.Module):
    """Local response normalisation across channels (Krizhevsky et al. 2012), as Caffe computes it.

    ``x / (1 + alpha / size * sum of squares over size channels around)**beta``. The paper does not
    divide alpha by the size.

    Args:
      size: number of channels, odd; those beyond the first and the last count as zero.
    """

    kind: ClassVar[str] = "norm"

    def __init__(self, *, size: int = 5, alpha: float = 1e-4, beta: float = 0.75) -> None:
        self.size = size
        self.alpha = alpha
        self.beta = beta

    def __call__(self, x: jax.Array) -> jax.Array:
        channels, reach = x.shape[-1], self.size // 2
        squares = jnp.pad(x * x, ((0, 0), (0, 0), (0, 0), (reach, reach)))
        # A sum of slices: XLA's CPU backend takes several times as long over the gradient of a
        # reduce_window.
        total = sum(squares[..., i : i + channels] for i in range(self.size))
        return x * (1 + self.alpha / self.size * total) ** -self.beta


class ConvRelu(nnx.Conv):
    """Convolution rectified in place, as in Caffe's and Keras's networks: one name, one output."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, kernel_init=kernel_init, **kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> jax.Array:
        return nnx.relu(super().__call__(*args, **kwargs))


class LinearRelu(nnx.Linear):
    """Dense layer rectified in place; see ``ConvRelu``."""

    def __call__(self, *args: Any, **kwargs: Any) -> jax.Array:
        return nnx.relu(super().__call__(*args, **kwargs))


class Relu(nnx.Module):
    """max(x, 0)."""

    kind: ClassVar[str] = "activation"

    def __call__(self, x: jax.Array) -> jax.Array:
        return nnx.relu(x)


class Flatten(nnx.Module):
    """(N, H, W, C) to (N, H * W * C), channels last."""

    kind: ClassVar[str] = "flatten"

    def __call__(self, x: jax.Array) -> jax.Array:
        return x.reshape(x.shape[0], -1)


class Softmax(nnx.Module):
    """Probabilities over the last axis."""

    kind: ClassVar[str] = "softmax"

    def __call__(self, x: jax.Array) -> jax.Array:
        return nnx.softmax(x)
