"""A transposed convolution's weights out of a PyTorch file, against PyTorch's own output."""

from __future__ import annotations

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import save_file

from reportgen.models.weights.load import Naming, place_file
from tests.models.weights.sample import shapes_of


@pytest.mark.peer
@pytest.mark.parametrize(
    ("into", "transpose_kernel"),
    # Square and with transpose_kernel the shape does not tell: layouts.py says what is taken.
    [(2, False), (5, False), (5, True)],
)
def test_upsampling_gives_what_pytorch_gives(
    into: int, transpose_kernel: bool, tmp_path: Path
) -> None:
    import torch

    torch.manual_seed(0)
    peer = torch.nn.ConvTranspose2d(2, into, 3, stride=2)
    tensors = {f"up.{name}": value.numpy() for name, value in peer.state_dict().items()}
    save_file(tensors, tmp_path / "w.safetensors")
    up = nnx.ConvTranspose(
        2,
        into,
        (3, 3),
        strides=2,
        padding="VALID",
        transpose_kernel=transpose_kernel,
        rngs=nnx.Rngs(0),
    )
    shapes = shapes_of({"up.kernel": up.kernel[...], "up.bias": up.bias[...]})
    naming = Naming({}, {}, (), {"up": into})
    placed = place_file(tmp_path / "w.safetensors", shapes, naming, strict=True).parameters
    up.kernel[...], up.bias[...] = placed["up.kernel"], placed["up.bias"]
    x = np.random.default_rng(0).normal(size=(2, 4, 5, 2)).astype("f4")
    with torch.no_grad():
        expected = peer(torch.from_numpy(x.transpose(0, 3, 1, 2))).numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(up(jnp.asarray(x)), expected, rtol=1e-5, atol=1e-5)
