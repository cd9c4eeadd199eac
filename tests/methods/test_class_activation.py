"""The layer of class activation methods: its default, its grid, its gradient, and enlarging."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reportgen.compose import options
from reportgen.core.errors import ModelError, NotApplicableError
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
    "vit_b16": "blocks.11.norm1",
}


@pytest.mark.parametrize("name", [name for name in options("model") if name != "custom"])
def test_the_default_layer(name: str, opened: Callable[..., Any]) -> None:
    if name == "vit_b16":  # which layers move the score is found by running it
        model = opened("model=vit_b16", "weights=random", *SMALL_VIT)
        assert default_layer(model) == "blocks.1.norm1"
        return
    # The deepest differ from the one of 50 in how often a stage's block is repeated.
    depth = ["model.kwargs.depth=50"] if "101" in name or "152" in name else []
    model = jax.eval_shape(lambda: opened(f"model={name}", "weights=random", *depth))
    assert default_layer(model) == DEFAULTS[name]


SMALL_VIT = (
    *("model.kwargs.width=24", "model.kwargs.depth=2", "model.kwargs.heads=2"),
    *("model.kwargs.hidden=32", "+model.kwargs.classes=5"),
)


@pytest.fixture(scope="module")
def vit(opened: Callable[..., Any]) -> Any:
    """A narrow vision transformer: 14 × 14 patches and a class token."""
    return opened("model=vit_b16", "weights=random", *SMALL_VIT)


def test_class_maps_are_taken_on_demand(opened: Callable[..., Any]) -> None:
    model = jax.eval_shape(lambda: opened("model=squeezenet1_0", "weights=random"))
    assert default_layer(model, class_maps=True) == "conv10"


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
    found, blank = (
        placed(vit.activation("blocks.0.norm1", jnp.asarray(v)), 224, 224) for v in (x, 0 * x)
    )
    changed = np.abs(np.asarray(found - blank)).sum(axis=-1) > 1e-6
    assert np.argwhere(changed).tolist() == [[0, 3, 11]]


@pytest.mark.parametrize("path", ["conv1", "conv2", "pool2"])
def test_the_gradient_against_differences(path: str, lenet: Any) -> None:
    # Noise, since a flat background ties in the pools, where no gradient exists to compare with.
    x = jax.random.uniform(jax.random.key(1), (3, 28, 28, 1))
    targets = jnp.array([4, 0, 7])
    activation, gradient = jax.jit(capture, static_argnums=1)(lenet, path, x, targets)
    shape = (3, *lenet.layer(path).shape)
    assert activation.shape == gradient.shape == shape
    np.testing.assert_allclose(activation, lenet.apply(x)[1][path], rtol=1e-5, atol=1e-5)
    step = 1e-3 * np.random.default_rng(0).normal(size=shape)
    up, down = (
        lenet.apply(x, {path: jnp.asarray(sign * step, jnp.float32)})[0] for sign in (1, -1)
    )
    change = np.asarray((up - down) / 2)[np.arange(3), np.asarray(targets)]
    expected = (np.asarray(gradient) * step).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(expected, change, rtol=0.02, atol=1e-4)


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
    for path in ("norm", "blocks.1.mlp.fc1"):
        with pytest.raises(NotApplicableError, match=r"only the class token .*\n.*blocks.1.norm1"):
            checked_layer(vit, path, by_gradient=True)
        assert checked_layer(vit, path, by_gradient=False) == path
    x = jax.random.normal(jax.random.key(0), (1, 224, 224, 3))
    _, behind = capture(vit, "norm", x, jnp.array([2]))
    _, before = capture(vit, "blocks.1.norm1", x, jnp.array([2]))
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
    ("overrides", "words"),
    [
        (["method.gradcam.layer=conv9"], "lenet has no layer 'conv9'"),
        (["method.gradcam.layer=ip2"], "the output of ip2 is (10,)"),
        (["method.gradcam.resize=cubic"], "method.gradcam.resize: expected 'bilinear' or"),
    ],
)
def test_the_command_line_says_so(
    overrides: list[str], words: str, reportgen: Callable[..., tuple[int, str, str]]
) -> None:
    code, _, errors = reportgen("method=gradcam", *overrides)
    assert code == 2
    assert words in " ".join(errors.split())
    assert "Traceback" not in errors


def test_the_caption_names_the_layer(run_method: Any) -> None:
    (group,) = run_method("gradcam", "method.gradcam.count=1").blocks
    assert "layer conv2: 8 × 8 cells, enlarged bilinearly" in group.blocks[0].caption.detail
    overrides = ("method.gradcam.count=1", "method.gradcam.layer=conv1")
    (group,) = run_method("gradcam", *overrides, "method.gradcam.resize=nearest").blocks
    assert "layer conv1: 24 × 24 cells, enlarged by the nearest" in group.blocks[0].caption.detail


def test_the_facts_say_when_nothing_is_lit(run_method: Any) -> None:
    """A map that is dark everywhere is told from one that is drawn to a pixel."""
    overrides = [f"method.gradcam.{key}" for key in ("count=8", "layer=conv1", "resize=nearest")]
    for group in run_method("gradcam", *overrides).blocks:
        (heatmap,) = group.blocks
        share = dict(heatmap.facts)["share of positions above zero"]
        # 24 cells on 28 pixels: some cells fill two.
        kept = np.floor((np.arange(28) + 0.5) * 24 / 28).astype(int)
        cells = np.zeros((24, 24))
        cells[np.ix_(kept, kept)] = heatmap.map
        assert share == pytest.approx((cells > 0).mean(), abs=1e-6)
