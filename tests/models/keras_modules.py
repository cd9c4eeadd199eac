"""Keras models as users write them."""

from __future__ import annotations

import importlib
import os
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")  # read by Keras when it is first imported
keras: Any = importlib.import_module("keras")
layers = keras.layers


def unbuilt() -> Any:
    return keras.Sequential(
        [layers.Conv2D(4, 3, name="conv"), layers.Flatten(name="flat"), layers.Dense(3, name="out")]
    )


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


def several() -> Any:
    image = keras.Input((8, 8, 3))
    x = layers.GlobalAveragePooling2D(name="pool")(layers.Conv2D(4, 3, name="conv")(image))
    outputs = {"logits": layers.Dense(3, name="out")(x), "aux": layers.Dense(5, name="aux")(x)}
    return keras.Model(image, outputs)


def as_list() -> Any:
    model = several()
    return keras.Model(model.inputs, [model.output["logits"], model.output["aux"]])


def any_size() -> Any:
    image = keras.Input((None, None, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, name="conv")(image))
    return keras.Model(image, layers.Dense(3)(x))
