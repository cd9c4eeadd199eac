"""Makes lrp.npz: relevance by Zennit, for a test of ``lrp``.

Run it where torch and zennit are installed: ``python tests/goldens/lrp.py``. It was made with
PyTorch 2.13.0 and Zennit 0.5.1, in float64. Batch norms are merged into the convolutions before
them, activation functions pass relevance on, and sums and average pools share it out in
proportion.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn
from zennit.canonizers import SequentialMergeBatchNorm
from zennit.composites import LayerMapComposite, NameMapComposite
from zennit.layer import Sum
from zennit.rules import AlphaBeta, Epsilon, Gamma, Norm, Pass, ZPlus
from zennit.types import Activation, AvgPool, Linear

RULES = {
    "epsilon": Epsilon(1e-6),
    "gamma": Gamma(0.25, 1e-6),
    "z_plus": ZPlus(1e-6),
    "alpha_beta": AlphaBeta(2.0, 1.0, 1e-6),
}
# By depth: what ``rules: [z_plus, gamma, epsilon]`` makes of five products.
COMPOSITE = ["z_plus", "z_plus", "gamma", "gamma", "epsilon"]
PRODUCTS = ["conv1", "conv2", "conv3", "dense1", "dense2"]


class Network(nn.Module):
    """Convolutions with batch norms, a skip connection, both poolings, two dense layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.act1 = nn.SiLU()
        self.pool1 = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(8)
        self.sum = Sum()
        self.act2 = nn.ReLU()
        self.conv3 = nn.Conv2d(8, 10, 3, stride=2, groups=2)
        self.act3 = nn.ReLU()
        self.pool3 = nn.AvgPool2d(2)
        self.dense1 = nn.Linear(10, 12)
        self.act4 = nn.ReLU()
        self.dense2 = nn.Linear(12, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool1(self.act1(self.bn1(self.conv1(x))))
        x = self.act2(self.sum(torch.stack([x, self.bn2(self.conv2(x))], dim=-1)))
        x = self.pool3(self.act3(self.conv3(x)))
        return self.dense2(self.act4(self.dense1(x.flatten(1))))


def main() -> None:
    rng = np.random.default_rng(11)
    network = Network().double().eval()
    arrays: dict[str, np.ndarray] = {}
    for name, values in network.state_dict().items():
        leaf = name.rpartition(".")[2]
        if leaf == "num_batches_tracked":
            continue
        fan = values.numel() // len(values)
        drawn = rng.normal(0, np.sqrt(2 / fan) if values.ndim > 1 else 0.5, values.shape)
        if leaf == "running_var":
            drawn = drawn**2 + 0.5
        drawn = drawn.astype("float32")
        values.copy_(torch.from_numpy(drawn))
        if drawn.ndim == 4:
            drawn = drawn.transpose(2, 3, 1, 0)
        arrays[name] = drawn.T if drawn.ndim == 2 else drawn
    x = rng.normal(0, 1, (2, 10, 10, 3)).astype("float32")
    arrays["x"] = x
    targets = torch.tensor([1, 3])
    shared = [(Activation, Pass()), (Sum, Norm()), (AvgPool, Norm())]
    canonizers = [SequentialMergeBatchNorm()]
    composites = {
        name: LayerMapComposite([*shared, (Linear, rule)], canonizers=canonizers)
        for name, rule in RULES.items()
    }
    by_name = [([name], RULES[rule]) for name, rule in zip(PRODUCTS, COMPOSITE, strict=True)]
    others = [
        ([name], rule)
        for name, module in network.named_children()
        for kind, rule in shared
        if isinstance(module, kind)
    ]
    composites["composite"] = NameMapComposite([*by_name, *others], canonizers=canonizers)
    for name, composite in composites.items():
        pixels = torch.from_numpy(x).double().permute(0, 3, 1, 2).requires_grad_()
        with composite.context(network) as hooked:
            scores = hooked(pixels)
            chosen = nn.functional.one_hot(targets, 4) * scores.detach()
            (relevance,) = torch.autograd.grad(scores, pixels, chosen)
        arrays[f"relevance.{name}"] = relevance.permute(0, 2, 3, 1).numpy().astype("float32")
        print(name, scores[[0, 1], targets].tolist(), relevance.sum((1, 2, 3)).tolist())
    np.savez_compressed(Path(__file__).with_suffix(".npz"), **arrays)


if __name__ == "__main__":
    main()
