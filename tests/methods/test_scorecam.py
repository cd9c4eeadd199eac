"""Score-CAM against loops and its peers, and the laws that it keeps."""

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

from reportgen.core.errors import ConfigError, NotApplicableError
from reportgen.methods.class_activation import enlarge
from reportgen.methods.scorecam import scorecam
from tests.at_once import at_once
from tests.methods.small_networks import SPEC, TARGETS, WEIGHTS, Small, X
from tests.peers.classic import carried, picture

GOLDENS = Path(__file__).parents[1] / "goldens"


@pytest.fixture(scope="module")
def network(model_of: Callable[..., Any]) -> Any:
    return model_of(Small, SPEC).with_parameters(WEIGHTS)


@pytest.fixture(scope="module")
def activations(network: Any) -> dict[str, np.ndarray]:
    """Of all images, by layer."""
    run = jax.jit(lambda m, x: m.apply(x)[1])
    return {name: np.asarray(a, np.float64) for name, a in run(network, X).items()}


CHOICES: dict[str, Any] = {"resize": "bilinear", "batch": 4}


@partial(jax.jit, static_argnums=1)
def seen_through(model: Any, layer: str, image: jax.Array, channel: jax.Array) -> jax.Array:
    """Scores of an image (H, W, C) behind one channel of a layer, enlarged and scaled to 0..1."""
    map_ = model.activation(layer, image[None])[..., channel]
    mask = enlarge(map_, 12, 12, "bilinear")[0]
    mask = (mask - mask.min()) / (mask.max() - mask.min())
    return model.apply((image * mask[..., None])[None])[0][0]


def by_loops(
    network: Any, layer: str, activations: np.ndarray, weight: str, channels: int | None
) -> np.ndarray:
    """Image by image, channel by channel."""
    made = []
    for image, target, a in zip(np.asarray(X), np.asarray(TARGETS), activations, strict=True):
        spread = a.std(axis=(0, 1))
        kept = np.argsort(-spread)[: channels or a.shape[-1]]
        kept = [k for k in kept if a[..., k].max() > a[..., k].min()]
        scores = []
        for k in kept:
            scores.append(np.asarray(seen_through(network, layer, image, k), np.float64))
        if weight == "probability":
            exponential = np.exp(scores)
            weights = exponential[:, target] / exponential.sum(axis=1)
        else:
            exponential = np.exp(np.array(scores)[:, target])
            weights = exponential / exponential.sum()
        total = sum(w * a[..., k] for w, k in zip(weights, kept, strict=True))
        made.append(np.maximum(total, 0))
    return np.stack(made)


CASES = [
    ("conv1", "probability", None),
    ("conv1", "channels", 3),
    ("conv2", "probability", 3),
    ("conv2", "channels", None),
]


@pytest.fixture(scope="module")
def found(network: Any) -> dict[Any, np.ndarray]:
    """Maps by layer, weight and number of channels; those of the peers too."""
    cases = [*CASES, ("conv1", "channels", None)]

    def run(model: Any, x: jax.Array) -> list[jax.Array]:
        activations = model.apply(x)[1]
        return [
            scorecam(
                model, x, TARGETS, activations[layer], weight=weight, channels=channels, **CHOICES
            )
            for layer, weight, channels in cases
        ]

    return dict(zip(cases, at_once(run, network, X), strict=True))


@pytest.mark.parametrize(("layer", "weight", "channels"), CASES)
def test_against_loops(
    layer: str, weight: str, channels: int | None, network: Any, activations: Any, found: Any
) -> None:
    expected = by_loops(network, layer, activations[layer], weight, channels)
    assert expected.max() > 0.1
    np.testing.assert_allclose(found[layer, weight, channels], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("file", "name", "weight"),
    [("keras", "small/scorecam", "probability"), ("torch", "small/score_cam", "channels")],
)
def test_against_peers(file: str, name: str, weight: str, found: Any) -> None:
    """tf-keras-vis and pytorch-grad-cam, at a layer of the input's size: enlarging differs."""
    with np.load(GOLDENS / f"class_activation_{file}.npz") as arrays:
        theirs = arrays[name]
    ours = found["conv1", weight, None]
    assert theirs.max() > 0
    assert np.abs(ours - theirs).max() <= 1e-4 * theirs.max()


def corners_on_corners(maps: jax.Array, height: int, width: int, resize: str) -> jax.Array:
    """Bilinear, as the peers enlarge masks."""

    def weights(large: int, small: int) -> np.ndarray:
        places = np.linspace(0, small - 1, large)
        return np.maximum(0, 1 - np.abs(places[:, None] - np.arange(small)))

    rows, columns = weights(height, maps.shape[1]), weights(width, maps.shape[2])
    return jnp.einsum("ih,jw,nhw->nij", rows, columns, maps, precision="highest")


