"""Keras models as users write them, against Keras's own evaluation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

from reportgen.core.errors import ModelError
from reportgen.core.spec import InputSpec
from reportgen.models.base import Model
from tests.at_once import at_once

from .keras_modules import Subclassed, keras, unbuilt
from .networks import X, assert_close, beside, keras_of, listed

layers = keras.layers

SPEC = InputSpec(height=8, width=8, channels=3, fixed_size=True)
# NumPy 2 wants of Keras's variables what they do not take.
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.usefixtures("undrawn"),
]

Make = Callable[..., Model]


def of(model: Any, *layer: str) -> Any:
    """A Keras model that returns the outputs of layers."""
    return keras.Model(model.inputs, [model.get_layer(name).output for name in layer])


def sequential() -> Any:
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Rescaling(0.5, offset=0.1, name="rescale"),
            layers.Conv2D(4, 3, activation="relu", name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.Dropout(0.5, name="drop"),
            layers.GlobalAveragePooling2D(name="pool"),
            layers.Dense(3, name="out"),
        ]
    )


def functional() -> Any:
    """A shared layer that is called twice, and branches."""
    image = keras.Input((8, 8, 3))
    shared = layers.Conv2D(3, 3, padding="same", name="shared")
    side = layers.SeparableConv2D(3, 3, padding="same", name="side")(image)
    x = layers.Add(name="add")([shared(shared(image)), side])
    x = layers.Concatenate(name="cat")([layers.ReLU(name="relu")(x), side])
    x = layers.Flatten(name="flat")(layers.MaxPooling2D(name="pool")(x))
    return keras.Model(image, layers.Dense(3, name="out")(x))


def nested() -> Any:
    inner = [keras.Input((8, 8, 3)), layers.Conv2D(4, 3, name="conv"), layers.ReLU(name="relu")]
    inner.insert(2, layers.BatchNormalization(name="norm"))
    image = keras.Input((8, 8, 3))
    x = keras.Sequential(inner, name="inner")(image)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(image, layers.Dense(3, name="out")(x))


def preprocessing() -> Any:
    """What Keras does to images in training alone is not done."""
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[1.0, 2.0, 3.0], name="scale"),
            layers.RandomFlip(name="flip"),
            layers.RandomRotation(0.2, name="rotate"),
            layers.GaussianNoise(1.0, name="noise"),
            layers.Conv2D(4, 3, name="conv"),
            layers.GlobalAveragePooling2D(name="pool"),
            layers.Dense(3, name="out"),
        ]
    )


def attentive() -> Any:
    image = keras.Input((8, 8, 3))
    x = layers.Reshape((64, 3), name="tokens")(image)
    x = layers.MultiHeadAttention(2, 4, dropout=0.5, name="mix")(x, x)
    return keras.Model(image, layers.Dense(3, name="out")(x[:, 0]))


LISTED = {
    sequential: [
        ("rescale", "block", (8, 8, 3)),
        ("conv", "conv", (6, 6, 4)),
        ("norm", "norm", (6, 6, 4)),
        ("drop", "dropout", (6, 6, 4)),
        ("pool", "pool", (4,)),
        ("out", "dense", (3,)),
    ],
    unbuilt: [("conv", "conv", (6, 6, 4)), ("flat", "flatten", (144,)), ("out", "dense", (3,))],
    functional: [
        ("shared", "conv", (8, 8, 3)),
        ("side", "conv", (8, 8, 3)),
        ("shared#2", "conv", (8, 8, 3)),
        ("add", "add", (8, 8, 3)),
        ("relu", "activation", (8, 8, 3)),
        ("cat", "concat", (8, 8, 6)),
        ("pool", "pool", (4, 4, 6)),
        ("flat", "flatten", (96,)),
        ("out", "dense", (3,)),
    ],
    nested: [
        ("inner.conv", "conv", (6, 6, 4)),
        ("inner.norm", "norm", (6, 6, 4)),
        ("inner.relu", "activation", (6, 6, 4)),
        ("inner", "block", (6, 6, 4)),
        ("pool", "pool", (4,)),
        ("out", "dense", (3,)),
    ],
    preprocessing: [
        ("scale", "norm", (8, 8, 3)),
        ("flip", "block", (8, 8, 3)),
        ("rotate", "block", (8, 8, 3)),
        ("noise", "dropout", (8, 8, 3)),
        ("conv", "conv", (6, 6, 4)),
        ("pool", "pool", (4,)),
        ("out", "dense", (3,)),
    ],
    attentive: [
        ("tokens", "reshape", (64, 3)),
        ("mix.query", "dense", (64, 2, 4)),
        ("mix.key", "dense", (64, 2, 4)),
        ("mix.value", "dense", (64, 2, 4)),
        ("mix.softmax", "softmax", (2, 64, 64)),
        ("mix.dropout", "dropout", (2, 64, 64)),
        ("mix.attention_output", "dense", (64, 3)),
        ("mix", "attention", (64, 3)),
        ("out", "dense", (3,)),
    ],
}


@pytest.mark.parametrize("network", LISTED, ids=lambda network: network.__name__)
def test_layers_are_named_as_keras_names_them_and_computed_as_keras_does(
    network: Any, opened_once: Make
) -> None:
    model = opened_once(network)
    assert listed(model) == LISTED[network]
    names = [path for path, _, _ in LISTED[network] if "." not in path and "#" not in path]
    theirs = keras_of(model)
    inside = of(theirs, *names)
    (logits, activations), (expected, values) = beside(
        model, lambda _, x: (theirs(x, training=False), inside(x, training=False))
    )
    assert_close(logits, expected)
    for name, value in zip(names, values, strict=True):
        if name != "shared":  # Keras gives the output of the last call
            assert_close(activations[name], value)
    assert sum(layer.parameter_count for layer in model.layers) == model.parameter_count
    measured = {v.path for v in theirs.non_trainable_variables if "moving" in v.path}
    assert len(model.statistics) == len(measured)
    assert model.statistics_count == sum(layer.statistics_count for layer in model.layers)


def test_every_call_of_a_shared_layer_has_its_own_output(opened_once: Make) -> None:
    model = opened_once(functional)
    shared = keras_of(model).get_layer("shared")

    def all_of_it(model: Model, x: jax.Array, step: jax.Array) -> Any:
        once = shared(x)
        return (
            model.apply(x),
            model.apply(x, {"shared": step}),
            (
                once,
                shared(once),
                shared(once + step),
            ),
        )

    step = np.full((2, 8, 8, 3), 0.1, np.float32)
    (logits, activations), moved, (once, twice, twice_moved) = at_once(all_of_it, model, X, step)
    assert_close(activations["shared"], once)
    assert_close(activations["shared#2"], twice)
    assert_close(moved[1]["shared#2"], twice_moved)
    assert np.abs(moved[0] - logits).max() > 1e-3


@pytest.mark.parametrize(
    ("network", "path", "rest"),
    [
        (sequential, "norm", ("drop", "pool", "out")),
        (nested, "inner", ("pool", "out")),
        (unbuilt, "conv", ("flat", "out")),
    ],
)
def test_a_tap_moves_the_output_of_its_layer(
    network: Any, path: str, rest: tuple[str, ...], opened_once: Make
) -> None:
    model = opened_once(network)
    step = np.random.default_rng(5).normal(0, 0.1, (2, 6, 6, 4)).astype(np.float32)
    theirs = keras_of(model)
    front = of(theirs, path)

    def all_of_it(model: Model, x: jax.Array, step: jax.Array) -> Any:
        output = front(x, training=False)
        expected = (output[0] if isinstance(output, list) else output) + step
        for name in rest:
            expected = theirs.get_layer(name)(expected)
        return model.apply(x)[0], model.apply(x, {path: step})[0], expected

    unmoved, logits, expected = at_once(all_of_it, model, X, step)
    assert_close(logits, expected)
    assert np.abs(logits - unmoved).max() > 1e-4


def two_images() -> Any:
    images = [keras.Input((8, 8, 3)), keras.Input((8, 8, 3))]
    return keras.Model(images, layers.Flatten()(layers.Add()(images)), name="pair")


def larger() -> Any:
    image = keras.Input((9, 10, 3))
    return keras.Model(image, layers.Flatten()(image), name="larger")


class Grey(Subclassed):
    def call(self, x: Any) -> Any:
        if x.shape[-1] != 1:
            raise ValueError("grey images only")


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (
            two_images,
            "The Keras model 'pair' takes 2 inputs; reportgen gives it one batch of images.",
        ),
        (
            larger,
            "The Keras model 'larger' takes (height, width, channels) (9, 10, 3), found "
            "model.input (8, 8, 3).\n"
            "Set model.input.height=9 model.input.width=10 model.input.channels=3.",
        ),
        (
            Grey,
            "The Keras model 'grey' cannot be built on an input of (8, 8, 3) (height, width, "
            "channels): grey images only\n"
            "Compare model.input with what it expects.",
        ),
    ],
)
def test_a_model_that_does_not_fit_is_refused(
    network: Any, message: str, opened_once: Make
) -> None:
    with pytest.raises(ModelError) as caught:
        opened_once(network)
    assert str(caught.value) == message
