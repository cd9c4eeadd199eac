"""The layer of class activation methods: its default, its grid, its gradient, and enlarging."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reportgen.compose import options
from reportgen.core.errors import ModelError, NotApplicableError, UserError
from reportgen.methods.class_activation import (
    Grid,
    capture,
    checked_layer,
    default_layer,
    enlarge,
    grid_of,
    placed,
    token_grid,
)
from reportgen.models.base import LayerInfo
from tests.drawn import drawn

# What pytorch-grad-cam advises, except that maps are taken before the last pool, where they are
# finer, as in Grad-CAM's paper.
DEFAULTS = {
    "alexnet": "conv5",
    "caffenet": "conv5",
    "convnext_tiny": "stages.3",
    "digits_cnn": "relu2",
    "googlenet": "inception_5b",
    "googlenet_bn": "inception5b",
    "lenet": "conv2",
    **{f"resnet{depth}": "layer4.2" for depth in (34, 50, 101, 152)},
    **{f"resnet{depth}_keras": "layer4.2" for depth in (50, 101, 152)},
    "resnet50_caffe": "layer4.2",
    "resnet18": "layer4.1",
    "squeezenet1_0": "fire9",
    "squeezenet1_1": "fire9",
    "vgg16": "block5_conv3",
    "vgg19": "block5_conv4",
}


# Each has a sibling of the same blocks, which is looked at in every run.
SIBLINGS = {
    *("googlenet_bn", "squeezenet1_1", "vgg19", "resnet34", "resnet50_caffe"),
    *(f"resnet{depth}{peer}" for depth in (101, 152) for peer in ("", "_keras")),
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name in SIBLINGS else ())
        for name in options("model")
        if name not in ("custom", "vit_b16")
    ],
)
def test_the_default_layer(name: str, shaped: Callable[..., Any]) -> None:
    # The deepest differ from the one of 50 in how often a stage's block is repeated.
    depth = ["model.kwargs.depth=50"] if "101" in name or "152" in name else []
    assert default_layer(shaped(f"model={name}", *depth)) == DEFAULTS[name]


def test_the_default_layer_of_a_transformer_is_found_by_running_it(vit: Any) -> None:
    """Which layers move the score is not to be seen from their shapes."""
    assert default_layer(vit) == "blocks.1.norm1"


def test_every_network_has_a_default_layer_here() -> None:
    assert {*DEFAULTS, "custom", "vit_b16"} == set(options("model"))


SMALL_VIT = (
    *("model.kwargs.width=24", "model.kwargs.depth=2", "model.kwargs.heads=2"),
    *("model.kwargs.hidden=32", "+model.kwargs.classes=5"),
)


@pytest.fixture(scope="module")
def vit(shaped: Callable[..., Any]) -> Any:
    """A narrow vision transformer: 14 × 14 patches and a class token."""
    model = shaped("model=vit_b16", *SMALL_VIT)
    return model.with_parameters(drawn(model.parameters))


def test_class_maps_are_taken_on_demand(shaped: Callable[..., Any]) -> None:
    assert default_layer(shaped("model=squeezenet1_0"), class_maps=True) == "conv10"


@pytest.mark.parametrize(
    ("tokens", "size", "grid"),
    [
        (197, (224, 224), Grid(14, 14, 1)),
        (198, (224, 224), Grid(14, 14, 2)),  # DeiT: class and distillation
        (196, (224, 224), Grid(14, 14, 0)),
        (261, (224, 224), Grid(16, 16, 5)),  # DINOv2: class and four registers
        (50, (224, 224), Grid(7, 7, 1)),
        (1 + 8 * 14, (128, 224), Grid(8, 14, 1)),
        (1 + 14 * 8, (224, 128), Grid(14, 8, 1)),
        (190, (224, 224), None),
        (3, (224, 224), None),
    ],
)
def test_tokens_come_from_a_grid(tokens: int, size: tuple[int, int], grid: Grid | None) -> None:
    assert token_grid(tokens, *size) == grid


@pytest.mark.parametrize(
    ("kind", "shape", "has"),
    [
        ("conv", (7, 7, 512), True),
        ("conv", (1, 7, 8), True),
        ("pool", (1, 1, 512), False),
        ("dense", (7, 7, 512), True),  # pointwise, in ConvNeXt
        ("dense", (197, 12, 64), False),  # queries by head
        ("dense", (197, 768), True),
        ("attention", (12, 197, 197), False),
        ("dense", (512,), False),
    ],
)
def test_what_has_spatial_extent(kind: str, shape: tuple[int, ...], has: bool) -> None:
    layer = LayerInfo(path="a", kind=kind, shape=shape, parameters=(), flops=0)
    assert (grid_of(layer, 224, 224) is not None) == has


def test_a_token_lights_its_cell() -> None:
    activation = np.zeros((1, 197, 3), np.float32)
    activation[0, 1 + 5 * 14 + 9, 2] = 4
    maps = placed(jnp.asarray(activation), 224, 224)
    assert maps.shape == (1, 14, 14, 3)
    assert np.argwhere(np.asarray(maps)).tolist() == [[0, 5, 9, 2]]
    (enlarged,) = enlarge(maps[..., 2], 224, 224, "nearest")
    lit = np.argwhere(np.asarray(enlarged) > 0)
    assert lit.min(axis=0).tolist() == [5 * 16, 9 * 16]
    assert lit.max(axis=0).tolist() == [6 * 16 - 1, 10 * 16 - 1]


def test_a_patch_of_the_image_lights_its_cell(vit: Any) -> None:
    """From pixels to cell: what changes in patch (3, 11) changes that token of the embedding."""
    x = np.zeros((1, 224, 224, 3), np.float32)
    x[0, 3 * 16 : 4 * 16, 11 * 16 : 12 * 16] = 1
    maps = jax.jit(lambda m, x: placed(m.activation("blocks.0.norm1", x), 224, 224))
    found, blank = np.asarray(maps(vit, np.concatenate([x, 0 * x])))
    changed = np.abs(found - blank).sum(axis=-1) > 1e-6
    assert np.argwhere(changed).tolist() == [[3, 11]]


def test_the_gradient_against_differences(lenet: Any) -> None:
    rng = np.random.default_rng(1)
    # Noise, since a flat background ties in the pools, where no gradient exists to compare with.
    x, targets = rng.uniform(0, 1, (3, 28, 28, 1)).astype(np.float32), np.array([4, 0, 7])
    paths = ("conv1", "conv2", "pool2")

    @jax.jit
    def seen(model: Any, x: jax.Array) -> Any:
        return [capture(model, path, x, jnp.asarray(targets)) for path in paths], model.apply(x)[1]

    @jax.jit
    def moved(model: Any, x: jax.Array, steps: dict[str, jax.Array]) -> Any:
        return {path: model.apply(x, {path: step})[0] for path, step in steps.items()}

    captured, activations = seen(lenet, x)
    gradients = {path: np.asarray(c.gradient) for path, c in zip(paths, captured, strict=True)}
    # Partly uphill, so that rounding is small beside the change.
    steps = {
        path: np.float32(1e-3 * (g / g.std() + rng.normal(size=g.shape)))
        for path, g in gradients.items()
    }
    twice = np.concatenate([x, x])
    scores = moved(lenet, twice, {path: np.concatenate([s, -s]) for path, s in steps.items()})
    for path, (activation, gradient) in zip(paths, captured, strict=True):
        assert activation.shape == gradient.shape == (3, *lenet.layer(path).shape)
        np.testing.assert_allclose(activation, activations[path], rtol=1e-5, atol=1e-5)
        up, down = np.asarray(scores[path]).reshape(2, 3, 10)
        change = ((up - down) / 2)[np.arange(3), targets]
        expected = (gradients[path] * steps[path]).sum(axis=(1, 2, 3))
        np.testing.assert_allclose(expected, change, rtol=0.02, atol=1e-4, err_msg=path)


def test_enlarging_puts_centres_half_a_pixel_inside() -> None:
    (row,) = np.asarray(enlarge(jnp.array([[[0.0, 1.0]]]), 1, 8, "bilinear"))[:, 0]
    # Centres of the two cells lie at pixels 1.5 and 5.5; outside of them the edge goes on.
    np.testing.assert_allclose(row, np.clip((np.arange(8) - 1.5) / 4, 0, 1), atol=1e-6)
    (nearest,) = np.asarray(enlarge(jnp.array([[[0.0, 1.0]]]), 1, 8, "nearest"))[:, 0]
    assert nearest.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_enlarging_by_loops(mode: Any) -> None:
    """By factors that are no whole numbers, and not the same for rows and columns."""
    maps = np.random.default_rng(6).normal(size=(2, 3, 4)).astype(np.float32)
    expected = np.zeros((2, 11, 9))
    for row in range(11):
        for column in range(9):
            y, x = (row + 0.5) * 3 / 11 - 0.5, (column + 0.5) * 4 / 9 - 0.5
            if mode == "nearest":
                expected[:, row, column] = maps[:, round(y), round(x)]
                continue
            y, x = np.clip(y, 0, 2), np.clip(x, 0, 3)
            for i in range(3):
                for j in range(4):
                    share = max(0, 1 - abs(y - i)) * max(0, 1 - abs(x - j))
                    expected[:, row, column] += share * maps[:, i, j]
    np.testing.assert_allclose(enlarge(jnp.asarray(maps), 11, 9, mode), expected, atol=1e-6)


def test_a_wrong_path_is_refused_with_the_nearest(lenet: Any) -> None:
    with pytest.raises(ModelError, match=r"lenet has no layer 'conv3'.\nDid you mean conv"):
        checked_layer(lenet, "conv3", by_gradient=True)


def test_a_layer_without_extent_is_refused_with_those_that_have_it(lenet: Any) -> None:
    with pytest.raises(NotApplicableError, match=r"\(500,\).\nThese have it: conv1, pool1, conv2"):
        checked_layer(lenet, "ip1", by_gradient=True)


def test_tokens_behind_the_last_attention_are_refused_for_gradients(vit: Any) -> None:
    path = "blocks.1.mlp.fc1"
    with pytest.raises(NotApplicableError, match=r"only the class token .*\n.*blocks.1.norm1"):
        checked_layer(vit, path, by_gradient=True)
    assert checked_layer(vit, path, by_gradient=False) == path
    x = np.random.default_rng(0).normal(size=(1, 224, 224, 3)).astype(np.float32)
    behind, before = jax.jit(
        lambda m, x: [
            capture(m, one, x, jnp.array([2])).gradient for one in (path, "blocks.1.norm1")
        ]
    )(vit, x)
    assert not np.asarray(behind).any()
    assert np.asarray(before).all(axis=-1).mean() > 0.9


def test_without_spatial_layers_there_is_no_default(model_of: Callable[..., Any]) -> None:
    from flax import nnx

    from reportgen.core.spec import InputSpec

    class Dense(nnx.Module):
        def __init__(self, rngs: nnx.Rngs) -> None:
            self.out = nnx.Linear(12, 3, rngs=rngs)

        def __call__(self, x: jax.Array) -> jax.Array:
            return self.out(x.reshape(x.shape[0], -1))

    model = model_of(Dense, InputSpec(height=2, width=2, channels=3))
    with pytest.raises(NotApplicableError, match="needs a layer with spatial extent"):
        default_layer(model)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("layer=conv9", "lenet has no layer 'conv9'"),
        ("layer=ip2", r"the output of ip2 is \(10,\)"),
        ("resize=cubic", "method.gradcam.resize: expected 'bilinear' or"),
    ],
)
def test_the_settings_say_so(override: str, words: str, run_method: Any) -> None:
    with pytest.raises(UserError, match=words):
        run_method("gradcam", f"method.gradcam.{override}")


@pytest.fixture(scope="module")
def nearest(run_method: Any) -> Any:
    """Grad-CAM of eight images at conv1, enlarged by the nearest cell."""
    overrides = [f"method.gradcam.{key}" for key in ("count=8", "layer=conv1", "resize=nearest")]
    return run_method("gradcam", *overrides).blocks


def test_the_caption_names_the_layer(run_method: Any, averaged: Any, nearest: Any) -> None:
    (group,) = run_method("gradcam", "method.gradcam.count=1", model=averaged).blocks
    assert "layer conv2: 14 × 14 cells, enlarged bilinearly" in group.blocks[0].caption.detail
    detail = nearest[0].blocks[0].caption.detail
    assert "layer conv1: 24 × 24 cells, enlarged by the nearest" in detail


def test_the_facts_say_when_nothing_is_lit(nearest: Any) -> None:
    """A map that is dark everywhere is told from one that is drawn to a pixel."""
    assert len(nearest) == 8
    for group in nearest:
        (heatmap,) = group.blocks
        share = dict(heatmap.facts)["share of positions above zero"]
        # 24 cells on 28 pixels: some cells fill two.
        kept = np.floor((np.arange(28) + 0.5) * 24 / 28).astype(int)
        cells = np.zeros((24, 24))
        cells[np.ix_(kept, kept)] = heatmap.map
        assert share == pytest.approx((cells > 0).mean(), abs=1e-6)
