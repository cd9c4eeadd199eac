"""Keras models that are saved, or that Keras itself builds, through the configuration."""

from __future__ import annotations

import importlib
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from reportgen.core.errors import ModelError, WeightsError
from reportgen.models.base import Model

from .networks import X, assert_close, keras_of, listed, run

os.environ.setdefault("KERAS_BACKEND", "jax")  # read by Keras when it is first imported
keras: Any = importlib.import_module("keras")
layers = keras.layers

# NumPy 2 wants of Keras's variables what they do not take.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


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
    saved.get_layer("norm").moving_mean.assign(np.array([0.1, 0.2, -0.3, 0.4]))
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
    assert_close(run(model, X)[0], saved(X, training=False))
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


def test_a_factory_of_keras_applications_makes_the_published_network(
    opened: Callable[..., Model],
) -> None:
    made: dict[str, Any] = {"input_shape": (32, 32, 3), "alpha": 0.35, "classes": 7}
    model = opened(
        "model=custom",
        "model.factory=keras.applications:MobileNetV2",
        "+model.kwargs={input_shape:[32,32,3],alpha:0.35,classes:7}",
        "model.input.height=32",
        "model.input.width=32",
        "weights=random",
    )
    theirs = keras.applications.MobileNetV2(weights=None, **made)
    assert model.parameter_count == theirs.count_params()
    names = [layer.name for layer in theirs.layers if not layer.name.startswith(("input", "glob"))]
    assert {layer.path for layer in model.layers} == {*names, "global_average_pooling2d"}
    images = jnp.asarray(np.random.default_rng(2).normal(size=(2, 32, 32, 3)), jnp.float32)
    probabilities = keras_of(model)(images, training=False)
    assert model.head.ends_in == "softmax"
    scores = np.asarray(run(model, images)[0])
    exponentials = np.exp(scores - scores.max(1, keepdims=True))
    assert_close(exponentials / exponentials.sum(1, keepdims=True), probabilities)
