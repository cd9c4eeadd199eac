"""ResNet, ConvNeXt and ViT in PyTorch, as published, with torchvision's names of attributes.

Nothing here is shared with the networks of ``reportgen.models.zoo``: what the two compute is
compared. ``fill`` and ``carry`` bring weights over from Flax's layout.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import torch
from torch import nn


class Residual(nn.Module):
    """A block of a residual network: ``convolutions`` is [(outputs, size, stride), …]."""

    def __init__(
        self, inputs: int, convolutions: list[tuple[int, int, int]], epsilon: float, bias: bool
    ) -> None:
        super().__init__()
        self.count = len(convolutions)
        before, stride = inputs, 1
        for number, (outputs, size, step) in enumerate(convolutions, start=1):
            conv = nn.Conv2d(before, outputs, size, step, size // 2, bias=bias)
            setattr(self, f"conv{number}", conv)
            setattr(self, f"bn{number}", nn.BatchNorm2d(outputs, eps=epsilon))
            before, stride = outputs, stride * step
        self.downsample = None
        if before != inputs or stride != 1:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, before, 1, stride, bias=bias),
                nn.BatchNorm2d(before, eps=epsilon),
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x
        for number in range(1, self.count + 1):
            y = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(y))
            if number < self.count:
                y = y.relu()
        return (y + (x if self.downsample is None else self.downsample(x))).relu()


class ResNet(nn.Module):
    """``caffe``: He's own release for depth 50: the stride comes early, the pool is not padded."""

    def __init__(self, blocks: list[int], deep: bool, classes: int, caffe: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=caffe)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 0 if caffe else 1, ceil_mode=caffe)
        inputs = 64
        for stage, count in enumerate(blocks):
            width = 64 << stage
            parts = []
            for index in range(count):
                stride = 2 if index == 0 and stage else 1
                first, second = (stride, 1) if caffe else (1, stride)
                shape = [(width, 3, stride), (width, 3, 1)]
                if deep:
                    shape = [(width, 1, first), (width, 3, second), (4 * width, 1, 1)]
                parts.append(Residual(inputs, shape, 1e-5, False))
                inputs = shape[-1][0]
            setattr(self, f"layer{stage + 1}", nn.Sequential(*parts))
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.maxpool(self.bn1(self.conv1(x)).relu())
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean(dim=(2, 3)))


def resnet18(classes: int = 1000) -> ResNet:
    return ResNet([2, 2, 2, 2], False, classes, False)


def resnet34(classes: int = 1000) -> ResNet:
    return ResNet([3, 4, 6, 3], False, classes, False)


def resnet50(classes: int = 1000) -> ResNet:
    return ResNet([3, 4, 6, 3], True, classes, False)


def resnet50_caffe(classes: int = 1000) -> ResNet:
    return ResNet([3, 4, 6, 3], True, classes, True)


def resnet101(classes: int = 1000) -> ResNet:
    return ResNet([3, 4, 23, 3], True, classes, False)


def resnet152(classes: int = 1000) -> ResNet:
    return ResNet([3, 8, 36, 3], True, classes, False)


class Permute(nn.Module):
    def __init__(self, *order: int) -> None:
        super().__init__()
        self.order = order

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.permute(self.order)


