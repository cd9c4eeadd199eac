"""Gradient methods compute what Captum computes, channel by channel.

On networks and weights that follow from a seed. With Captum where it is installed, and with what it
once computed everywhere. All in float64: in float32 a few of SqueezeNet's many rectifiers fall on
the other side of zero in one of the two, and both are right.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from reportgen.methods import smoothgrad
from reportgen.methods.gradients import score_gradient
from reportgen.methods.integrated_gradients import Rule, path_gradients
from reportgen.models.base import Model
from reportgen.rewrite.rectifiers import RectifierRule
from tests.peers.attribution import (
    RULES,
    SAMPLES,
    SMALL_SPEC,
    STEPS,
    TARGETS,
    Small,
    inputs,
    small_parameters,
)
from tests.peers.classic import carried, sampled

GOLDEN = Path(__file__).parents[1] / "goldens" / "captum.npz"


@pytest.fixture(scope="module")
def computed(
    request: pytest.FixtureRequest, model_of: Callable[..., Any], opened: Callable[..., Any]
) -> Any:
    """Of one network: its name, inputs and our attributions (1, H, W, C) by method."""
    name = request.param
    if name == "small":
        model = model_of(lambda: Small(rngs=nnx.Rngs(0)), SMALL_SPEC)
        parameters = small_parameters(model.parameters)
    else:
        # Only its shapes are asked for, so no random weights are made.
        model = jax.eval_shape(lambda: opened(f"model={name}", "weights=random"))
        parameters = {ours: values for _, _, ours, values in carried(name, model.parameters)}
    x, start, noise = inputs(name, model.spec)
    with jax.enable_x64(True), pytest.MonkeyPatch.context() as patch:
        model = model.with_parameters(
            {key: jnp.asarray(values, jnp.float64) for key, values in parameters.items()}
        )
        given = jnp.asarray(noise, jnp.float64)
        patch.setattr(smoothgrad, "sample_noise", lambda keys, sample, shape: given[sample])
        made = jax.jit(partial(_attributions, RULES[name]))(
            model,
            jnp.asarray(x, jnp.float64),
            jnp.asarray(start, jnp.float64),
            jnp.array([TARGETS[name]]),
        )
        return name, (x, start, noise), {key: np.asarray(value) for key, value in made.items()}


def _attributions(
    rules: tuple[Rule, ...], model: Model, x: jax.Array, start: jax.Array, targets: jax.Array
) -> dict[str, jax.Array]:
    made = {"saliency": score_gradient(model, x, targets)}
    made["gradient_x_input"] = x * made["saliency"]
    made["guided_backprop"] = score_gradient(model.rewritten(RectifierRule("guided")), x, targets)
    made["deconvnet"] = score_gradient(model.rewritten(RectifierRule("deconvnet")), x, targets)
    mean, variance = smoothgrad.gradient_moments(
        model, x, targets, jax.random.split(jax.random.key(0), 1), samples=SAMPLES,
        deviation=jnp.ones(1),
    )  # fmt: skip
    made |= {"plain": mean, "squared": mean**2 + variance, "vargrad": variance}
    for rule in rules:
        made[rule] = path_gradients(model, x, start, targets, rule, STEPS)
    # Captum's trapezoid has weights that sum to this.
    made["riemann_trapezoid"] *= (STEPS - 1) / STEPS
    return made


def _assert_close(ours: np.ndarray, theirs: np.ndarray, largest: float, what: str) -> None:
    assert ours.shape == theirs.shape, what
    assert largest > 0, what
    error = np.abs(ours - theirs).max() / largest
    assert error <= 1e-6, f"{what} is off by {error:.2g} of the largest value"


@pytest.mark.parametrize("computed", TARGETS, indirect=True)
def test_against_what_captum_computed(computed: Any) -> None:
    name, _, made = computed
    with np.load(GOLDEN) as file:
        golden = {key.partition("/")[2]: file[key] for key in file if key.startswith(f"{name}/")}
    assert set(golden) == set(made)
    for method, (*values, largest) in golden.items():
        _assert_close(sampled(made[method]), np.array(values), largest, method)


@pytest.mark.parametrize("computed", TARGETS, indirect=True)
def test_against_captum(computed: Any) -> None:
    pytest.importorskip("captum", reason="the peer needs the extra 'test'")
    from tests.peers import captum_maps

    name, given, made = computed
    expected = captum_maps.maps(name, *given)
    assert set(expected) == set(made)
    for method, values in expected.items():
        _assert_close(made[method], values, np.abs(values).max(), method)
