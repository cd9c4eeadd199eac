"""ViT-B/16 is the published one: size, names, attention, and what PyTorch computes."""

from __future__ import annotations

import numpy as np
import pytest
from flax import nnx

from reportgen.core.errors import ModelError
from reportgen.models.zoo.vit import AttentionWeights, PatchEmbed, ViT
from tests.at_once import at_once
from tests.goldens.zoo_modern import case, torch_outputs
from tests.models.zoo.modern import Ran, assert_close, golden, run, sampled

COUNT = 86_567_656


@pytest.fixture(scope="module")
def ran(request: pytest.FixtureRequest) -> Ran:
    return run(request.param)


def test_published_size() -> None:
    assert case("vit_b16").count() == COUNT


WIDTHS = ["vit_narrow", pytest.param("vit_b16", marks=pytest.mark.slow)]


@pytest.mark.parametrize("ran", WIDTHS, indirect=True)
def test_output_against_what_pytorch_computed(ran: Ran) -> None:
    assert_close(sampled(ran.outputs), golden(ran.case.name))
    weights = next(v for path, v in ran.outputs.items() if path.endswith("attn.weights"))
    np.testing.assert_allclose(weights.sum(axis=-1), 1.0, rtol=1e-5)


@pytest.mark.peer
@pytest.mark.parametrize("ran", WIDTHS, indirect=True)
def test_against_pytorch_under_torchvisions_names(ran: Ran) -> None:
    assert_close(ran.outputs, torch_outputs(ran.case))


def test_timms_names_are_our_own() -> None:
    names = case("vit_b16").published["timm"]
    assert names
    assert names == {path: path for path in names}


@pytest.mark.peer
def test_timms_names_and_shapes_are_those_of_pytorchs_state() -> None:
    from tests.peers.torch_modern import carry, timm_state, vit_narrow

    given = case("vit_narrow")
    state = timm_state(vit_narrow().state_dict())
    ours = carry(given.parameters(), given.published["timm"])
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in state.items()}


def test_attention_is_a_layer_of_heads_by_tokens_by_tokens() -> None:
    layers = {layer.path: layer for layer in case("vit_b16").network.outline.layers}
    named = [layer.path for layer in layers.values() if layer.kind == "attention"]
    assert named == [f"blocks.{i}.attn.weights" for i in range(12)]
    assert layers["blocks.5.attn.weights"].shape == (12, 197, 197)
    assert layers["blocks.5"].shape == layers["blocks.5.attn"].shape == (197, 768)


def test_attention_weights_against_loops() -> None:
    query, key = np.random.default_rng(0).normal(size=(2, 1, 3, 2, 4)).astype(np.float32)
    weights = at_once(AttentionWeights(), query, key)
    for head in range(2):
        for to in range(3):
            scores = [float(query[0, to, head] @ key[0, of, head]) / 2 for of in range(3)]
            expected = np.exp(scores) / np.exp(scores).sum()
            np.testing.assert_allclose(weights[0, head, to], expected, rtol=1e-5)


def test_tokens_fold_back_to_the_picture() -> None:
    """Token ``prefix_tokens + row * columns + column`` sees the patch at that row and column."""
    small = {"image": 12, "patch": 4, "width": 6, "depth": 1, "heads": 2, "hidden": 8, "classes": 5}
    network = nnx.eval_shape(lambda: ViT(**small, rngs=nnx.Rngs(0)))
    rows, columns = network.grid()
    assert (rows, columns, network.prefix_tokens) == (3, 3, 1)
    assert network.pos_embed.get_value().shape == (1, network.prefix_tokens + rows * columns, 6)
    x = np.zeros((2, 12, 12, 3), np.float32)
    x[0, 4:8, 8:12] = 1
    tokens = at_once(lambda x: PatchEmbed(4, 6, rngs=nnx.Rngs(0))(x), x)
    changed = np.abs(tokens[0] - tokens[1]).sum(axis=-1)
    assert list(np.flatnonzero(changed)) == [1 * columns + 2]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.kwargs.patch=15", "image is 224, not a multiple of patch, 15"),
        ("model.kwargs.heads=7", "width is 768, not a multiple of heads, 7"),
    ],
)
def test_sizes_that_do_not_divide_are_refused(override: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        case("vit_b16", override)