class LayerNorm2d(nn.LayerNorm):
    """Across the channels of (N, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class CNBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(width, width, 7, padding=3, groups=width),
            Permute(0, 2, 3, 1),
            nn.LayerNorm(width, eps=1e-6),
            nn.Linear(width, 4 * width),
            nn.GELU(),
            nn.Linear(4 * width, width),
            Permute(0, 3, 1, 2),
        )
        self.layer_scale = nn.Parameter(torch.full((width, 1, 1), 1e-6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.layer_scale * self.block(x)


class ConvNeXt(nn.Module):
    def __init__(self, depths: list[int], widths: list[int], classes: int) -> None:
        super().__init__()
        parts = [nn.Sequential(nn.Conv2d(3, widths[0], 4, 4), LayerNorm2d(widths[0]))]
        for stage, (depth, width) in enumerate(zip(depths, widths, strict=True)):
            if stage:
                narrow = widths[stage - 1]
                parts.append(nn.Sequential(LayerNorm2d(narrow), nn.Conv2d(narrow, width, 2, 2)))
            parts.append(nn.Sequential(*(CNBlock(width) for _ in range(depth))))
        self.features = nn.Sequential(*parts)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        last = widths[-1]
        self.classifier = nn.Sequential(LayerNorm2d(last), nn.Flatten(1), nn.Linear(last, classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.avgpool(self.features(x)))


def convnext_tiny(classes: int = 1000) -> ConvNeXt:
    return ConvNeXt([3, 3, 9, 3], [96, 192, 384, 768], classes)


def convnext_narrow(classes: int = 10) -> ConvNeXt:
    return ConvNeXt([1, 1, 2, 1], [8, 16, 24, 32], classes)


class EncoderBlock(nn.Module):
    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width, eps=1e-6)
        self.self_attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ln_2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.Sequential(
            nn.Linear(width, hidden),
            nn.GELU(),
            nn.Dropout(0.0),
            nn.Linear(hidden, width),
            nn.Dropout(0.0),
        )
        self.attention: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.ln_1(x)
        # Kept for comparison: (N, heads, tokens, tokens).
        y, self.attention = self.self_attention(y, y, y, average_attn_weights=False)
        x = x + y
        return x + self.mlp(self.ln_2(x))


class Encoder(nn.Module):
    def __init__(self, tokens: int, width: int, depth: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.pos_embedding = nn.Parameter(torch.zeros(1, tokens, width))
        self.layers = nn.Sequential()
        for index in range(depth):
            block = EncoderBlock(width, heads, hidden)
            self.layers.add_module(f"encoder_layer_{index}", block)
        self.ln = nn.LayerNorm(width, eps=1e-6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.ln(self.layers(x + self.pos_embedding))


class ViT(nn.Module):
    def __init__(
        self, image: int, patch: int, width: int, depth: int, heads: int, hidden: int, classes: int
    ) -> None:
        super().__init__()
        self.conv_proj = nn.Conv2d(3, width, patch, patch)
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.encoder = Encoder((image // patch) ** 2 + 1, width, depth, heads, hidden)
        self.heads = nn.Sequential()
        self.heads.add_module("head", nn.Linear(width, classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.conv_proj(x).flatten(2).transpose(1, 2)
        first = self.class_token.expand(len(x), -1, -1)
        return self.heads(self.encoder(torch.cat([first, tokens], dim=1))[:, 0])


def vit_b16(classes: int = 1000) -> ViT:
    return ViT(224, 16, 768, 12, 12, 3072, classes)


def vit_narrow(classes: int = 10) -> ViT:
    return ViT(32, 8, 24, 2, 3, 40, classes)


def carry(
    parameters: Mapping[str, np.ndarray], names: Mapping[str, str]
) -> dict[str, torch.Tensor]:
    """Flax's parameters under PyTorch's names and in its layouts.

    Args:
      parameters: by dotted name, such as ``conv1.kernel``.
      names: our module (or bare parameter) to the source's prefix, as ``published()`` gives it.
    """
    leaves = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}
    state = {}
    for dotted, array in parameters.items():
        module, _, leaf = dotted.rpartition(".")
        if dotted in names:
            name = names[dotted]
        else:
            joint = "" if names[module].endswith("_") else "."
            name = f"{names[module]}{joint}{leaves.get(leaf, leaf)}"
        if leaf == "kernel":
            array = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T
        if name.endswith("layer_scale"):
            array = array[:, None, None]
        state[name] = torch.from_numpy(np.array(array))
    return state


def fill(
    network: nn.Module, parameters: Mapping[str, np.ndarray], names: Mapping[str, str]
) -> nn.Module:
    """The network with these weights (see ``carry``), in evaluation mode.

    Raises:
      RuntimeError: if a tensor is missing, left over or mis-shaped.
    """
    state = carry(parameters, names)
    state |= {k: v for k, v in network.state_dict().items() if k.endswith("num_batches_tracked")}
    network.load_state_dict(state, strict=True)
    return network.eval()


_TIMM_CONVNEXT = (
    (r"^features\.0\.", "stem."),
    (r"^features\.([246])\.", lambda m: f"stages.{int(m[1]) // 2}.downsample."),
    (r"^features\.([1357])\.", lambda m: f"stages.{int(m[1]) // 2}.blocks."),
    (r"\.block\.0\.", ".conv_dw."),
    (r"\.block\.2\.", ".norm."),
    (r"\.block\.3\.", ".mlp.fc1."),
    (r"\.block\.5\.", ".mlp.fc2."),
    (r"\.layer_scale$", ".gamma"),
    (r"^classifier\.0\.", "head.norm."),
    (r"^classifier\.2\.", "head.fc."),
)
_TIMM_VIT = (
    (r"^conv_proj\.", "patch_embed.proj."),
    (r"^class_token$", "cls_token"),
    (r"^encoder\.pos_embedding$", "pos_embed"),
    (r"^encoder\.layers\.encoder_layer_", "blocks."),
    (r"^encoder\.ln\.", "norm."),
    (r"\.ln_([12])\.", r".norm\1."),
    (r"\.self_attention\.in_proj_", ".attn.qkv."),
    (r"\.self_attention\.out_proj\.", ".attn.proj."),
    (r"\.mlp\.0\.", ".mlp.fc1."),
    (r"\.mlp\.3\.", ".mlp.fc2."),
    (r"^heads\.head\.", "head."),
)


def timm_state(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A state dict as timm names it (ResNet's names are the same in both)."""
    rules = ()
    if "class_token" in state:
        rules = _TIMM_VIT
    elif "classifier.2.weight" in state:
        rules = _TIMM_CONVNEXT
    renamed = {}
    for name, tensor in state.items():
        for pattern, by in rules:
            name = re.sub(pattern, by, name)
        renamed[name] = tensor.flatten() if name.endswith(".gamma") else tensor
    return renamed
