"""The formulas of class activation against NumPy loops, and against their peers' numbers.

What the peers made is in ``tests/goldens``, before enlarging and scaling to 0..1.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reportgen.core.errors import NotApplicableError
from reportgen.core.spec import InputSpec
from reportgen.methods.cam import cam, departures
from reportgen.methods.class_activation import Captured, capture
from reportgen.methods.eigencam import eigencam
from reportgen.methods.gradcam import gradcam
from reportgen.methods.gradcam_plus_plus import gradcam_plus_plus
from reportgen.methods.hirescam import hirescam
from reportgen.methods.layercam import layercam
from tests.methods.small_networks import SPEC, TARGETS, WEIGHTS, Averaged, Small, X
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


@pytest.mark.parametrize("method", ORACLES, ids=lambda method: method.__name__)
def test_against_numpy(method: Any) -> None:
    found = method(jnp.asarray(A, jnp.float32), jnp.asarray(G, jnp.float32))
    expected = [ORACLES[method](a, g) for a, g in zip(A, G, strict=True)]
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("centred", [False, True])
def test_eigencam_against_numpy(centred: bool) -> None:
    maps, share = eigencam(jnp.asarray(A, jnp.float32), centred=centred)
    expected = [_eigencam(a, centred) for a in A]
    np.testing.assert_allclose(maps, expected, rtol=1e-4, atol=1e-5)
    for a, found in zip(A, np.asarray(share), strict=True):
        matrix = a.reshape(-1, 5) - a.reshape(-1, 5).mean(axis=0) * centred
        squares = np.linalg.svd(matrix, compute_uv=False) ** 2
        assert found == pytest.approx(squares[0] / squares.sum(), rel=1e-4)


def test_eigencams_sign_does_not_hang_on_the_decomposition() -> None:
    """Of rectified maps the first component is positive everywhere, so no part is cut off."""
    rectified = jnp.maximum(jnp.asarray(A, jnp.float32), 0)
    maps, _ = eigencam(rectified, centred=False)
    assert (np.asarray(maps) > 0).all()
    # Turned maps are decomposed in another order of rows, and must turn with it.
    turned, _ = eigencam(rectified[:, ::-1], centred=False)
    np.testing.assert_allclose(turned, maps[:, ::-1], rtol=1e-4)
    dark, share = eigencam(jnp.zeros((1, 3, 3, 4)), centred=True)
    assert not np.asarray(dark).any()
    assert np.asarray(share) == 0


def test_gradcam_plus_plus_does_not_underflow() -> None:
    """A gradient's cube is no float32 where gradients are small, but its map is."""
    a, g = jnp.asarray(np.abs(A), jnp.float32), jnp.asarray(G, jnp.float32)
    small = gradcam_plus_plus(a, 1e-18 * g)
    # So small a gradient leaves α at one half, so that the map is linear in it.
    np.testing.assert_allclose(small, 1e3 * gradcam_plus_plus(a, 1e-21 * g), rtol=1e-3)
    assert np.asarray(small).max() > 0


def test_gradcam_plus_plus_at_a_pole() -> None:
    """2 + g ΣA is zero where an activation that is not rectified sums to −2 / g."""
    a, g = jnp.full((1, 1, 2, 1), -1.0), jnp.ones((1, 1, 2, 1))
    assert np.isfinite(np.asarray(gradcam_plus_plus(a, g))).all()


@pytest.fixture(scope="module")
def small_network(model_of: Callable[..., Any]) -> Any:
    return model_of(Small, SPEC).with_parameters(WEIGHTS)


@pytest.fixture(scope="module")
def captured(small_network: Any) -> Captured:
    """Of the small network's second convolution."""
    made: Captured = jax.jit(capture, static_argnums=1)(small_network, "conv2", X, TARGETS)
    return made


@pytest.fixture(scope="module")
def squeezenet(opened: Callable[..., Any]) -> tuple[Any, jax.Array]:
    """SqueezeNet with the weights of its peer, and the peer's input."""
    model = jax.eval_shape(lambda: opened("model=squeezenet1_0", "weights=random"))
    placed = {ours: jnp.asarray(v) for _, _, ours, v in carried("squeezenet1_0", model.parameters)}
    x = np.tanh(picture(227, 227) / 128 - 1).astype(np.float32)
    return model.with_parameters(placed), jnp.asarray(x)


