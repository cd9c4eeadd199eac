"""ConvNeXt (Liu et al. 2022), with timm's names of layers."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from reportgen.models.zoo.layers import GlobalMean, kernel_init, patches
from reportgen.models.zoo.mlp import Mlp, layer_norm


class Block(nnx.Module):
    """7x7 depthwise convolution, norm, two dense layers, layer scale ``gamma``; added to the input.

    (N, H, W, width) to the same. Stochastic depth is of training only.
    """

    def __init__(self, width: int, *, rngs: nnx.Rngs) -> None:
        self.conv_dw = nnx.Conv(
            width,
            width,
            (7, 7),
            padding=3,
            feature_group_count=width,
            kernel_init=kernel_init,
            rngs=rngs,
        )
        self.norm = layer_norm(width, rngs=rngs)
        self.mlp = Mlp(width, 4 * width, rngs=rngs)
        self.gamma = nnx.Param(jnp.full(width, 1e-6))

    def __call__(self, x: jax.Array) -> jax.Array:
        return x + self.gamma[...] * self.mlp(self.norm(self.conv_dw(x)))


class Stage(nnx.Module):
    """Halves the resolution unless ``inputs`` equals ``width``, then runs its blocks."""

    def __init__(self, inputs: int, width: int, depth: int, *, rngs: nnx.Rngs) -> None:
        between = [layer_norm(inputs, rngs=rngs), patches(inputs, width, 2, rngs)]
        self.downsample = nnx.List(between if inputs != width else [])
        self.blocks = nnx.List([Block(width, rngs=rngs) for _ in range(depth)])

    def __call__(self, x: jax.Array) -> jax.Array:
        for part in (*self.downsample, *self.blocks):
            x = part(x)
        return x


class Head(nnx.Module):
    """Mean over the map, norm, dense layer: (N, H, W, width) to (N, classes)."""

    def __init__(self, width: int, classes: int, *, rngs: nnx.Rngs) -> None:
        self.global_pool = GlobalMean()
        self.norm = layer_norm(width, rngs=rngs)
        self.fc = nnx.Linear(width, classes, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.fc(self.norm(self.global_pool(x)))


class ConvNeXt(nnx.Module):
    """Input (N, H, W, 3), 224 x 224 as published; returns logits (N, classes).

    Args:
      depths: number of blocks in each stage.
      widths: number of channels in each stage, increasing.

    Raises:
      ValueError: if the two do not fit together.
    """

    def __init__(
        self, *, depths: Sequence[int], widths: Sequence[int], classes: int = 1000, rngs: nnx.Rngs
    ) -> None:
        if len(depths) != len(widths) or list(widths) != sorted(set(widths)):
            raise ValueError(
                f"depths {list(depths)} and widths {list(widths)}: one of each a stage, "
                "the widths increasing"
            )
        self.stem = nnx.List([patches(3, widths[0], 4, rngs), layer_norm(widths[0], rngs=rngs)])
        before = (widths[0], *widths)
        self.stages = nnx.List(
            [
                Stage(inputs, width, depth, rngs=rngs)
                for inputs, width, depth in zip(before, widths, depths, strict=False)
            ]
        )
        self.head = Head(widths[-1], classes, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        for part in (*self.stem, *self.stages):
            x = part(x)
        return self.head(x)

    def published(self) -> dict[str, dict[str, str]]:
        """Scheme to our paths to the source's names."""
        torchvision = {"stem.0": "features.0.0", "stem.1": "features.0.1"}
        parts = {
            "conv_dw": "block.0",
            "norm": "block.2",
            "mlp.fc1": "block.3",
            "mlp.fc2": "block.5",
        }
        for i, stage in enumerate(self.stages):
            # torchvision counts what lies between the stages too: stem 0, stage 1, between 2, …
            for j in range(len(stage.downsample)):
                torchvision[f"stages.{i}.downsample.{j}"] = f"features.{2 * i}.{j}"
            for j in range(len(stage.blocks)):
                ours, theirs = f"stages.{i}.blocks.{j}", f"features.{2 * i + 1}.{j}"
                torchvision |= {f"{ours}.{a}": f"{theirs}.{b}" for a, b in parts.items()}
                torchvision[f"{ours}.gamma"] = f"{theirs}.layer_scale"
        torchvision |= {"head.norm": "classifier.0", "head.fc": "classifier.2"}
        return {"torchvision": torchvision, "timm": {path: path for path in torchvision}}

    def flattened(self) -> dict[str, tuple[int, int, int]]:
        """No dense layer sees a flattened map."""
        return {}
