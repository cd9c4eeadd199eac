"""Weights files and factories that are wrong are refused by name."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from reportgen.core.errors import ModelError, UserError, WeightsError
from reportgen.embedded import FOLDER

EMBEDDED = FOLDER / "lenet.safetensors"


def test_a_file_gives_the_same_weights_as_the_embedded_ones(
    opened: Callable[..., Any], lenet: Any, tmp_path: Path
) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(EMBEDDED.read_bytes())
    model = opened(f"weights.path={path}")
    for name, value in lenet.parameters.items():
        np.testing.assert_array_equal(model.parameters[name], value)


def _changed(path: Path, **changes: np.ndarray | None) -> Path:
    tensors = load_file(EMBEDDED)
    for name, value in changes.items():
        dotted = name.replace("__", ".")
        tensors.pop(dotted, None)
        if value is not None:
            tensors[dotted] = value
    save_file(tensors, path)
    return path


def test_every_tensor_that_does_not_fit_is_listed(
    opened: Callable[..., Any], tmp_path: Path
) -> None:
    bad = np.zeros((5, 5, 1, 20), np.float16)
    bad[0, 0, 0, :3] = np.nan
    path = _changed(
        tmp_path / "w.safetensors",
        conv1__kernel=bad,
        conv2__bias=np.zeros(49, np.float16),
        ip1__kernel=None,
        ip1__kernl=np.zeros((800, 500), np.float16),
    )
    with pytest.raises(WeightsError) as caught:
        opened(f"weights.path={path}")
    text = str(caught.value)
    assert "not finite: conv1.kernel has 3 NaN or infinite of 500" in text
    assert "shape: conv2.bias is (49,), the network has (50,)" in text
    assert "missing: ip1.kernel (800, 500) (ip1.kernl?)" in text
    assert "left over: ip1.kernl (800, 500)" in text


@pytest.mark.parametrize("size", [0, 12, 2000, EMBEDDED.stat().st_size - 1])
def test_a_truncated_file_is_named(size: int, opened: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "cut.safetensors"
    path.write_bytes(EMBEDDED.read_bytes()[:size])
    with pytest.raises(WeightsError, match=r"cut\.safetensors \([\d,]+ bytes\) is not a whole"):
        opened(f"weights.path={path}")


def test_a_missing_file_names_its_neighbour(opened: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "lenet.safetensors").write_bytes(EMBEDDED.read_bytes())
    with pytest.raises(WeightsError, match=r"no weights file .*lent[\s\S]*Did you mean .*lenet"):
        opened(f"weights.path={tmp_path / 'lent.safetensors'}")
    for name in ("notes.txt", "photo.png", "ckpt"):
        (tmp_path / name).touch()
    with pytest.raises(WeightsError) as caught:
        opened(f"weights.path={tmp_path / 'zzz'}")
    assert caught.value.hint == f"There are: {tmp_path}/lenet.safetensors."


SMALL = """
from flax import nnx

class Net(nnx.Module):
    def __init__(self, *, rngs):
        self.dense = nnx.Linear(1, 5, rngs=rngs)

    def __call__(self, x):
        return self.dense(x.mean((1, 2)))
"""


def test_random_weights_follow_the_seed(
    opened: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "small_net.py").write_text(SMALL, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "small_net", raising=False)

    def kernel(seed: int) -> np.ndarray:
        model = opened(
            *("model.factory=small_net:Net", "model.classes=[]"), "weights=random", f"seed={seed}"
        )
        return np.asarray(model.parameters["dense.kernel"])

    first = kernel(1)
    np.testing.assert_array_equal(kernel(1), first)
    assert not np.allclose(kernel(2), first)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.factory=nowhere.at:all"], "cannot be imported: No module named 'nowhere'"),
        (["model.factory=reportgen.models.zoo.lenet:Lenet"], r"Did you mean LeNet"),
        (["model.factory=reportgen"], r"Write it as package\.module:name"),
        (["+model.kwargs.width=3"], r"takes no argument 'width': LeNet\([\s\S]*Known: classes\."),
        (["model.input.height=40"], r"does not run on an input of \(40, 28, 1\)"),
        (["model.classes=[a,b]"], "2 names for 10 outputs"),
        (["weights=random", "weights.path=x"], r"Both weights=random and weights\.path"),
        (["model.embedded=''"], "comes without weights"),
        (["model.embedded=lent.safetensors"], r"no file of weights .*\nDid you mean lenet"),
        (["model.embedded=../x"], r"no file of weights that comes .*\nKnown: .* weights.path=FILE"),
    ],
)
def test_a_model_that_cannot_be_built_says_why(
    overrides: list[str], message: str, opened: Callable[..., Any]
) -> None:
    with pytest.raises(UserError, match=message):
        opened(*overrides)


def test_a_model_error_is_a_user_error() -> None:
    assert issubclass(ModelError, UserError)
    assert ModelError("m").exit_code == 2
