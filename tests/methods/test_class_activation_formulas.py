"""The formulas of class activation against NumPy loops, and against their peers' numbers.

What the peers made is in ``tests/goldens``, before enlarging and scaling to 0..1.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from reportgen.core.errors import NotApplicableError
from reportgen.core.spec import InputSpec
from reportgen.methods.cam import cam, departures
from reportgen.methods.class_activation import Captured, capture
from reportgen.methods.eigencam import eigencam
from reportgen.methods.gradcam import gradcam
from reportgen.methods.gradcam_plus_plus import gradcam_plus_plus
from reportgen.methods.hirescam import hirescam
from reportgen.methods.layercam import layercam
from tests.methods.small_networks import SPEC, TARGETS, WEIGHTS, Averaged, Small, X, scored
from tests.peers.classic import carried, picture

GOLDENS = Path(__file__).parents[1] / "goldens"
_RNG = np.random.default_rng(3)
A = _RNG.normal(0.5, 1, (2, 3, 4, 5))
A[0, :, :, 1] = 0  # a dead channel
G = _RNG.normal(0, 1, A.shape)
G[1, 2] = 0


def _gradcam(a: np.ndarray, g: np.ndarray) -> np.ndarray:
    total = sum(g[..., k].mean() * a[..., k] for k in range(a.shape[-1]))
    return np.maximum(total, 0)


def _gradcam_plus_plus(a: np.ndarray, g: np.ndarray) -> np.ndarray:
    made = np.zeros(a.shape[:2])
    for k in range(a.shape[-1]):
        weight = 0.0
        for slope in g[..., k].reshape(-1):
            if slope > 0:
                alpha = slope**2 / (2 * slope**2 + a[..., k].sum() * slope**3)
                weight += alpha * slope
        made += weight * a[..., k]
    return np.maximum(made, 0)


def _hirescam(a: np.ndarray, g: np.ndarray) -> np.ndarray:
    return sum(g[..., k] * a[..., k] for k in range(a.shape[-1]))


def _layercam(a: np.ndarray, g: np.ndarray) -> np.ndarray:
    return np.maximum(_hirescam(a, np.maximum(g, 0)), 0)


def _cam(a: np.ndarray, g: np.ndarray) -> np.ndarray:
    return sum(g[..., k].sum() * a[..., k] for k in range(a.shape[-1]))


def _eigencam(a: np.ndarray, centred: bool) -> np.ndarray:
    """By the eigenvectors of the channels' second moments."""
    matrix = a.reshape(-1, a.shape[-1])
    matrix = matrix - matrix.mean(axis=0) * centred
    projected = matrix @ np.linalg.eigh(matrix.T @ matrix)[1][:, -1]
    furthest = projected[np.abs(projected).argmax()]
    return np.maximum(projected * np.sign(furthest), 0).reshape(a.shape[:2])


ORACLES = {
    cam: _cam,
    gradcam: _gradcam,
    gradcam_plus_plus: _gradcam_plus_plus,
    hirescam: _hirescam,
    layercam: _layercam,
}


@pytest.fixture(scope="module")
def formulas() -> dict[Any, jax.Array]:
    """What each makes of A and G, compiled together."""
    run = jax.jit(lambda a, g: [method(a, g) for method in ORACLES])
    return dict(zip(ORACLES, run(np.float32(A), np.float32(G)), strict=True))


@pytest.mark.parametrize("method", ORACLES, ids=lambda method: method.__name__)
def test_against_numpy(method: Any, formulas: dict[Any, jax.Array]) -> None:
    expected = [ORACLES[method](a, g) for a, g in zip(A, G, strict=True)]
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(formulas[method], expected, rtol=1e-4, atol=1e-5)


components = jax.jit(eigencam, static_argnames="centred")


@pytest.mark.parametrize("centred", [False, True])
def test_eigencam_against_numpy(centred: bool) -> None:
    maps, share = components(np.float32(A), centred=centred)
    expected = [_eigencam(a, centred) for a in A]
    np.testing.assert_allclose(maps, expected, rtol=1e-4, atol=1e-5)
    for a, found in zip(A, np.asarray(share), strict=True):
        matrix = a.reshape(-1, 5) - a.reshape(-1, 5).mean(axis=0) * centred
        squares = np.linalg.svd(matrix, compute_uv=False) ** 2
        assert found == pytest.approx(squares[0] / squares.sum(), rel=1e-4)