@pytest.mark.slow
def test_squeezenet_against_tf_keras_vis(
    shaped: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With masks enlarged as it does, since no layer is of the input's size."""
    model = shaped("model=squeezenet1_0")
    placed = {ours: jnp.asarray(v) for _, _, ours, v in carried("squeezenet1_0", model.parameters)}
    model = model.with_parameters(placed)
    x = jnp.asarray(np.tanh(picture(227, 227) / 128 - 1), jnp.float32)
    monkeypatch.setattr("reportgen.methods.scorecam.enlarge", corners_on_corners)
    activation = jax.jit(lambda m, x: m.activation("fire9", x))(model, x)
    run = jax.jit(
        lambda m, x, a: scorecam(
            m, x, jnp.array([7]), a, weight="probability", channels=24, resize="bilinear", batch=4
        )
    )
    ours = np.asarray(run(model, x, activation))
    with np.load(GOLDENS / "class_activation_keras.npz") as arrays:
        theirs = arrays["squeezenet/scorecam"]
    assert ours.shape == theirs.shape
    assert theirs.max() > 0
    assert np.abs(ours - theirs).max() <= 1e-4 * theirs.max()


def test_over_all_classes_the_maps_sum_to_the_activation(network: Any, activations: Any) -> None:
    """Since behind every mask the probabilities sum to one; of rectified maps nothing is cut."""
    maps = np.float32(activations["conv2"][:1])
    each = {"weight": "probability", "channels": None, **CHOICES}

    def run(model: Any, x: jax.Array, maps: jax.Array) -> jax.Array:
        total: jax.Array = scorecam(model, x, jnp.arange(5), maps, **each).sum(axis=0)
        return total

    total = at_once(run, network, np.repeat(X[:1], 5, axis=0), maps.repeat(5, axis=0))
    varying = maps[0][..., maps[0].max(axis=(0, 1)) > maps[0].min(axis=(0, 1))]
    np.testing.assert_allclose(total, varying.sum(axis=-1), rtol=1e-4, atol=1e-5)


def test_no_batch_and_no_neighbour_changes_a_map(
    network: Any, activations: Any, found: dict[Any, np.ndarray]
) -> None:
    @partial(jax.jit, static_argnames="batch")
    def run(model: Any, x: jax.Array, targets: jax.Array, maps: jax.Array, batch: int) -> Any:
        each = {"weight": "probability", "channels": 3, "resize": "bilinear"}
        return scorecam(model, x, targets, maps, batch=batch, **each)

    maps = np.float32(activations["conv2"])
    for batch, images in ((1, range(len(X))), (100, [1])):
        for i in images:
            some = slice(i, i + 1)
            alone = run(network, X[some], TARGETS[some], maps[some], batch=batch)
            together = found["conv2", "probability", 3]
            np.testing.assert_allclose(alone[0], together[i], rtol=1e-4, atol=1e-6)


def test_no_more_inputs_than_a_batch_are_run_at_once(network: Any) -> None:
    """The largest array of a run does not grow with the number of channels and images."""

    def largest(channels: int, images: int) -> int:
        x = jnp.repeat(X[:1], images, axis=0)
        activation = network.activation("conv2", x)
        closed = jax.make_jaxpr(
            lambda x, a: scorecam(
                network,
                x,
                jnp.zeros(images, jnp.int32),
                a,
                weight="probability",
                channels=channels,
                resize="bilinear",
                batch=2,
            )
        )(x, activation)
        return max(
            v.aval.size
            for eqn in _walk(closed.jaxpr)
            for v in eqn.outvars
            if len(v.aval.shape) > 2 and v.aval.shape[-3:-1] == (12, 12)
        )

    assert largest(4, 1) == largest(8, 1) == largest(8, 4)


def _walk(jaxpr: Any) -> Any:
    for eqn in jaxpr.eqns:
        yield eqn
        for value in eqn.params.values():
            for inner in value if isinstance(value, tuple | list) else (value,):
                body = getattr(inner, "jaxpr", inner)
                if hasattr(body, "eqns"):
                    yield from _walk(body)


def test_constant_channels_say_nothing(
    network: Any, activations: Any, found: dict[Any, np.ndarray]
) -> None:
    activation = np.float32(activations["conv2"])
    more = np.concatenate([activation, np.full((3, 6, 6, 2), 7, np.float32)], axis=-1)

    @partial(jax.jit, static_argnames="weight")
    def run(model: Any, maps: jax.Array, weight: Any) -> jax.Array:
        return scorecam(model, X, TARGETS, maps, weight=weight, channels=None, **CHOICES)

    without = found["conv2", "channels", None]
    np.testing.assert_allclose(run(network, more, "channels"), without, rtol=1e-5, atol=1e-6)
    assert not np.asarray(run(network, np.ones_like(more), "channels")).any()
    # As probabilities each channel has a weight of its own, so that none can take from another.
    assert not np.asarray(run(network, np.ones_like(more), "probability")).any()


def test_more_channels_than_there_are_is_refused(run_method: Any) -> None:
    with pytest.raises(ConfigError, match=r"channels is 51, and conv2 has 50"):
        run_method("scorecam", "method.scorecam.channels=51")


def test_one_score_has_no_probability(
    model_of: Callable[..., Any], run_method: Any, lenet: Any
) -> None:
    from flax import nnx

    class One(nnx.Module):
        def __init__(self, rngs: nnx.Rngs) -> None:
            self.conv = nnx.Conv(1, 4, (3, 3), strides=4, rngs=rngs)
            self.out = nnx.Linear(4, 1, rngs=rngs)

        def __call__(self, x: jax.Array) -> jax.Array:
            return self.out(nnx.relu(self.conv(x)).mean((1, 2)))

    model = model_of(One, lenet.spec)
    with pytest.raises(NotApplicableError, match=r"net has one score.\n.*weight=channels"):
        run_method("scorecam", model=model)


def test_the_caption_counts_channels(run_method: Any, averaged: Any) -> None:
    overrides = ("method.scorecam.count=1", "method.scorecam.channels=6")
    (group,) = run_method("scorecam", *overrides, model=averaged).blocks
    assert "6 of 8 channels" in group.blocks[0].caption.detail