@pytest.fixture(scope="module")
def of_squeezenet(squeezenet: tuple[Any, jax.Array]) -> Captured:
    model, x = squeezenet
    made: Captured = jax.jit(capture, static_argnums=1)(model, "fire9", x, jnp.array([7]))
    return made


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


@pytest.mark.parametrize("network", ["small", "squeezenet"])
@pytest.mark.parametrize("name", TORCH)
def test_against_pytorch_grad_cam(
    name: str, network: str, captured: Captured, of_squeezenet: Captured
) -> None:
    seen = captured if network == "small" else of_squeezenet
    ours, theirs = TORCH[name](*seen), _golden("torch", f"{network}/{name}")
    if name == "grad_cam_plusplus":
        # It adds 1e-6 below, which counts beside the square of small gradients.
        a, g = (np.asarray(part, np.float64) for part in seen)
        below = 2 * g**2 + a.sum(axis=(1, 2), keepdims=True) * g**3
        for epsilon in (1e-6, 0):
            with np.errstate(invalid="ignore"):
                alpha = np.where(g != 0, g**2 / (below + epsilon), 0)
            weights = (alpha * np.maximum(g, 0)).sum(axis=(1, 2))
            maps = np.maximum(np.einsum("nhwk,nk->nhw", a, weights), 0)
            _assert_close(maps if epsilon else ours, theirs if epsilon else maps)
        return
    _assert_close(ours, theirs)


@pytest.mark.parametrize("network", ["small", "squeezenet"])
def test_eigencam_against_pytorch_grad_cam(
    network: str, captured: Captured, of_squeezenet: Captured
) -> None:
    activation = (captured if network == "small" else of_squeezenet).activation
    theirs = _golden("torch", f"{network}/eigen_cam")
    furthest = [part.reshape(-1)[np.abs(part).argmax()] for part in theirs]
    turned = theirs * np.sign(furthest)[:, None, None]
    _assert_close(eigencam(activation, centred=True)[0], np.maximum(turned, 0))


@pytest.mark.parametrize("network", ["small", "squeezenet"])
@pytest.mark.parametrize("name", ["gradcam", "layercam"])
def test_against_tf_keras_vis(
    name: str, network: str, captured: Captured, of_squeezenet: Captured
) -> None:
    seen = captured if network == "small" else of_squeezenet
    ours = {"gradcam": gradcam, "layercam": layercam}[name](*seen)
    _assert_close(ours, _golden("keras", f"{network}/{name}"))


@pytest.mark.parametrize("network", ["small", "squeezenet"])
def test_gradcam_plus_plus_against_tf_keras_vis(
    network: str,
    captured: Captured,
    of_squeezenet: Captured,
    small_network: Any,
    squeezenet: tuple[Any, jax.Array],
) -> None:
    """It divides α by its sum over positions and keeps the score's exponential."""
    seen, (model, x), targets = (
        (captured, (small_network, X), np.asarray(TARGETS))
        if network == "small"
        else (of_squeezenet, squeezenet, np.array([7]))
    )
    a, g = (np.asarray(part, np.float64) for part in seen)
    with np.errstate(invalid="ignore"):
        alpha = np.where(g != 0, 1 / (2 + g * a.sum(axis=(1, 2), keepdims=True)), 0)
        total = alpha.sum(axis=(1, 2), keepdims=True)
    alpha = alpha / np.where(total == 0, 1, total)
    scores = np.asarray(scored(model, x))[np.arange(len(x)), targets]
    weights = (alpha * np.maximum(g, 0)).sum(axis=(1, 2)) * np.exp(scores)[:, None]
    theirs = np.maximum(np.einsum("nhwk,nk->nhw", a, weights), 0)
    _assert_close(theirs, _golden("keras", f"{network}/gradcam_plus_plus"))


@jax.jit
def scored(model: Any, x: jax.Array) -> jax.Array:
    return model.apply(x)[0]


