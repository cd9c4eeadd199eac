"""Keras models as users write them, against Keras's own evaluation."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from reportgen.core.errors import ModelError
from reportgen.core.spec import InputSpec
from reportgen.models.base import Model

from .networks import LARGE, X, assert_close, keras_of, listed, run

os.environ.setdefault("KERAS_BACKEND", "jax")  # read by Keras when it is first imported
keras: Any = importlib.import_module("keras")
layers = keras.layers

SPEC = InputSpec(height=8, width=8, channels=3, fixed_size=True)
# NumPy 2 wants of Keras's variables what they do not take.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

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


def unbuilt() -> Any:
    return keras.Sequential(
        [layers.Conv2D(4, 3, name="conv"), layers.Flatten(name="flat"), layers.Dense(3, name="out")]
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
    theirs, (logits, activations) = keras_of(model), run(model, X)
    assert_close(logits, theirs(X, training=False))
    names = [path for path, _, _ in LISTED[network] if "." not in path and "#" not in path]
    for name, value in zip(names, of(theirs, *names)(X, training=False), strict=True):
        if name != "shared":  # Keras gives the output of the last call
            assert_close(activations[name], value)
    assert sum(layer.parameter_count for layer in model.layers) == model.parameter_count
    measured = {v.path for v in theirs.non_trainable_variables if "moving" in v.path}
    assert len(model.statistics) == len(measured)
    assert model.statistics_count == sum(layer.statistics_count for layer in model.layers)


def test_every_call_of_a_shared_layer_has_its_own_output(opened_once: Make) -> None:
    model = opened_once(functional)
    theirs, (logits, activations) = keras_of(model).get_layer("shared"), run(model, X)
    assert_close(activations["shared"], theirs(X))
    assert_close(activations["shared#2"], theirs(theirs(X)))
    moved = run(model, X, {"shared": jnp.full((2, 8, 8, 3), 0.1)})
    assert_close(moved[1]["shared#2"], theirs(theirs(X) + 0.1))
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
    step = jnp.asarray(np.random.default_rng(5).normal(0, 0.1, (2, 6, 6, 4)), jnp.float32)
    theirs = keras_of(model)
    x = of(theirs, path)(X, training=False)
    expected = (x[0] if isinstance(x, list) else x) + step
    for name in rest:
        expected = theirs.get_layer(name)(expected)
    logits = run(model, X, {path: step})[0]
    assert_close(logits, expected)
    assert np.abs(logits - run(model, X)[0]).max() > 1e-4


class Block(layers.Layer):  # type: ignore[misc, name-defined]
    def __init__(self, width: int, **more: Any) -> None:
        super().__init__(**more)
        self.conv = layers.Conv2D(width, 3, padding="same", name="conv")
        self.norm = layers.BatchNormalization(name="norm")

    def build(self, shape: Any) -> None:
        self.conv.build(shape)
        self.norm.build(self.conv.compute_output_shape(shape))

    def call(self, x: Any, training: Any = None) -> Any:
        return keras.ops.relu(self.norm(self.conv(x), training=training))


class Subclassed(keras.Model):  # type: ignore[misc, name-defined]
    """Training is an argument that is handed on."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Block(4, name="stem")
        self.blocks = [Block(4, name=f"block{i}") for i in range(2)]
        self.drop = layers.Dropout(0.5, name="drop")
        self.out = layers.Dense(3, name="out")

    def build(self, shape: Any) -> None:
        for i, block in enumerate((self.stem, *self.blocks)):
            block.build((*shape[:3], 4) if i else shape)
        self.out.build((None, 4))

    def call(self, x: Any, training: Any = True) -> Any:
        x = self.stem(x, training=training)
        for block in self.blocks:
            x = block(x, training=training)
        return self.out(self.drop(keras.ops.mean(x, (1, 2)), training=training))


class Silent(Subclassed):
    """The call takes no such argument."""

    def call(self, x: Any) -> Any:
        for block in (self.stem, *self.blocks):
            x = block(x)
        return self.out(self.drop(keras.ops.mean(x, (1, 2))))


