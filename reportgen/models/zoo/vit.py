"""The vision transformer (Dosovitskiy et al. 2021), with timm's names of layers."""

from __future__ import annotations

import math
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from reportgen.models.zoo.layers import patches
from reportgen.models.zoo.mlp import Mlp, layer_norm


class PatchEmbed(nnx.Module):
    """One token a patch, row by row: (N, H, W, 3) to (N, H * W / patch**2, width)."""

    def __init__(self, patch: int, width: int, *, rngs: nnx.Rngs) -> None:
        self.proj = patches(3, width, patch, rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        maps = self.proj(x)
        return maps.reshape(maps.shape[0], -1, maps.shape[-1])


class AttentionWeights(nnx.Module):
    """How much each token takes from each: two (N, tokens, heads, C) to (N, heads, to, from).

    A softmax along the last axis; a layer of its own so that it has a name.
    """

    kind: ClassVar[str] = "attention"

    def __call__(self, query: jax.Array, key: jax.Array) -> jax.Array:
        scores = jnp.einsum("nqhc,nkhc->nhqk", query, key)
        return nnx.softmax(scores / math.sqrt(query.shape[-1]))


class Attention(nnx.Module):
    """Self-attention with several heads: (N, tokens, width) to the same."""

    def __init__(self, width: int, heads: int, *, rngs: nnx.Rngs) -> None:
        self.heads = heads
        self.qkv = nnx.Linear(width, 3 * width, rngs=rngs)
        self.weights = AttentionWeights()
        self.proj = nnx.Linear(width, width, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        batch, tokens, width = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.heads, width // self.heads)
        query, key, value = qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]
        mixed = jnp.einsum("nhqk,nkhc->nqhc", self.weights(query, key), value)
        return self.proj(mixed.reshape(batch, tokens, width))


class Block(nnx.Module):
    """Attention, then two dense layers, each normed before and added: (N, tokens, width)."""

    def __init__(self, width: int, heads: int, hidden: int, *, rngs: nnx.Rngs) -> None:
        self.norm1 = layer_norm(width, rngs=rngs)
        self.attn = Attention(width, heads, rngs=rngs)
        self.norm2 = layer_norm(width, rngs=rngs)
        self.mlp = Mlp(width, hidden, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class ViT(nnx.Module):
    """Input (N, image, image, 3); returns logits (N, classes), read off the class token.

    Args:
      image: side of the input in pixels.
      patch: side of a patch in pixels.
      width: features of a token.
      depth: number of blocks.
      heads: of each attention.
      hidden: features between a block's two dense layers.

    Attributes:
      prefix_tokens: tokens before those of the picture.

    Raises:
      ValueError: if patches do not fill the image, or heads the width.
    """

    prefix_tokens: ClassVar[int] = 1

    def __init__(
        self,
        *,
        image: int,
        patch: int,
        width: int,
        depth: int,
        heads: int,
        hidden: int,
        classes: int = 1000,
        rngs: nnx.Rngs,
    ) -> None:
        if image % patch:
            raise ValueError(f"image is {image}, not a multiple of patch, {patch}")
        if width % heads:
            raise ValueError(f"width is {width}, not a multiple of heads, {heads}")
        self.side = image // patch
        normal = nnx.initializers.normal(0.02)
        self.patch_embed = PatchEmbed(patch, width, rngs=rngs)
        self.cls_token = nnx.Param(normal(rngs.params(), (1, 1, width)))
        tokens = self.prefix_tokens + self.side**2
        self.pos_embed = nnx.Param(normal(rngs.params(), (1, tokens, width)))
        self.blocks = nnx.List([Block(width, heads, hidden, rngs=rngs) for _ in range(depth)])
        self.norm = layer_norm(width, rngs=rngs)
        self.head = nnx.Linear(width, classes, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.patch_embed(x)
        first = jnp.broadcast_to(self.cls_token[...], (x.shape[0], 1, x.shape[-1]))
        x = jnp.concatenate([first, x], axis=1) + self.pos_embed[...]
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, 0])

    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches; token ``prefix_tokens + row * columns + column`` is one."""
        return self.side, self.side

    def published(self) -> dict[str, dict[str, str]]:
        """Scheme to our paths to the source's names."""
        torchvision = {
            "cls_token": "class_token",
            "pos_embed": "encoder.pos_embedding",
            "patch_embed.proj": "conv_proj",
        }
        parts = {
            "norm1": "ln_1",
            "attn.qkv": "self_attention.in_proj_",
            "attn.proj": "self_attention.out_proj",
            "norm2": "ln_2",
            "mlp.fc1": "mlp.0",
            "mlp.fc2": "mlp.3",
        }
        for i in range(len(self.blocks)):
            layer = f"encoder.layers.encoder_layer_{i}"
            torchvision |= {f"blocks.{i}.{a}": f"{layer}.{b}" for a, b in parts.items()}
        torchvision |= {"norm": "encoder.ln", "head": "heads.head"}
        return {"torchvision": torchvision, "timm": {path: path for path in torchvision}}

    def flattened(self) -> dict[str, tuple[int, int, int]]:
        """No dense layer sees a flattened map."""
        return {}
