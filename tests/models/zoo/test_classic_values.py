"""The classic networks compute what independent implementations compute, layer by layer.

At full width, on weights that are drawn from a seed. With PyTorch and Keras where they are
installed, and with what they once computed everywhere.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.peers.classic import PLACES, carried, described, picture, sampled

GOLDEN = Path(__file__).parents[2] / "goldens" / "zoo_classic.npz"
# Networks that are compared with a running PyTorch too.
LIVE = ("squeezenet1_0", "squeezenet1_1", "googlenet_bn", "vgg16")


@pytest.fixture(scope="module")
def computed(opened: Callable[..., Any], request: pytest.FixtureRequest) -> Any:
    """Of one network: its name, weights, input, logits and all layers' outputs.

    pytest orders tests by this fixture's parameter, so that each network is made once and only one
    is in memory.
    """
    name = request.param
    # Only its shapes are asked for, so no random weights are made.
    model = jax.eval_shape(lambda: opened(f"model={name}", "weights=random"))
    parameters = {
        ours: jnp.asarray(values) for _, _, ours, values in carried(name, model.parameters)
    }
    x = model.spec.normalise(picture(model.spec.height, model.spec.width))
    logits, activations = jax.jit(lambda m, v: m.apply(v))(model.with_parameters(parameters), x)
    return name, parameters, x, logits, activations


def _assert_close(ours: Any, theirs: Any, what: str) -> None:
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape, what
    assert np.abs(ours - theirs).max() <= 1e-4 * np.abs(theirs).max(), what


@pytest.mark.parametrize("computed", PLACES, indirect=True)
def test_against_what_pytorch_computed(computed: Any) -> None:
    name, _, _, logits, activations = computed
    with np.load(GOLDEN) as file:
        golden = {key.partition("/")[2]: file[key] for key in file if key.startswith(f"{name}/")}
    _assert_close(logits[0, :20], golden.pop("logits"), "logits")
    assert sorted(golden) == sorted(PLACES[name])
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


@pytest.mark.peer
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
