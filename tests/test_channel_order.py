"""Weights of a framework that takes BGR, on an RGB input, are not let pass without a word."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

Run = Callable[..., tuple[int, str, str]]
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
    "method=weights",
    "report.dir=out",
)


@pytest.mark.parametrize(
    ("preprocessing", "warned"), [("torchvision", False), ("unit", False), ("keras_caffe", True)]
)
def test_a_torchvision_file(
    preprocessing: str, warned: bool, reportgen: Run, tmp_path: Path
) -> None:
    (tmp_path / "bgr_net.py").write_text(NETS)
    tensors = {
        "features.0.weight": np.ones((2, 3, 3, 3), "f4"),
        "features.0.bias": np.ones(2, "f4"),
    }
    save_file(tensors, tmp_path / "w.safetensors")
    code, _, error = reportgen(
        *CHOSEN, f"preprocessing={preprocessing}", "weights.path=w.safetensors"
    )
    assert code == 0, error
    findings = json.loads((tmp_path / "out" / "results.json").read_text())["findings"]
    messages = [finding["message"] for finding in findings]
    said = "The weights have names of torchvision, whose networks take RGB; the input is BGR."
    assert messages == ([said] if warned else [])
