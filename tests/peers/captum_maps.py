"""What Captum computes on PyTorch's twins of our networks, in float64."""

from __future__ import annotations

import warnings
from typing import Any
from unittest.mock import patch

import captum.attr as captum
import numpy as np
import torch
from captum.attr._utils.lrp_rules import EpsilonRule
from captum.metrics import infidelity
from torch import nn

from tests.peers import torch_classic
from tests.peers.attribution import (
    EPSILON,
    FILL,
    LAYERS,
    OCCLUSIONS,
    RULES,
    SAMPLES,
    STEPS,
    TARGETS,
    perturbations,
)
from tests.peers.classic import drawn


class Small(nn.Module):
    """The twin of ``attribution.Small``."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1, self.relu1 = (
            nn.Conv2d(3, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
        )
        self.conv2, self.bn2, self.relu2 = nn.Conv2d(8, 12, 3), nn.BatchNorm2d(12), nn.ReLU()
        self.pool1, self.pool2 = nn.MaxPool2d(2), nn.MaxPool2d(2)
        self.fc1, self.relu3, self.fc2 = nn.Linear(12 * 5 * 6, 16), nn.ReLU(), nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool1(self.relu1(self.bn1(self.conv1(x))))
        x = self.pool2(self.relu2(self.bn2(self.conv2(x))))
        return self.fc2(self.relu3(self.fc1(x.flatten(1))))


def twin(name: str) -> nn.Module:
    """A network with the weights that are drawn for its names."""
    if name != "small":
        return torch_classic.filled(name).double()
    network = Small()
    for tensor, values in network.state_dict().items():
        if not tensor.endswith("num_batches_tracked"):
            values.copy_(torch.from_numpy(drawn(tensor, tuple(values.shape))))
    return network.eval().double()


def maps(name: str, x: Any, start: Any, noise: Any) -> dict[str, np.ndarray]:
    """Attributions (1, H, W, C) by method, signed and channel by channel.

    Args:
      x: input (1, H, W, C).
      start: baseline for integrated gradients.
      noise: (SAMPLES, 1, H, W, C), taken in place of what Captum would draw.
    """
    network, target = twin(name), TARGETS[name]
    x, start = _channels_first(x).requires_grad_(), _channels_first(start)
    copies = (x + _channels_first(noise[:, 0])).detach().requires_grad_()
    plain = captum.Saliency(network)
    made = {
        "saliency": plain.attribute(x, target=target, abs=False),
        "gradient_x_input": captum.InputXGradient(network).attribute(x, target=target),
    }
    with (
        warnings.catch_warnings(),
        patch.object(captum.NoiseTunnel, "_add_noise_to_input", lambda *_: copies),
    ):
        warnings.simplefilter("ignore")  # that it sets hooks
        made["guided_backprop"] = captum.GuidedBackprop(network).attribute(x, target=target)
        made["deconvnet"] = captum.Deconvolution(network).attribute(x, target=target)
        tunnel = captum.NoiseTunnel(plain)
        for ours, theirs in (
            ("plain", "smoothgrad"),
            ("squared", "smoothgrad_sq"),
            ("vargrad", "vargrad"),
        ):
            made[ours] = tunnel.attribute(
                x, nt_type=theirs, nt_samples=SAMPLES, target=target, abs=False
            )
    integrated = captum.IntegratedGradients(network)
    for rule in RULES[name]:
        method = rule.replace("gauss_legendre", "gausslegendre")
        made[rule] = integrated.attribute(x, start, target=target, n_steps=STEPS, method=method)
    layer = network.get_submodule(LAYERS[name][1])
    grad_cam = captum.LayerGradCam(network, layer)
    made["gradcam"] = grad_cam.attribute(x, target=target, relu_attributions=True)
    fill = torch.from_numpy(FILL)[:, None, None].expand_as(x)
    for kind, (patch_side, stride) in OCCLUSIONS[name].items():
        made[kind] = captum.Occlusion(network).attribute(
            x, (3, patch_side, patch_side), (3, stride, stride), fill, target,
            perturbations_per_eval=8,
        )  # fmt: skip
    made["lrp_epsilon"] = _relevance(network, x, target)
    return {key: value.detach().permute(0, 2, 3, 1).numpy() for key, value in made.items()}


def _relevance(network: nn.Module, x: torch.Tensor, target: int) -> torch.Tensor:
    for module in network.modules():
        passes = isinstance(module, nn.ReLU | nn.Dropout)
        if not passes and not list(module.children()):
            module.rule = EpsilonRule(EPSILON)
    return captum.LRP(network).attribute(x, target=target)


def infidelities(name: str, x: Any) -> np.ndarray:
    """(2, 2): of squares and of gaussian parts; as it is, and normalised.

    Args:
      x: input (1, H, W, C).
    """
    network, pixels = twin(name), _channels_first(x)
    heat, kinds = (torch.as_tensor(np.array(v), dtype=torch.float64) for v in perturbations(name))
    # A pixel's value stands for all of its channels.
    shares = (heat / 3).expand_as(pixels)

    def of(parts: torch.Tensor, normalize: bool) -> float:
        def perturb(given: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            part = parts[:, None].expand_as(given)
            return part, given - part * given

        return infidelity(
            network, perturb, pixels, shares, target=TARGETS[name],
            n_perturb_samples=len(parts), normalize=normalize,
        ).item()  # fmt: skip

    return np.array([[of(parts, normalize) for normalize in (False, True)] for parts in kinds])


def _channels_first(values: Any) -> torch.Tensor:
    return torch.as_tensor(np.array(values), dtype=torch.float64).permute(0, 3, 1, 2).contiguous()