def test_eigencams_sign_does_not_hang_on_the_decomposition() -> None:
    """Of rectified maps the first component is positive everywhere, so no part is cut off."""
    rectified = np.float32(np.maximum(A, 0))
    maps = np.asarray(components(rectified, centred=False)[0])
    assert (maps > 0).all()
    # Turned maps are decomposed in another order of rows, and must turn with it.
    turned, _ = components(rectified[:, ::-1], centred=False)
    np.testing.assert_allclose(turned, maps[:, ::-1], rtol=1e-4)
    dark, share = components(np.zeros_like(rectified), centred=True)
    assert not np.asarray(dark).any()
    assert not np.asarray(share).any()


def test_gradcam_plus_plus_does_not_underflow() -> None:
    """A gradient's cube is no float32 where gradients are small, but its map is."""
    run = jax.jit(gradcam_plus_plus)
    a, g = np.float32(np.abs(A)), np.float32(G)
    small = np.asarray(run(a, np.float32(1e-18) * g))
    # So small a gradient leaves α at one half, so that the map is linear in it.
    np.testing.assert_allclose(small, 1e3 * np.asarray(run(a, np.float32(1e-21) * g)), rtol=1e-3)
    assert small.max() > 0


def test_gradcam_plus_plus_at_a_pole() -> None:
    """2 + g ΣA is zero where an activation that is not rectified sums to −2 / g."""
    a, g = np.full((1, 1, 2, 1), -1, np.float32), np.ones((1, 1, 2, 1), np.float32)
    assert np.isfinite(np.asarray(jax.jit(gradcam_plus_plus)(a, g))).all()


@pytest.fixture(scope="module")
def small_network(model_of: Callable[..., Any]) -> Any:
    return model_of(Small, SPEC).with_parameters(WEIGHTS)


@pytest.fixture(scope="module")
def captured(small_network: Any) -> Captured:
    """Of the small network's second convolution."""
    made: Captured = jax.jit(capture, static_argnums=1)(small_network, "conv2", X, TARGETS)
    return made


@pytest.fixture(scope="module")
def squeezenet(shaped: Callable[..., Any]) -> tuple[Any, jax.Array]:
    """SqueezeNet with the weights of its peer, and the peer's input."""
    model = shaped("model=squeezenet1_0")
    placed = {ours: jnp.asarray(v) for _, _, ours, v in carried("squeezenet1_0", model.parameters)}
    x = np.tanh(picture(227, 227) / 128 - 1).astype(np.float32)
    return model.with_parameters(placed), jnp.asarray(x)


class Seen(NamedTuple):
    """A network whose peer's maps are in the goldens, and what was captured of it."""

    name: str
    model: Any
    x: Any
    targets: np.ndarray
    captured: Captured


@pytest.fixture(
    scope="module", params=["small", pytest.param("squeezenet", marks=pytest.mark.slow)]
)
def seen(request: pytest.FixtureRequest) -> Seen:
    if request.param == "small":
        model, captured = map(request.getfixturevalue, ("small_network", "captured"))
        return Seen("small", model, X, np.asarray(TARGETS), captured)
    model, x = request.getfixturevalue("squeezenet")
    made = jax.jit(capture, static_argnums=1)(model, "fire9", x, jnp.array([7]))
    return Seen("squeezenet", model, x, np.array([7]), made)


def _golden(file: str, name: str) -> np.ndarray:
    with np.load(GOLDENS / f"class_activation_{file}.npz") as arrays:
        return np.asarray(arrays[name])


def _assert_close(ours: Any, theirs: np.ndarray) -> None:
    ours = np.asarray(ours)
    assert ours.shape == theirs.shape
    assert theirs.max() > 0
    difference = np.abs(ours - theirs).max() / np.abs(theirs).max()
    assert difference <= 1e-4


TORCH = {
    "grad_cam": gradcam,
    "grad_cam_plusplus": gradcam_plus_plus,
    # It drops what is negative.
    "hirescam": lambda a, g: jnp.maximum(hirescam(a, g), 0),
    "layer_cam": layercam,
}


