"""Attribution on SqueezeNet beside Captum: ``python -m tests.bench.attribution [--json FILE]``.

Both explain the same images with the same number of steps, samples and windows, in float32 on all
cores. Weights are drawn: what they are makes no difference to the time. PyTorch runs in the memory
layout in which its forward pass is faster here.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import captum.attr as captum
import jax
import numpy as np
import torch
from captum.attr._utils.lrp_rules import EpsilonRule
from torch import nn

from reportgen.chosen import chosen_methods
from reportgen.engine.rows import Engine
from reportgen.methods.attribution import Explain
from reportgen.methods.targets import Scores
from tests.bench.alternating import Measured, head, measure, write
from tests.bench.prepared import composed, network
from tests.peers import torch_classic

STEPS, SAMPLES, WINDOW, STRIDE = 50, 25, 32, 16
TARGET = 1.0
SUITE = 1.5


Jobs = dict[str, Callable[[], object]]

METHODS = {
    "saliency": [],
    "gradient_x_input": [],
    "guided_backprop": [],
    "deconvnet": [],
    "gradcam": ["layer=fire9"],
    "guided_gradcam": ["layer=fire9"],
    "integrated_gradients": [f"steps={STEPS}"],
    "smoothgrad": [f"samples={SAMPLES}"],
    "occlusion": [f"patch={WINDOW}", f"stride={STRIDE}"],
    "lrp": ["rules=epsilon"],
}


def ours(methods: Mapping[str, Sequence[str]], count: int) -> tuple[Jobs, np.ndarray]:
    """Our jobs by method, each with its settings, and the inputs (N, H, W, C)."""
    overrides = [
        *("model=squeezenet1_0", "weights=random", "data=none", f"method=[{','.join(methods)}]"),
        *("model.input.height=227", "model.input.width=227"),
        *(f"method.{name}.{key}" for name, keys in methods.items() for key in keys),
    ]
    config = composed(overrides)
    model = network(config)
    engine = Engine.local(config.engine.batch)
    x = np.random.default_rng(0).normal(size=(count, *model.spec.shape)).astype(np.float32)
    targets = np.zeros(count, np.int32)
    keys = jax.random.split(jax.random.key(0), count)
    jobs: Jobs = {"forward": lambda: engine.whole(Scores(), model, (x,))}
    for name, method in chosen_methods(config, overrides).methods.items():
        program: Any = Explain(method.fitted(model))  # type: ignore[attr-defined]
        jobs[name] = lambda program=program: engine.whole(
            program, model, (x, targets, keys), few=program.method.many_runs
        )
    return jobs, x


def theirs(inputs: np.ndarray) -> Jobs:
    """Captum's jobs by method."""
    module: nn.Module = torch_classic.filled("squeezenet1_0").float().eval()
    x = torch.from_numpy(inputs).permute(0, 3, 1, 2)
    layouts = (torch.contiguous_format, torch.channels_last)

    def forward(layout: torch.memory_format) -> float:
        with torch.no_grad():
            moved, given = module.to(memory_format=layout), x.contiguous(memory_format=layout)
            moved(given)
            began = time.perf_counter()
            moved(given)
            return time.perf_counter() - began

    layout = min(layouts, key=forward)
    module, x = module.to(memory_format=layout), x.contiguous(memory_format=layout)
    layer = module.get_submodule("features.12")

    def plain() -> object:
        with torch.no_grad():
            return module(x)

    def relevance() -> object:
        for part in module.modules():
            if not isinstance(part, nn.ReLU | nn.Dropout) and not list(part.children()):
                part.rule = EpsilonRule(1e-9)  # type: ignore[assignment]
        return captum.LRP(module).attribute(x, target=0)

    def smooth() -> object:
        tunnel = captum.NoiseTunnel(captum.Saliency(module))
        return tunnel.attribute(
            x, nt_type="smoothgrad", nt_samples=SAMPLES, nt_samples_batch_size=1, target=0
        )

    patch, step = (3, WINDOW, WINDOW), (3, STRIDE, STRIDE)
    return {
        "forward": plain,
        "saliency": lambda: captum.Saliency(module).attribute(x, target=0),
        "gradient_x_input": lambda: captum.InputXGradient(module).attribute(x, target=0),
        "guided_backprop": lambda: captum.GuidedBackprop(module).attribute(x, target=0),
        "deconvnet": lambda: captum.Deconvolution(module).attribute(x, target=0),
        "gradcam": lambda: captum.LayerGradCam(module, layer).attribute(x, target=0),
        "guided_gradcam": lambda: captum.GuidedGradCam(module, layer).attribute(x, target=0),
        "integrated_gradients": lambda: captum.IntegratedGradients(module).attribute(
            x, target=0, n_steps=STEPS, internal_batch_size=len(x)
        ),
        "smoothgrad": smooth,
        "occlusion": lambda: captum.Occlusion(module).attribute(x, patch, step, target=0),
        "lrp": relevance,
    }


def main() -> None:
    """Measure, print a table, write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--methods", nargs="*", default=())
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    mine, x = ours(METHODS, arguments.images)
    peers = theirs(x)
    head(f"SqueezeNet 1.0, {arguments.images} images of 227 × 227")
    rows: list[Measured] = [
        measure(
            name, job, peers[name], against="Captum", runs=arguments.runs,
            target=None if name == "forward" else TARGET,
        )
        for name, job in mine.items()
        if not arguments.methods or name in arguments.methods
    ]  # fmt: skip
    peer, here = (
        sum(statistics.median(row.seconds[side]) for row in rows) for side in ("peer", "ours")
    )
    print(f"all: {peer / here:.2f} times as fast, target {SUITE:g}")
    write(arguments.json, rows)


if __name__ == "__main__":
    main()
