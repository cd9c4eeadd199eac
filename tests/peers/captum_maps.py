"""What Captum computes on PyTorch's twins of our networks, in float64."""

from __future__ import annotations

import warnings
from typing import Any
from unittest.mock import patch

import captum.attr as captum
import numpy as np
import torch
from torch import nn

from tests.peers import torch_classic
from tests.peers.attribution import RULES, SAMPLES, STEPS, TARGETS
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
    return {key: value.detach().permute(0, 2, 3, 1).numpy() for key, value in made.items()}


def _channels_first(values: Any) -> torch.Tensor:
    return torch.as_tensor(np.array(values), dtype=torch.float64).permute(0, 3, 1, 2).contiguous()
