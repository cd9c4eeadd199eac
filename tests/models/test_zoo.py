"""The embedded networks are the published ones, and as good as they say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from reportgen.compose import conf_dir
from reportgen.config import read
from reportgen.engine.rows import Engine
from reportgen.methods.targets import predict
from reportgen.models.base import count
from reportgen.models.load import open_network
from tests.at_once import at_once

from .networks import run

# Output shapes of Caffe's lenet_train_test.prototxt and of Keras's mnist_cnn.py.
BLOBS = {
    "lenet": {
        "conv1": (24, 24, 20),
        "pool1": (12, 12, 20),
        "conv2": (8, 8, 50),
        "pool2": (4, 4, 50),
        "ip1": (500,),
        "relu1": (500,),
        "ip2": (10,),
        "prob": (10,),
    },
    "digits_cnn": {
        "conv1": (26, 26, 32),
        "conv2": (24, 24, 64),
        "pool1": (12, 12, 64),
        "dense1": (128,),
        "dense2": (10,),
        "prob": (10,),
    },
}
COUNTS = {"lenet": 431_080, "digits_cnn": 1_199_882}


@pytest.mark.parametrize("name", BLOBS)
def test_shapes_parameters_and_accuracy(name: str, opened: Any, digits: Any) -> None:
    model = opened(f"model={name}")
    shapes = {layer.path: layer.shape for layer in model.layers}
    assert BLOBS[name].items() <= shapes.items()
    assert model.parameter_count == COUNTS[name]
    logits = predict(Engine.local(64), model, digits, len(digits))
    assert len(digits) == 200
    assert (logits.argmax(axis=-1) == digits.labels).mean() >= 0.97
    x = model.spec.normalise(digits.pixels[:3])
    probabilities = at_once(lambda m, x: m.apply(x)[1]["prob"], model, x)
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1.0, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "parameters", "statistics"),
    [
        ("resnet18", 11_689_512, 9_600),
        ("vit_b16", 86_567_656, 0),
        ("googlenet_bn", 6_624_904, 14_560),
    ],
)
def test_parameters_are_counted_as_published_and_as_the_configuration_says(
    name: str, parameters: int, statistics: int, composed: Any
) -> None:
    adapted = open_network(read(composed(f"model={name}"))).adapted
    measured = count(adapted.shapes, adapted.statistics)
    assert (count(adapted.shapes, adapted.shapes) - measured, measured) == (parameters, statistics)
    comment = (conf_dir() / "model" / f"{name}.yaml").read_text().partition("defaults:")[0]
    words = f"{parameters:,} parameters" + (f" and {statistics:,} batch" if statistics else "")
    assert words in comment.replace("\n# ", " ")


def test_lenet_against_numpy(lenet: Any, digits: Any, numpy_lenet: Any) -> None:
    """Every layer of LeNet by loops over NumPy arrays, in float64."""
    expected = numpy_lenet(digits.pixels[0].astype(np.float64) / 256)
    logits, activations = run(lenet, lenet.spec.normalise(digits.pixels[:1]))
    for name, values in expected.items():
        np.testing.assert_allclose(activations[name][0], values, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(logits, activations["ip2"])
