"""Keras models that are saved, or that Keras itself builds, through the configuration."""

from __future__ import annotations

import importlib
import math
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from reportgen.config import read
from reportgen.core.errors import ModelError, WeightsError
from reportgen.models.base import Model
from reportgen.models.load import open_network

from .networks import assert_close, beside, keras_of, listed

os.environ.setdefault("KERAS_BACKEND", "jax")  # read by Keras when it is first imported
keras: Any = importlib.import_module("keras")
layers = keras.layers

# NumPy 2 wants of Keras's variables what they do not take.
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.usefixtures("undrawn"),
]


def test_a_saved_model_is_opened_with_its_weights(
    opened: Callable[..., Model], tmp_path: Path
) -> None:
    saved = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Rescaling(0.5, name="rescale"),
            layers.Conv2D(4, 3, activation="relu", name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.GlobalAveragePooling2D(name="pool"),
            layers.Dense(3, name="out"),
        ]
    )
    draw = np.random.default_rng(4)
    saved.set_weights([draw.uniform(0.1, 1, size=weight.shape) for weight in saved.weights])
    path = tmp_path / "net.keras"
    saved.save(path)
    chosen = ("model.input.height=8", "model.input.width=8")
    model = opened("model=custom", f"model.factory={path}", *chosen)
    assert listed(model) == [
        ("rescale", "block", (8, 8, 3)),
        ("conv", "conv", (6, 6, 4)),
        ("norm", "norm", (6, 6, 4)),
        ("pool", "pool", (4,)),
        ("out", "dense", (3,)),
    ]
    (logits, _), expected = beside(model, lambda _, x: saved(x, training=False))
    assert_close(logits, expected)
    with pytest.raises(ModelError, match=rf"There is no Keras file .*nett\.keras[\s\S]*{path}"):
        opened("model=custom", f"model.factory={tmp_path / 'nett.keras'}", *chosen)
    whole = path.read_bytes()
    middle = len(whole) // 2
    path.write_bytes(whole[:middle] + b"\xff" * 99 + whole[middle + 99 :])
    with pytest.raises(
        WeightsError, match=r"is not a whole \.keras file: ValueError: .* is damaged"
    ):
        opened("model=custom", f"model.factory={path}", *chosen)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(ModelError, match=rf"Keras cannot load {path}: "):
        opened("model=custom", f"model.factory={path}", *chosen)
    path.write_bytes(whole[:500])
    with pytest.raises(WeightsError, match=rf"^{path} \(500 bytes\) is not a whole \.keras"):
        opened("model=custom", f"model.factory={path}", *chosen)


def test_a_changed_bit_in_a_saved_model_is_found(
    opened: Callable[..., Model], tmp_path: Path
) -> None:
    """Keras reads a file of more than a few kilobytes here and there, past its checksum."""
    path = tmp_path / "net.keras"
    saved = keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(99)])
    saved.save(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"ValueError: model\.weights\.h5 is damaged"):
        opened(
            "model=custom", f"model.factory={path}", "model.input.height=8", "model.input.width=8"
        )


MOBILENET = (
    "model=custom",
    "model.factory=keras.applications:MobileNetV2",
    "+model.kwargs={input_shape:[32,32,3],alpha:0.35,classes:7}",
    "model.input.height=32",
    "model.input.width=32",
    "weights=random",
)


def test_a_factory_of_keras_applications_is_described_as_published(
    composed: Callable[..., Any],
) -> None:
    """Without weights: what the narrowest of its family is made of."""
    network = open_network(read(composed(*MOBILENET)))
    outline, theirs = network.outline, network.adapted.network
    sizes = {name: math.prod(given.shape) for name, given in network.adapted.shapes.items()}
    # Keras counts 1,691,208 with a thousand classes, of which each has 1,280 and a bias.
    assert sum(sizes.values()) == 1_691_208 - 993 * 1281
    names = [layer.name for layer in theirs.layers if not layer.name.startswith(("input", "glob"))]
    assert {layer.path for layer in outline.layers} == {*names, "global_average_pooling2d"}
    assert (outline.outputs, outline.head.ends_in) == (7, "softmax")


@pytest.mark.slow
def test_a_network_of_keras_applications_computes_what_keras_does(
    opened: Callable[..., Model],
) -> None:
    model = opened(*MOBILENET)
    assert model.head.ends_in == "softmax"
    draw = np.random.default_rng(2)
    images = draw.normal(size=(2, 32, 32, 3)).astype(np.float32)
    model = model.with_parameters(
        {
            path: jnp.asarray(
                draw.normal(0, 1 / math.sqrt(math.prod(value.shape[:-1])), value.shape)
                if value.ndim > 1
                else draw.uniform(0.5, 1, value.shape),
                value.dtype,
            )
            for path, value in model.parameters.items()
        }
    )
    theirs = keras_of(model)
    assert model.parameter_count == theirs.count_params()
    (scores, _), probabilities = beside(model, lambda _, x: theirs(x, training=False), images)
    exponentials = np.exp(scores - scores.max(1, keepdims=True))
    assert_close(exponentials / exponentials.sum(1, keepdims=True), probabilities)