@pytest.mark.parametrize("name", TORCH)
def test_against_pytorch_grad_cam(name: str, seen: Seen) -> None:
    ours = jax.jit(TORCH[name])(*seen.captured)
    theirs = _golden("torch", f"{seen.name}/{name}")
    if name == "grad_cam_plusplus":
        # It adds 1e-6 below, which counts beside the square of small gradients.
        a, g = (np.asarray(part, np.float64) for part in seen.captured)
        below = 2 * g**2 + a.sum(axis=(1, 2), keepdims=True) * g**3
        for epsilon in (1e-6, 0):
            with np.errstate(invalid="ignore"):
                alpha = np.where(g != 0, g**2 / (below + epsilon), 0)
            weights = (alpha * np.maximum(g, 0)).sum(axis=(1, 2))
            maps = np.maximum(np.einsum("nhwk,nk->nhw", a, weights), 0)
            _assert_close(maps if epsilon else ours, theirs if epsilon else maps)
        return
    _assert_close(ours, theirs)


def test_eigencam_against_pytorch_grad_cam(seen: Seen) -> None:
    theirs = _golden("torch", f"{seen.name}/eigen_cam")
    furthest = [part.reshape(-1)[np.abs(part).argmax()] for part in theirs]
    turned = theirs * np.sign(furthest)[:, None, None]
    ours, _ = components(seen.captured.activation, centred=True)
    _assert_close(ours, np.maximum(turned, 0))


@pytest.mark.parametrize("method", [gradcam, layercam], ids=lambda method: method.__name__)
def test_against_tf_keras_vis(method: Any, seen: Seen) -> None:
    ours = jax.jit(method)(*seen.captured)
    _assert_close(ours, _golden("keras", f"{seen.name}/{method.__name__}"))


def test_gradcam_plus_plus_against_tf_keras_vis(seen: Seen) -> None:
    """It divides α by its sum over positions and keeps the score's exponential."""
    a, g = (np.asarray(part, np.float64) for part in seen.captured)
    with np.errstate(invalid="ignore"):
        alpha = np.where(g != 0, 1 / (2 + g * a.sum(axis=(1, 2), keepdims=True)), 0)
        total = alpha.sum(axis=(1, 2), keepdims=True)
    alpha = alpha / np.where(total == 0, 1, total)
    scores = np.asarray(scored(seen.model, seen.x))[np.arange(len(seen.x)), seen.targets]
    weights = (alpha * np.maximum(g, 0)).sum(axis=(1, 2)) * np.exp(scores)[:, None]
    theirs = np.maximum(np.einsum("nhwk,nk->nhw", a, weights), 0)
    _assert_close(theirs, _golden("keras", f"{seen.name}/gradcam_plus_plus"))


def test_hirescam_sums_to_the_score_where_all_behind_is_linear(lenet: Any, digits: Any) -> None:
    x, targets = np.asarray(lenet.spec.normalise(digits.pixels[:4])), np.array([1, 5, 0, 9])

    @jax.jit
    def run(model: Any, x: jax.Array, targets: jax.Array) -> Any:
        scores, activations = model.apply(x)
        return hirescam(*capture(model, "pool2", x, targets)), scores, activations["relu1"]

    maps, scores, rectified = map(np.asarray, run(lenet, x, targets))
    # Behind pool2 lies one rectifier: of those units that are open the network is linear, and an
    # activation of zeros leaves their biases.
    values = {name: np.asarray(v, np.float64) for name, v in lenet.parameters.items()}
    is_open = rectified > 0
    biases = (is_open * values["ip1.bias"]) @ values["ip2.kernel"] + values["ip2.bias"]
    index = np.arange(4), targets
    expected = scores[index] - biases[index]
    np.testing.assert_allclose(maps.sum(axis=(1, 2)), expected, rtol=1e-3, atol=1e-3)


def test_layercam_is_not_negative_and_holds_hirescam(captured: Captured) -> None:
    """It leaves out only what is negative, where activations are rectified."""
    fine, signed = map(
        np.asarray, jax.jit(lambda a, g: (layercam(a, g), hirescam(a, g)))(*captured)
    )
    assert (fine >= 0).all()
    assert (fine >= signed - 1e-6).all()


GREY = InputSpec(height=28, width=28, channels=1)


def _averaged(model_of: Callable[..., Any], **changed: bool) -> Any:
    return model_of(lambda rngs: Averaged(rngs, channels=1, **changed), GREY)


