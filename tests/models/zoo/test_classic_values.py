"""The classic networks compute what independent implementations compute, layer by layer.

At full width, on weights that are drawn from a seed. With PyTorch and Keras themselves, and with
what they once computed.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reportgen.config import read
from reportgen.models.load import open_network
from tests.at_once import at_once
from tests.peers.classic import PLACES, carried, described, picture, sampled

GOLDEN = Path(__file__).parents[2] / "goldens" / "zoo_classic.npz"
# Networks that are compared with a running PyTorch too.
LIVE = ("squeezenet1_0", "squeezenet1_1", "googlenet_bn", "vgg16")
LARGE = 3_000_000  # values of a kernel: those of dense layers that get a flattened map alone


def _computed(name: str, composed: Callable[..., Any], *, whole: bool) -> Any:
    """Of a network: its name, weights, input, logits and the layers' outputs.

    Unless the whole is asked for, large kernels are not drawn, and what they lead to is left out;
    then there are the outputs that the golden file has, and no others.
    """
    network = open_network(read(composed(f"model={name}", "weights=random")))
    model = network.with_weights(network.adapted.shapes)
    drawn = {
        path: shape
        for path, shape in model.parameters.items()
        if whole or math.prod(shape.shape) < LARGE
    }
    parameters = {ours: values for _, _, ours, values in carried(name, drawn)}
    absent = {path: given for path, given in model.parameters.items() if path not in drawn}
    paths = [layer.path for layer in model.layers if whole or layer.path in PLACES[name]]
    if absent:
        order = [layer.path for layer in model.layers]
        last = min(order.index(path.rpartition(".")[0]) for path in absent)
        paths = [path for path in paths if order.index(path) < last]
    x = model.spec.normalise(picture(model.spec.height, model.spec.width))

    def forward(parameters: dict[str, jax.Array], x: jax.Array) -> Any:
        zeros = {path: jnp.zeros(given.shape, given.dtype) for path, given in absent.items()}
        logits, activations = model.with_parameters(parameters | zeros).apply(x)
        return None if absent else logits, {path: activations[path] for path in paths}

    logits, activations = at_once(forward, parameters, x)
    return name, parameters, x, logits, activations


@pytest.fixture(scope="module")
def computed(composed: Callable[..., Any], request: pytest.FixtureRequest) -> Any:
    """A whole network.

    pytest orders tests by this fixture's parameter, so that each network is made once and only one
    is in memory.
    """
    return _computed(request.param, composed, whole=True)


def _assert_close(ours: Any, theirs: Any, what: str) -> None:
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape, what
    assert np.abs(ours - theirs).max() <= 1e-4 * np.abs(theirs).max(), what


def _golden(name: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN) as file:
        golden = {key.partition("/")[2]: file[key] for key in file if key.startswith(f"{name}/")}
    assert golden.keys() == {"logits", *PLACES[name]}
    return golden


@pytest.mark.parametrize(
    "name",
    [
        *("alexnet", "caffenet", "googlenet_bn", "squeezenet1_0"),
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("vgg16", "googlenet")),
    ],
)
def test_convolutions_at_full_width_against_what_pytorch_computed(
    name: str, composed: Callable[..., Any]
) -> None:
    """All of a network, but for large dense layers."""
    *_, logits, activations = _computed(name, composed, whole=False)
    golden = _golden(name)
    expected = golden.pop("logits")
    if logits is not None:
        _assert_close(logits[0, :20], expected, "logits")
    compared = golden.keys() & activations.keys()
    assert len(compared) >= 2
    for path in compared:
        _assert_close(sampled(activations[path]), golden[path], path)


@pytest.mark.slow
@pytest.mark.parametrize("computed", PLACES, indirect=True)
def test_against_what_pytorch_computed(computed: Any) -> None:
    name, _, _, logits, activations = computed
    golden = _golden(name)
    _assert_close(logits[0, :20], golden.pop("logits"), "logits")
    for path, values in golden.items():
        _assert_close(sampled(activations[path]), values, path)


@pytest.mark.peer
@pytest.mark.parametrize("computed", LIVE, indirect=True)
def test_against_pytorch(computed: Any) -> None:
    from tests.peers import torch_classic

    name, _, x, logits, activations = computed
    places = PLACES[name]
    network = torch_classic.filled(name)
    expected, kept = torch_classic.outputs(network, x, list(places.values()))
    _assert_close(logits, expected, "logits")
    for ours, theirs in places.items():
        _assert_close(activations[ours], kept[theirs], ours)


@pytest.mark.slow
@pytest.mark.parametrize("computed", ["vgg16"], indirect=True)
def test_against_keras(computed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "KERAS_BACKEND", "jax")
    import keras

    name, parameters, x, logits, activations = computed
    network = keras.applications.VGG16(weights=None, classifier_activation=None)
    given = {theirs: ours for ours, theirs in described(name).published()["keras"].items()}
    for layer in network.layers:
        if layer.weights:
            ours = given.pop(layer.name)
            layer.set_weights([parameters[f"{ours}.kernel"], parameters[f"{ours}.bias"]])
    assert not given
    paths = ["block1_conv1", "block3_pool", "block5_conv3", "flatten", "fc2"]
    wanted = [network.get_layer(path).output for path in paths]
    *kept, expected = keras.Model(network.input, [*wanted, network.output])(x)
    _assert_close(logits, expected, "logits")
    for path, values in zip(paths, kept, strict=True):
        _assert_close(activations[path], values, path)
