"""Methods compute what Captum computes, channel by channel.

On networks and weights that follow from a seed. With Captum where it is installed, and with what it
once computed everywhere. Maps in float64: in float32 a few of SqueezeNet's many rectifiers fall on
the other side of zero in one of the two, and both are right.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from reportgen.engine.rows import Engine
from reportgen.methods import integrated_gradients, smoothgrad
from reportgen.methods.class_activation import capture
from reportgen.methods.faithfulness import Subject
from reportgen.methods.gradcam import gradcam
from reportgen.methods.gradients import score_gradient
from reportgen.methods.infidelity import Infidelity
from reportgen.methods.integrated_gradients import path_gradients, quadrature
from reportgen.methods.lrp import lrp
from reportgen.methods.occlusion import occluded_scores, spread, windows
from reportgen.models.base import Model
from reportgen.rewrite.rectifiers import RectifierRule
from reportgen.rewrite.relevance import RelevanceRule
from reportgen.rewrite.relevance_rules import Rule
from tests.peers.attribution import (
    EPSILON,
    FILL,
    LAYERS,
    OCCLUSIONS,
    RULES,
    SAMPLES,
    SMALL_SPEC,
    STEPS,
    TARGETS,
    Small,
    inputs,
    perturbations,
    small_parameters,
)
from tests.peers.classic import carried, picture, sampled

GOLDEN = Path(__file__).parents[1] / "goldens" / "captum.npz"


@pytest.fixture(scope="module")
def network(
    request: pytest.FixtureRequest, model_of: Callable[..., Any], shaped: Callable[..., Any]
) -> Any:
    """A network's name, model without weights, and weights by our names."""
    name = request.param
    if name == "small":
        model = model_of(lambda: Small(rngs=nnx.Rngs(0)), SMALL_SPEC)
        parameters = small_parameters(model.parameters)
    else:
        model = shaped(f"model={name}")
        parameters = {ours: values for _, _, ours, values in carried(name, model.parameters)}
    return name, model, parameters


@pytest.fixture(scope="module")
def computed(network: Any) -> Any:
    """Of one network: its name, inputs and our attributions (1, H, W, C) by method."""
    name, model, parameters = network
    x, start, noise = inputs(name, model.spec)
    with jax.enable_x64(True), pytest.MonkeyPatch.context() as patch:
        model = model.with_parameters(
            {key: jnp.asarray(values, jnp.float64) for key, values in parameters.items()}
        )
        given = jnp.asarray(noise, jnp.float64)
        patch.setattr(smoothgrad, "sample_noise", lambda keys, sample, shape: given[sample])
        patch.setattr(integrated_gradients, "quadrature", lambda rule, steps: rule)
        made = jax.jit(partial(_attributions, name))(
            model,
            jnp.asarray(x, jnp.float64),
            jnp.asarray(start, jnp.float64),
            jnp.array([TARGETS[name]]),
        )
        return name, (x, start, noise), {key: np.asarray(value) for key, value in made.items()}


def _attributions(
    name: str, model: Model, x: jax.Array, start: jax.Array, targets: jax.Array
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
    # The rules differ in two rows of numbers: given in their place, one program serves them all.
    rules = jnp.asarray([quadrature(rule, STEPS) for rule in RULES[name]], x.dtype)
    integrate: Any = partial(path_gradients, model, x, start, targets, steps=STEPS)
    made |= zip(RULES[name], jax.lax.map(lambda rule: integrate(rule=rule), rules), strict=True)
    # Captum's trapezoid has weights that sum to this.
    made["riemann_trapezoid"] *= (STEPS - 1) / STEPS
    made["gradcam"] = gradcam(*capture(model, LAYERS[name][0], x, targets))[..., None]
    for kind, (side, stride) in OCCLUSIONS[name].items():
        rows, columns = (windows(size, side, stride, centred=False) for size in x.shape[1:3])
        whole, found = occluded_scores(model, x[0], jnp.asarray(FILL), rows, columns, 99)
        heat = spread((whole - found)[..., targets[0]], rows, columns, x.shape[1:3])
        # Captum gives every channel the value of the square over all of them.
        made[kind] = jnp.broadcast_to(heat[None, ..., None], x.shape)
    relevance = RelevanceRule((Rule("epsilon", EPSILON),), EPSILON)
    made["lrp_epsilon"] = lrp(model, x, targets, relevance)[0]
    return made


def _assert_close(ours: np.ndarray, theirs: np.ndarray, largest: float, what: str) -> None:
    assert ours.shape == theirs.shape, what
    assert largest > 0, what
    error = np.abs(ours - theirs).max() / largest
    assert error <= 1e-6, f"{what} is off by {error:.2g} of the largest value"


each_network = pytest.mark.parametrize(
    "network",
    [pytest.param(name, marks=() if name == "small" else pytest.mark.slow) for name in TARGETS],
    indirect=True,
)


@each_network
def test_against_what_captum_computed(computed: Any) -> None:
    name, _, made = computed
    with np.load(GOLDEN) as file:
        golden = {key.partition("/")[2]: file[key] for key in file if key.startswith(f"{name}/")}
    assert set(golden) == set(made)
    for method, (*values, largest) in golden.items():
        _assert_close(sampled(made[method]), np.array(values), largest, method)


@pytest.mark.peer
@each_network
def test_against_captum(computed: Any) -> None:
    from tests.peers import captum_maps

    name, given, made = computed
    expected = captum_maps.maps(name, *given)
    assert set(expected) == set(made)
    for method, values in expected.items():
        _assert_close(made[method], values, np.abs(values).max(), method)


@pytest.mark.peer
@each_network
def test_infidelity_against_captum(network: Any) -> None:
    """Live where it is installed, and what it once computed; of the same perturbations."""
    name, model, parameters = network
    x = inputs(name, model.spec)[0]
    context: Any = SimpleNamespace(
        model=model.with_parameters({k: jnp.asarray(v) for k, v in parameters.items()}),
        images=SimpleNamespace(pixels=picture(*x.shape[1:3]), names=["a"]),
        engine=Engine.local(7),
        key=jax.random.key(0),
    )
    heat, kinds = perturbations(name)
    subject = Subject(place=0, target=TARGETS[name], maps={"m": heat}, noise=heat)
    made = np.zeros((2, 2))
    for (kind, normalize), _ in np.ndenumerate(made):
        settings: Any = SimpleNamespace(
            fill="mean",
            blur=0.1,
            normalize=bool(normalize),
            parts=lambda *_, parts=kinds[kind]: iter(parts),
        )
        tested = Infidelity.test(settings, context, subject)
        made[kind, normalize] = tested.values["infidelity"]["m"]
    with np.load(GOLDEN) as file:
        np.testing.assert_allclose(made, file[f"infidelity/{name}"], rtol=1e-4)
    from tests.peers import captum_maps

    expected = captum_maps.infidelities(name, x)
    np.testing.assert_allclose(made, expected, rtol=1e-4)
