"""ConvNeXt-T is the published one: size, names, and what PyTorch computes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from reportgen.core.errors import ModelError
from reportgen.models.zoo.mlp import Gelu
from tests.goldens.zoo_modern import case, torch_outputs
from tests.models.zoo.modern import Ran, assert_close, golden, run, sampled

COUNT = 28_589_128


@pytest.fixture(scope="module")
def ran(request: pytest.FixtureRequest) -> Ran:
    return run(request.param)


def test_published_size() -> None:
    assert case("convnext_tiny").count() == COUNT


WIDTHS = ["convnext_narrow", pytest.param("convnext_tiny", marks=pytest.mark.slow)]


@pytest.mark.parametrize("ran", WIDTHS, indirect=True)
def test_output_against_what_pytorch_computed(ran: Ran) -> None:
    assert_close(sampled(ran.outputs), golden(ran.case.name))


@pytest.mark.peer
@pytest.mark.parametrize("ran", WIDTHS, indirect=True)
def test_against_pytorch_under_torchvisions_names(ran: Ran) -> None:
    assert_close(ran.outputs, torch_outputs(ran.case))


def test_timms_names_are_our_own() -> None:
    names = case("convnext_tiny").published["timm"]
    assert names
    assert names == {path: path for path in names}


@pytest.mark.peer
def test_timms_names_and_shapes_are_those_of_pytorchs_state() -> None:
    from tests.peers.torch_modern import carry, convnext_narrow, timm_state

    given = case("convnext_narrow")
    state = timm_state(convnext_narrow().state_dict())
    ours = carry(given.parameters(), given.published["timm"])
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in state.items()}


def test_gelu_is_exact() -> None:
    """JAX's default, by tanh, is up to 5e-4 off."""
    x = np.linspace(-4, 4, 33, dtype=np.float32)
    expected = [v * (1 + math.erf(v / math.sqrt(2))) / 2 for v in x]
    np.testing.assert_allclose(Gelu()(x), expected, atol=1e-6)


def test_layers_have_names_down_to_the_activation() -> None:
    layers = {la.path: la for la in case("convnext_tiny").network.outline.layers}
    block = [path for path in layers if path.startswith("stages.1.blocks.2")]
    parts = [".conv_dw", ".norm", ".mlp.fc1", ".mlp.act", ".mlp.fc2", ".mlp", ""]
    assert block == [f"stages.1.blocks.2{part}" for part in parts]
    assert layers["stages.1.blocks.2"].parameters == (("gamma", (192,)),)
    assert layers["stages.1.blocks.2.mlp.act"].kind == "activation"
    assert {path: layers[path].shape for path in ("stem.1", "stages.2", "head.global_pool")} == {
        "stem.1": (56, 56, 96),
        "stages.2": (14, 14, 384),
        "head.global_pool": (768,),
    }


def test_the_head_takes_any_number_of_classes() -> None:
    given = case("convnext_tiny", "+model.kwargs.classes=7")
    assert given.network.outline.outputs == 7
    assert given.count() == COUNT - 993 * (768 + 1)


def test_depths_and_widths_that_do_not_fit_are_refused() -> None:
    for override in ("model.kwargs.depths=[3,3,9]", "model.kwargs.widths=[96,96,192,384]"):
        with pytest.raises(ModelError, match="one of each a stage, the widths increasing"):
            case("convnext_tiny", override)
