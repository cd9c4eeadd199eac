"""Makes class_activation_keras.npz: maps of tf-keras-vis, for tests of class activation.

Run it where tensorflow, tf-keras-vis, scipy and this project are installed:
``python tests/goldens/class_activation_keras.py``. It was made with tf-keras-vis 0.8.7, TensorFlow
2.21 and Keras 3.15. The maps are those before enlarging and scaling to 0..1.
"""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np
import scipy.ndimage

# tf-keras-vis imports zoom from where SciPy kept it until its version 2.
sys.modules.setdefault("scipy.ndimage.interpolation", scipy.ndimage)

from tf_keras_vis.gradcam import Gradcam  # noqa: E402
from tf_keras_vis.gradcam_plus_plus import GradcamPlusPlus  # noqa: E402
from tf_keras_vis.layercam import Layercam  # noqa: E402
from tf_keras_vis.scorecam import Scorecam  # noqa: E402
from tf_keras_vis.utils.scores import CategoricalScore  # noqa: E402

# It also brings a package of the name tests.
sys.path.insert(0, str(Path(__file__).parents[1] / "peers"))
import classic  # noqa: E402
import small  # noqa: E402

SQUEEZENET = (227, 7)  # side of the input, class
CHANNELS = 24  # that Score-CAM uses of SqueezeNet's 512


def network() -> keras.Model:
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((small.SIZE, small.SIZE, small.CHANNELS)),
            layers.Conv2D(6, 3, padding="same", activation="relu", name="conv1"),
            layers.MaxPooling2D(),
            layers.Conv2D(8, 3, padding="same", activation="relu", name="conv2"),
            layers.Flatten(),
            layers.Dense(10, activation="relu"),
            layers.Dense(small.CLASSES),
        ]
    )
    model.set_weights(list(small.weights().values()))
    # As a functional model, whose layers have outputs to build another model on.
    return keras.Model(model.inputs, model.outputs)


def squeezenet() -> keras.Model:
    """SqueezeNet 1.0 up to its logits, with the weights drawn for torchvision's names.

    No pool of an input of 227 pixels has a window over the edge, so that ceiling and floor agree.
    """
    layers, kernels = keras.layers, {}

    def rectified(
        name: str, theirs: str, x: keras.KerasTensor, filters: int, size: int, stride: int = 1
    ) -> keras.KerasTensor:
        kernels[name] = theirs, (filters, x.shape[-1], size, size)
        padding = "same" if size == 3 else "valid"
        return layers.Conv2D(filters, size, stride, padding, activation="relu", name=name)(x)

    x = start = keras.Input((SQUEEZENET[0], SQUEEZENET[0], 3))
    x = layers.MaxPooling2D(3, 2)(rectified("conv1", "features.0", x, 96, 7, stride=2))
    for fire, (place, squeeze) in enumerate(
        zip((3, 4, 5, 7, 8, 9, 10, 12), (16, 16, 32, 32, 48, 48, 64, 64), strict=True), start=2
    ):
        if fire in (5, 9):
            x = layers.MaxPooling2D(3, 2)(x)
        narrow = rectified(f"fire{fire}.squeeze", f"features.{place}.squeeze", x, squeeze, 1)
        wide = [
            rectified(
                f"fire{fire}.{size}", f"features.{place}.expand{size}x{size}", narrow,
                4 * squeeze, size,
            )
            for size in (1, 3)
        ]  # fmt: skip
        x = layers.Concatenate(name=f"fire{fire}")(wide)
    x = layers.GlobalAveragePooling2D()(rectified("conv10", "classifier.1", x, 1000, 1))
    model = keras.Model(start, x)
    for name, (theirs, shape) in kernels.items():
        kernel = classic.drawn(f"{theirs}.weight", shape).transpose(2, 3, 1, 0)
        bias = classic.drawn(f"{theirs}.bias", shape[:1])
        model.get_layer(name).set_weights([kernel, bias])
    return model


def main() -> None:
    side, index = SQUEEZENET
    tanh = np.tanh(classic.picture(side, side) / 128 - 1).astype(np.float32)  # of either sign
    raw = {"expand_cam": False, "normalize_cam": False, "seek_penultimate_conv_layer": False}
    made = {}
    for network_name, model, x, targets, layer in (
        ("small", network(), small.images(), list(small.TARGETS), "conv2"),
        ("squeezenet", squeezenet(), tanh, [index], "fire9"),
    ):
        for name, method in (
            ("gradcam", Gradcam),
            ("gradcam_plus_plus", GradcamPlusPlus),
            ("layercam", Layercam),
            ("scorecam", Scorecam),
        ):
            place, more = layer, {}
            if name == "scorecam" and network_name == "small":
                place = "conv1"  # at the size of the input, where masks need not be enlarged
            elif name == "scorecam":
                more = {"max_N": CHANNELS}
            score = CategoricalScore(targets)
            maps = method(model, clone=False)(score, x, penultimate_layer=place, **raw, **more)
            made[f"{network_name}/{name}"] = np.asarray(maps, np.float32)
    np.savez_compressed(Path(__file__).with_suffix(".npz"), **made)


if __name__ == "__main__":
    main()
