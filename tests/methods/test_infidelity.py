"""Infidelity against loops over NumPy arrays and Captum, and its laws."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from reportgen.engine.rows import Engine
from reportgen.methods.base import fold_in_name
from reportgen.methods.faithfulness import BLOB, RANDOM, Subject, generator
from reportgen.methods.infidelity import Infidelity, agreement
from tests.peers.attribution import SMALL_SPEC, TARGETS, Small, small_parameters
from tests.peers.classic import picture

ONE = "method.infidelity.count=1"
FEW = "method.infidelity.samples=12"


def _settings(**changed: Any) -> Infidelity:
    given = {
        "count": 1,
        "maps": {},
        "perturbation": "square",
        "side": 0.3,
        "deviation": 0.4,
        "fill": "mean",
        "blur": 0.1,
        "samples": 9,
        "normalize": True,
    }
    return Infidelity(**(given | changed))


def test_numbers_are_those_of_loops(
    lenet: Any, digits: Any, numpy_lenet: Any, run_method: Any, explained: dict[str, Any]
) -> None:
    more = ("method.infidelity.normalize=false", FEW, ONE)
    maps = {"saliency": explained["saliency"]}
    result = run_method("infidelity", *more, maps=maps)
    heat = maps["saliency"].maps[0]
    x = np.asarray(lenet.spec.normalise(digits.pixels[0]), np.float64)
    whole = numpy_lenet(x)["ip2"]
    target = whole.argmax()
    random = generator(fold_in_name(jax.random.key(0), "infidelity"), f"parts:{digits.names[0]}")
    errors, predicted, true = [], [], []
    for _ in range(12):
        top, left = random.integers(0, (22, 22))
        covered = x.copy()
        covered[top : top + 7, left : left + 7] = 0
        true.append(whole[target] - numpy_lenet(covered)["ip2"][target])
        predicted.append(sum(heat[top + i, left + j] for i in range(7) for j in range(7)))
        errors.append((predicted[-1] - true[-1]) ** 2)
    row = result.blocks[0].rows[0]
    assert row[1] == pytest.approx(sum(errors) / 12, rel=1e-4)
    cosine = np.dot(predicted, true) / np.linalg.norm(predicted) / np.linalg.norm(true)
    assert row[2] == pytest.approx(cosine, abs=1e-4)
    every = {f"{one[0]}: agreement ↑": one[2] for one in result.blocks[0].rows}
    assert result.metrics == every
    assert list(every) == [f"{name}: agreement ↑" for name in ("Saliency", RANDOM, BLOB)]


def test_normalised_means_the_best_factor() -> None:
    rng = np.random.default_rng(0)
    predicted, true = rng.normal(size=40), rng.normal(size=40)
    best = agreement(predicted, true, normalize=True)
    factors = np.linspace(-2, 2, 4001)
    errors = ((factors[:, None] * predicted - true) ** 2).mean(axis=1)
    assert best.infidelity == pytest.approx(errors.min(), rel=1e-6)
    assert best.infidelity == pytest.approx((1 - best.cosine**2) * np.mean(true**2))
    scaled = agreement(-50 * predicted, true, normalize=True)
    assert scaled.infidelity == pytest.approx(best.infidelity)
    assert scaled.cosine == pytest.approx(-best.cosine)
    assert agreement(0 * predicted, true, normalize=True) == (pytest.approx(np.mean(true**2)), 0)


class Linear(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.dense = nnx.Linear(784, 10, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        return self.dense(x.reshape(len(x), -1))


@pytest.fixture(scope="module")
def linear(model_of: Any, lenet: Any) -> Any:
    return model_of(lambda: Linear(nnx.Rngs(1)), lenet.spec)


@pytest.fixture(scope="module")
def exact(linear: Any, run_method: Any) -> dict[str, Any]:
    return {"gradient_x_input": run_method("gradient_x_input", model=linear).explained}


@pytest.mark.parametrize("perturbation", ["square", "gaussian"])
@pytest.mark.parametrize("normalize", ["true", "false"])
def test_an_exact_map_of_a_linear_network_predicts_every_change(
    perturbation: str, normalize: str, linear: Any, exact: dict[str, Any], run_method: Any
) -> None:
    result = run_method(
        "infidelity",
        f"method.infidelity.perturbation={perturbation}",
        f"method.infidelity.normalize={normalize}",
        "method.infidelity.count=2",
        FEW,
        model=linear,
        maps=exact,
    )
    rows = {row[0]: row[1:] for row in result.blocks[0].rows}
    assert rows["Gradient × input"] == pytest.approx((0, 1, 2), abs=1e-5)
    assert rows[BLOB][0] > 1e-3
    assert result.findings == ()


@pytest.mark.peer
@pytest.mark.parametrize("perturbation", ["square", "gaussian"])
@pytest.mark.parametrize("normalize", [True, False])
def test_against_captum(perturbation: str, normalize: bool, model_of: Callable[..., Any]) -> None:
    import captum.metrics as metrics
    import torch

    from tests.peers import captum_maps

    model = model_of(lambda: Small(rngs=nnx.Rngs(0)), SMALL_SPEC)
    parameters = small_parameters(model.parameters)
    model = model.with_parameters({k: jnp.asarray(v, jnp.float32) for k, v in parameters.items()})
    pixels = picture(24, 28)
    tested = _settings(perturbation=perturbation, normalize=normalize)
    key = jax.random.key(6)
    heat = np.random.default_rng(1).normal(size=(24, 28)).astype(np.float32)
    context: Any = SimpleNamespace(
        model=model,
        images=SimpleNamespace(pixels=pixels, names=["a"]),
        engine=Engine.local(4),
        key=key,
    )
    target = TARGETS["small"]
    subject = Subject(place=0, target=target, maps={"m": heat}, noise=heat)
    ours = tested.test(context, subject).values["infidelity"]["m"]
    parts = torch.tensor(
        np.stack(list(tested.parts(generator(key, "parts:a"), 24, 28))), dtype=torch.float64
    )

    def perturb(x: Any) -> Any:
        part = parts[:, None].expand_as(x)
        return part, x - part * x

    x = np.asarray(SMALL_SPEC.normalise(pixels[0]), np.float64).transpose(2, 0, 1)[None]
    shares = np.broadcast_to(heat.astype(np.float64) / 3, x.shape)
    theirs = metrics.infidelity(
        captum_maps.twin("small"),
        perturb,
        torch.tensor(x),
        torch.tensor(shares.copy()),
        target=target,
        n_perturb_samples=len(parts),
        normalize=normalize,
    )
    assert ours == pytest.approx(theirs.item(), rel=1e-4)


def test_squares_lie_within_the_image_and_everywhere() -> None:
    tested = _settings(samples=4000, side=0.5)
    total = sum(tested.parts(np.random.default_rng(0), 4, 6))
    assert sum(part.sum() for part in tested.parts(np.random.default_rng(0), 4, 6)) == 4 * 4000
    # Of 15 places, 4 cover an inner pixel and 1 a corner.
    np.testing.assert_allclose(total[1, 2] / 4000, 4 / 15, atol=0.03)
    np.testing.assert_allclose(total[3, 5] / 4000, 1 / 15, atol=0.03)


def test_only_the_normalised_number_compares_maps_in_other_units(
    run_method: Any, explained: dict[str, Any]
) -> None:
    told = run_method("infidelity", FEW, ONE, maps=explained).blocks[1].text
    assert "so that all maps compare" in told
    plain = "method.infidelity.normalize=false"
    told = run_method("infidelity", FEW, ONE, plain, maps=explained).blocks[1].text
    assert "saliency, class activation maps and the controls are in other units" in told


def test_maps_are_judged_by_their_agreement(run_method: Any, explained: dict[str, Any]) -> None:
    result = run_method("infidelity", FEW, maps=explained)
    means = {row[0]: row[2] for row in result.blocks[0].rows}
    told = {finding.where for finding in result.findings}
    for name, title in (("saliency", "Saliency"), ("gradcam", "Grad-CAM")):
        assert (name in told) == (means[title] <= max(means[RANDOM], means[BLOB]))
    assert all("agreement is" in finding.message for finding in result.findings)
    assert set(dict(result.evidence["saliency", 0])) == {"agreement (controls)"}