class Fixed(Subclassed):
    """Training is written into the calls."""

    def call(self, x: Any) -> Any:
        for block in (self.stem, *self.blocks):
            x = block(x, training=True)
        return self.out(self.drop(keras.ops.mean(x, (1, 2)), training=True))


@pytest.mark.parametrize("network", [Subclassed, Silent, Fixed])
def test_a_subclassed_model_is_run_in_evaluation_mode_however_it_says_that(
    network: Any, opened_once: Make
) -> None:
    model = opened_once(network)
    blocks = ("stem", "block0", "block1")
    inner = (("conv", "conv"), ("norm", "norm"))
    assert listed(model) == [
        *(
            (path, kind, (8, 8, 4))
            for block in blocks
            for path, kind in (*((f"{block}.{k}", v) for k, v in inner), (block, "block"))
        ),
        ("drop", "dropout", (4,)),
        ("out", "dense", (3,)),
    ]
    before = {name: np.array(value) for name, value in model.parameters.items()}
    theirs, (logits, activations) = keras_of(model), run(model, X)
    assert_close(logits, Subclassed.call(theirs, X, training=False))
    normalised = theirs.stem.norm(activations["stem.conv"], training=False)
    assert_close(activations["stem.norm"], normalised)
    np.testing.assert_array_equal(run(model, X)[0], logits)
    for name, value in before.items():
        np.testing.assert_array_equal(model.parameters[name], value)


def several() -> Any:
    image = keras.Input((8, 8, 3))
    x = layers.GlobalAveragePooling2D(name="pool")(layers.Conv2D(4, 3, name="conv")(image))
    outputs = {"logits": layers.Dense(3, name="out")(x), "aux": layers.Dense(5, name="aux")(x)}
    return keras.Model(image, outputs)


def as_list() -> Any:
    model = several()
    return keras.Model(model.inputs, [model.output["logits"], model.output["aux"]])


@pytest.mark.parametrize(
    ("network", "output", "layer"),
    [(several, "logits", "out"), (several, "aux", "aux"), (as_list, "1", "aux")],
)
def test_an_output_is_chosen_by_key_or_place(
    network: Any, output: str, layer: str, opened_once: Make
) -> None:
    model = opened_once(network, output=output)
    scores, activations = run(model, X)
    returned = keras_of(model)(X, training=False)
    assert_close(scores, returned[int(output) if output.isdigit() else output])
    assert_close(scores, activations[layer])


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
    ("network", "output", "message"),
    [
        (
            several,
            "logit",
            "The network has no output 'logit': it returns aux (5,), logits (3,).\n"
            "Did you mean logits?",
        ),
        (
            two_images,
            "",
            "The Keras model 'pair' takes 2 inputs; reportgen gives it one batch of images.",
        ),
        (
            larger,
            "",
            "The Keras model 'larger' takes (height, width, channels) (9, 10, 3), found "
            "model.input (8, 8, 3).\n"
            "Set model.input.height=9 model.input.width=10 model.input.channels=3.",
        ),
        (
            Grey,
            "",
            "The Keras model 'grey' cannot be built on an input of (8, 8, 3) (height, width, "
            "channels): grey images only\n"
            "Compare model.input with what it expects.",
        ),
    ],
)
def test_a_model_that_does_not_fit_is_refused(
    network: Any, output: str, message: str, opened_once: Make
) -> None:
    with pytest.raises(ModelError) as caught:
        opened_once(network, output=output)
    assert str(caught.value) == message


def any_size() -> Any:
    image = keras.Input((None, None, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, name="conv")(image))
    return keras.Model(image, layers.Dense(3)(x))


def test_a_model_of_any_size_takes_images_of_any_size(opened_once: Make) -> None:
    model = opened_once(any_size)
    assert_close(run(model, LARGE)[0], keras_of(model)(LARGE, training=False))
    front = opened_once(unbuilt)
    assert_close(front.activation("conv", LARGE), keras_of(front).get_layer("conv")(LARGE))