def test_hirescam_sums_to_the_score_where_all_behind_is_linear(lenet: Any, digits: Any) -> None:
    x = jnp.asarray(lenet.spec.normalise(digits.pixels[:4]))
    targets = jnp.array([1, 5, 0, 9])
    maps = hirescam(*capture(lenet, "pool2", x, targets))
    # Behind pool2 lies one rectifier: of those units that are open the network is linear, and an
    # activation of zeros leaves their biases.
    values = {name: np.asarray(v, np.float64) for name, v in lenet.parameters.items()}
    scores, activations = lenet.apply(x)
    is_open = np.asarray(activations["relu1"]) > 0
    biases = (is_open * values["ip1.bias"]) @ values["ip2.kernel"] + values["ip2.bias"]
    index = np.arange(4), np.asarray(targets)
    expected = np.asarray(scores)[index] - biases[index]
    np.testing.assert_allclose(maps.sum(axis=(1, 2)), expected, rtol=1e-3, atol=1e-3)


def test_layercam_is_not_negative_and_holds_hirescam(captured: Captured) -> None:
    """It leaves out only what is negative, where activations are rectified."""
    fine, signed = layercam(*captured), hirescam(*captured)
    assert (np.asarray(fine) >= 0).all()
    assert (np.asarray(fine) >= np.asarray(signed) - 1e-6).all()


@pytest.fixture(scope="module")
def averaged(model_of: Callable[..., Any]) -> Any:
    return model_of(Averaged, SPEC, classes=())


def test_cam_by_the_weights_of_the_dense_layer(averaged: Any) -> None:
    seen = capture(averaged, "conv2", X, TARGETS)
    maps = cam(*seen)
    kernel = averaged.parameters["out.kernel"][:, TARGETS]
    expected = np.einsum("nhwk,kn->nhw", seen.activation, kernel)
    np.testing.assert_allclose(maps, expected, rtol=1e-4, atol=1e-5)
    scores = averaged.apply(X)[0][jnp.arange(len(X)), TARGETS]
    found = maps.mean(axis=(1, 2)) + averaged.parameters["out.bias"][TARGETS]
    np.testing.assert_allclose(found, scores, rtol=1e-4, atol=1e-5)
    # And Grad-CAM is its positive part, up to the number of positions.
    positive = np.maximum(np.asarray(maps), 0) / (6 * 6)
    np.testing.assert_allclose(gradcam(*seen), positive, rtol=1e-4, atol=1e-6)


def test_cam_finds_out_who_departs_from_its_form(model_of: Callable[..., Any]) -> None:
    def far(**changed: bool) -> tuple[float, float]:
        model = model_of(lambda rngs: Averaged(rngs, **changed), SPEC)
        varies, besides = departures(model, "conv2", X[:2])
        return float(varies), float(besides)

    varies, besides = far()
    assert max(varies, besides) < 1e-5
    assert far(rectified=True)[0] > 0.05
    varies, besides = far(shortcut=True)
    assert varies < 1e-5
    assert besides > 0.005


@pytest.mark.parametrize(
    ("changed", "reason"),
    [({"rectified": True}, "not the same at all positions"), ({"shortcut": True}, "goes past")],
)
def test_cam_refuses_other_forms(
    changed: dict[str, bool], reason: str, model_of: Callable[..., Any], run_method: Any
) -> None:
    spec = InputSpec(height=28, width=28, channels=1)
    model = model_of(lambda rngs: Averaged(rngs, channels=1, **changed), spec)
    with pytest.raises(NotApplicableError, match=f"a weighted sum of the means.*{reason}"):
        run_method("cam", model=model)


def test_cam_of_class_maps_is_the_channel(squeezenet: tuple[Any, jax.Array]) -> None:
    model, x = squeezenet
    varies, besides = departures(model, "conv10", jnp.concatenate([x, x[:, ::-1]]))
    assert max(float(varies), float(besides)) < 1e-4
    # A rectifier lies between fire9 and the mean.
    assert float(departures(model, "fire9", jnp.concatenate([x, -x]))[0]) > 0.01
    seen = jax.jit(capture, static_argnums=1)(model, "conv10", x, jnp.array([7]))
    np.testing.assert_allclose(cam(*seen)[0], seen.activation[0, :, :, 7], rtol=1e-4, atol=1e-4)


def test_cam_is_refused_on_the_command_line(
    reportgen: Callable[..., tuple[int, str, str]],
) -> None:
    code, _, errors = reportgen("method=cam")
    assert code == 2
    assert "cam needs a network that ends in the mean over positions" in " ".join(errors.split())
    assert "Take gradcam or hirescam" in errors
