"""Grad-CAM and guided Grad-CAM with the rectifiers' other rules, against Captum and by laws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from reportgen.core.errors import NotApplicableError
from reportgen.methods.class_activation import capture, enlarge
from reportgen.methods.gradcam import gradcam
from reportgen.methods.guided_gradcam import guided_gradcam
from reportgen.rewrite.rectifiers import RectifierRule
from tests.methods.small_networks import SPEC, TARGETS, WEIGHTS, Small, X
from tests.peers.classic import carried, picture


@pytest.fixture(scope="module")
def network(model_of: Callable[..., Any]) -> Any:
    return model_of(Small, SPEC).with_parameters(WEIGHTS)


def _backward(activation: np.ndarray, targets: Any, rule: str) -> np.ndarray:
    """The gradient by conv2 with a rule at dense1's rectifier, written out."""
    values = {name: np.asarray(v, np.float64) for name, v in WEIGHTS.items()}
    before = activation.reshape(len(X), -1) @ values["dense1.kernel"] + values["dense1.bias"]
    back = values["dense2.kernel"][:, np.asarray(targets)].T
    if rule != "plain":
        back = np.maximum(back, 0)
    if rule != "relu":
        back = back * (before > 0)
    return (back @ values["dense1.kernel"].T).reshape(-1, 6, 6, 8)


@pytest.mark.parametrize("rule", ["plain", "guided", "relu"])
def test_gradients_by_hand(rule: Any, network: Any) -> None:
    """Through the settings, so that each name stands for its rule."""
    from reportgen.methods.gradcam import GradCAM

    method = GradCAM(
        count=1,
        target="predicted",
        opacity=0.5,
        percentile=99,
        layer="conv2",
        resize="nearest",
        gradients=rule,
    )

    @jax.jit
    def run(model: Any) -> Any:
        keys = jax.random.split(jax.random.key(0), len(X))
        return method.explain(model, X, TARGETS, keys, 2).values, model.activation("conv2", X)

    found, activation = map(np.asarray, run(network))
    weights = _backward(np.float64(activation), TARGETS, rule).mean(axis=(1, 2))
    expected = np.maximum(np.einsum("nhwk,nk->nhw", activation, weights), 0)
    assert expected.max() > 1e-3
    expected = expected.repeat(2, axis=1).repeat(2, axis=2)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_the_product(network: Any) -> None:
    """Guided gradient by the rewritten network × Grad-CAM by the network as it is."""

    @jax.jit
    def run(model: Any) -> Any:
        def total(x: jax.Array) -> jax.Array:
            scores = model.rewritten(RectifierRule("guided")).apply(x)[0]
            return scores[jnp.arange(len(X)), TARGETS].sum()

        maps = enlarge(gradcam(*capture(model, "conv2", X, TARGETS)), 12, 12, "bilinear")
        found = guided_gradcam(model, "conv2", X, TARGETS, "bilinear")
        return found, jax.grad(total)(X) * maps[..., None]

    found, expected = map(np.asarray, run(network))
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.peer
@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_against_captum(mode: Any, shaped: Callable[..., Any]) -> None:
    """SqueezeNet; Captum's nearest cell is reckoned from corners unless it is told otherwise."""
    import captum.attr as captum
    import torch

    from tests.peers import torch_classic

    model = shaped("model=squeezenet1_0")
    placed = {ours: jnp.asarray(v) for _, _, ours, v in carried("squeezenet1_0", model.parameters)}
    model = model.with_parameters(placed)
    x = np.tanh(picture(227, 227) / 128 - 1).astype(np.float32)
    peer = torch_classic.filled("squeezenet1_0")
    given = torch.from_numpy(x).permute(0, 3, 1, 2).contiguous().requires_grad_()
    layer = peer.get_submodule("features.12")
    coarse = captum.LayerGradCam(peer, layer).attribute(given, 7, relu_attributions=True)
    run = jax.jit(lambda model, x: gradcam(*capture(model, "fire9", x, jnp.array([7]))))
    ours = run(model, jnp.asarray(x))
    _assert_close(ours, coarse[:, 0].detach().numpy())
    their_mode = {"nearest": "nearest-exact"}.get(mode, mode)
    with pytest.warns(UserWarning, match="backward hooks"):
        fine = captum.GuidedGradCam(peer, layer).attribute(given, 7, interpolate_mode=their_mode)
    fused = jax.jit(guided_gradcam, static_argnums=(1, 4))
    found = fused(model, "fire9", jnp.asarray(x), jnp.array([7]), mode)
    theirs = fine.permute(0, 2, 3, 1).detach().numpy()
    apart = np.abs(np.asarray(found) - theirs) / np.abs(theirs).max()
    # A rectifier whose input is zero but for rounding may be open in one and shut in the other,
    # which moves the few pixels that it sees.
    assert (apart > 1e-4).mean() <= 1e-3
    assert apart.max() <= 1e-2


def _assert_close(ours: Any, theirs: np.ndarray) -> None:
    assert np.abs(theirs).max() > 0
    assert np.abs(np.asarray(ours) - theirs).max() <= 1e-4 * np.abs(theirs).max()


@pytest.mark.parametrize("method", ["gradcam", "guided_gradcam"])
def test_without_rectifiers_other_rules_are_refused(
    method: str, model_of: Callable[..., Any], run_method: Any, lenet: Any
) -> None:
    class Smooth(nnx.Module):
        def __init__(self, rngs: nnx.Rngs) -> None:
            self.conv = nnx.Conv(1, 4, (3, 3), strides=4, rngs=rngs)
            self.out = nnx.Linear(4, 10, rngs=rngs)

        def __call__(self, x: jax.Array) -> jax.Array:
            return self.out(jnp.tanh(self.conv(x)).mean((1, 2)))

    model = model_of(Smooth, lenet.spec)
    overrides = ["method.gradcam.gradients=relu"] if method == "gradcam" else []
    with pytest.raises(NotApplicableError, match=f"{method} changes the derivative of rectifiers"):
        run_method(method, *overrides, model=model)