# Of different brightness, which a way around the maps passes on.
NOISE = np.random.default_rng(7).uniform(0, 1, (3, 28, 28, 1)).astype(np.float32)
NOISE *= np.float32([0.2, 1, 0.6])[:, None, None, None]


def test_cam_by_the_weights_of_the_dense_layer(averaged: Any) -> None:
    targets = np.array([3, 0, 4])

    @jax.jit
    def run(model: Any, x: jax.Array) -> Any:
        seen = capture(model, "conv2", x, jnp.asarray(targets))
        return seen.activation, cam(*seen), gradcam(*seen), model.apply(x)[0]

    activation, maps, positive, scores = map(np.asarray, run(averaged, NOISE))
    kernel = np.asarray(averaged.parameters["out.kernel"])[:, targets]
    expected = np.einsum("nhwk,kn->nhw", activation, kernel)
    np.testing.assert_allclose(maps, expected, rtol=1e-4, atol=1e-5)
    found = maps.mean(axis=(1, 2)) + np.asarray(averaged.parameters["out.bias"])[targets]
    np.testing.assert_allclose(found, scores[np.arange(3), targets], rtol=1e-4, atol=1e-5)
    # And Grad-CAM is its positive part, up to the number of positions.
    places = np.prod(activation.shape[1:3])
    np.testing.assert_allclose(positive, np.maximum(maps, 0) / places, rtol=1e-4, atol=1e-6)


def test_cam_finds_out_who_departs_from_its_form(averaged: Any, model_of: Any) -> None:
    def far(model: Any) -> tuple[float, float]:
        varies, besides = departures(model, "conv2", NOISE[:2])
        return float(varies), float(besides)

    assert max(far(averaged)) < 1e-5
    assert far(_averaged(model_of, rectified=True))[0] > 0.05
    varies, besides = far(_averaged(model_of, shortcut=True))
    assert varies < 1e-5
    assert besides > 0.005


@pytest.mark.parametrize(
    ("changed", "reason"),
    [({"rectified": True}, "not the same at all positions"), ({"shortcut": True}, "goes past")],
)
def test_cam_refuses_other_forms(
    changed: dict[str, bool], reason: str, model_of: Callable[..., Any], run_method: Any
) -> None:
    with pytest.raises(NotApplicableError, match=f"a weighted sum of the means.*{reason}"):
        run_method("cam", model=_averaged(model_of, **changed))


class ClassMaps(nnx.Module):
    """As SqueezeNet ends: a map of each class, and its mean."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.conv1 = nnx.Conv(1, 6, (3, 3), strides=2, rngs=rngs)
        self.conv2 = nnx.Conv(6, 10, (1, 1), rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.conv2(nnx.relu(self.conv1(x))).mean((1, 2))


def test_cam_of_class_maps_is_the_channel(model_of: Callable[..., Any]) -> None:
    model = model_of(ClassMaps, GREY)
    assert max(map(float, departures(model, "conv2", NOISE[:2]))) < 1e-4
    # A rectifier lies between conv1 and the mean.
    assert float(departures(model, "conv1", NOISE[:2])[0]) > 0.01
    seen = jax.jit(capture, static_argnums=1)(model, "conv2", NOISE[:1], np.array([7]))
    maps = jax.jit(cam)(*seen)
    np.testing.assert_allclose(maps[0], seen.activation[0, :, :, 7], rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_cam_of_squeezenets_class_maps_is_the_channel(squeezenet: tuple[Any, jax.Array]) -> None:
    model, x = squeezenet
    varies, besides = departures(model, "conv10", jnp.concatenate([x, x[:, ::-1]]))
    assert max(float(varies), float(besides)) < 1e-4
    # A rectifier lies between fire9 and the mean.
    assert float(departures(model, "fire9", jnp.concatenate([x, -x]))[0]) > 0.01
    seen = jax.jit(capture, static_argnums=1)(model, "conv10", x, jnp.array([7]))
    np.testing.assert_allclose(cam(*seen)[0], seen.activation[0, :, :, 7], rtol=1e-4, atol=1e-4)


def test_cam_is_refused_for_lenet_with_advice(run_method: Any) -> None:
    with pytest.raises(NotApplicableError, match="ends in the mean over positions") as refused:
        run_method("cam")
    assert "Take gradcam or hirescam" in refused.value.hint
