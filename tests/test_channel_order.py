"""Weights of a framework that takes BGR, on an RGB input, are not let pass without a word."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

NETS = """
from flax import nnx


class Net(nnx.Module):
    def __init__(self, *, rngs: nnx.Rngs):
        self.conv = nnx.Conv(3, 2, (3, 3), rngs=rngs)

    def __call__(self, x):
        return self.conv(x).mean((1, 2))

    def published(self):
        return {"torchvision": {"conv": "features.0"}, "keras": {"conv": "block1"}}
"""
CHOSEN = (
    "model=custom",
    "model.factory=bgr_net:Net",
    "model.input={height: 8, width: 8}",
    "data=none",
)


@pytest.mark.parametrize(
    ("preprocessing", "warned"), [("torchvision", False), ("unit", False), ("keras_caffe", True)]
)
def test_a_torchvision_file(
    preprocessing: str,
    warned: bool,
    composed: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from reportgen import cards
    from reportgen.config import read
    from reportgen.data.load import load_images
    from reportgen.models.load import load_model, open_network

    (tmp_path / "bgr_net.py").write_text(NETS)
    monkeypatch.syspath_prepend(tmp_path)
    tensors = {
        "features.0.weight": np.ones((2, 3, 3, 3), "f4"),
        "features.0.bias": np.ones(2, "f4"),
    }
    save_file(tensors, tmp_path / "w.safetensors")
    file = f"weights.path={tmp_path / 'w.safetensors'}"
    config = read(composed(*CHOSEN, f"preprocessing={preprocessing}", file))
    network = open_network(config)
    images = load_images(config.data, network.spec, network.classes, config.seed)
    found = cards.findings(config, network, *load_model(network, config), images)
    said = "The weights have names of torchvision, whose networks take RGB; the input is BGR."
    assert [finding.message for finding in found] == ([said] if warned else [])
