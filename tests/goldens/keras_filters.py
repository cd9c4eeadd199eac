"""Makes keras_filters.npz: filter synthesis by Keras 3 and Pillow, for a test of ``filters``.

Run it where keras, jax and pillow are installed: ``python tests/goldens/keras_filters.py``. It was
made with Keras 3.15.1, JAX 0.10.2 and Pillow 13.0. The procedure is that of Keras's
examples/conv_filter_visualization.py, with one repair: the script's ``deprocess_image`` changes the
picture it is given, so that the "former mean and variance" it asks for afterwards are lost; here it
works on a copy. ``bytes`` rounds the picture at every scale, as the script does; ``floats`` resizes
in floating point.
"""

from __future__ import annotations

import os
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"

import jax
import keras
import numpy as np
from PIL import Image

SIZE, SCALES, FACTOR, STEPS = 30, 4, 1.2, 6
UNITS, DEAD = 5, 3


def network() -> tuple[keras.Model, dict[str, np.ndarray]]:
    """Two convolutions with rectifiers and a pooling between; one filter never responds."""
    rng = np.random.default_rng(7)
    weights = {
        "conv1.kernel": rng.normal(0, 0.3, (3, 3, 3, 6)).astype("float32") / 64,
        "conv1.bias": rng.normal(0, 0.1, 6).astype("float32"),
        "conv2.kernel": rng.normal(0, 0.2, (3, 3, 6, UNITS)).astype("float32"),
        "conv2.bias": np.full(UNITS, 0.3, "float32"),
    }
    weights["conv2.kernel"][..., DEAD] = 0
    weights["conv2.bias"][DEAD] = -1
    model = keras.Sequential(
        [
            keras.Input((None, None, 3)),
            keras.layers.Conv2D(6, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(UNITS, 3, activation="relu"),
        ]
    )
    model.set_weights(list(weights.values()))
    return model, weights


def standardised(picture: np.ndarray) -> np.ndarray:
    centred = picture - picture.mean()
    return np.clip(centred / (centred.std() + keras.backend.epsilon()) * 0.25 + 0.5, 0, 1)


def enlarged(picture: np.ndarray, side: int, in_bytes: bool) -> np.ndarray:
    """A picture in [0, 1] resized by Pillow."""
    if in_bytes:
        image = Image.fromarray((picture * 255).astype("uint8"))
        return np.asarray(image.resize((side, side), Image.Resampling.BICUBIC)) / 255
    planes = [
        Image.fromarray(picture[..., c].astype("float32")).resize(
            (side, side), Image.Resampling.BICUBIC
        )
        for c in range(3)
    ]
    return np.stack([np.asarray(plane) for plane in planes], axis=-1)


def synthesise(
    model: keras.Model, unit: int, start: np.ndarray, in_bytes: bool
) -> tuple[np.ndarray, float] | None:
    """The picture in [0, 1] and the last loss, or None for a filter without response."""
    trainable = [v.value for v in model.trainable_variables]

    @jax.jit
    def iterate(x):
        def loss(x):
            return model.stateless_call(trainable, [], x)[0][..., unit].mean()

        value, gradient = jax.value_and_grad(loss)(x)
        rms = keras.ops.sqrt(keras.ops.mean(keras.ops.square(gradient)))
        return value, gradient / (rms + keras.backend.epsilon())

    picture = start.astype("float64")
    for up in reversed(range(SCALES)):
        for _ in range(STEPS):
            value, gradient = iterate(picture[None].astype("float32"))
            picture = picture + np.asarray(gradient[0])
            if value <= keras.backend.epsilon():
                return None
        larger = enlarged(standardised(picture), int(SIZE / FACTOR**up), in_bytes)
        picture = (larger - 0.5) * 4 * picture.std() + picture.mean()
    return standardised(picture), float(value)


def main() -> None:
    model, arrays = network()
    side = int(SIZE / FACTOR**SCALES)
    rng = np.random.default_rng(8)
    start = ((rng.random((UNITS, side, side, 3)) - 0.5) * 20 + 128).astype("float32")
    arrays["start"] = start
    alive = [unit for unit in range(UNITS) if unit != DEAD]
    assert synthesise(model, DEAD, start[DEAD], False) is None
    for name, in_bytes in (("floats", False), ("bytes", True)):
        made = [synthesise(model, unit, start[unit], in_bytes) for unit in alive]
        arrays[name] = np.stack([picture for picture, _ in made]).astype("float32")
        arrays[f"{name}_loss"] = np.array([loss for _, loss in made], "float32")
    np.savez_compressed(Path(__file__).with_suffix(".npz"), **arrays)


if __name__ == "__main__":
    main()
