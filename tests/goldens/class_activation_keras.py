"""Makes class_activation_keras.npz: maps of tf-keras-vis, for tests of class activation.

Run it where tensorflow, tf-keras-vis and scipy are installed:
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
import small  # noqa: E402


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


def main() -> None:
    model, x = network(), small.images()
    score = CategoricalScore(list(small.TARGETS))
    raw = {"expand_cam": False, "normalize_cam": False, "seek_penultimate_conv_layer": False}
    made = {}
    for name, method, layer in (
        ("gradcam", Gradcam, "conv2"),
        ("gradcam_plus_plus", GradcamPlusPlus, "conv2"),
        ("layercam", Layercam, "conv2"),
        # At the size of the input, where masks need not be enlarged.
        ("scorecam", Scorecam, "conv1"),
    ):
        maps = method(model, clone=False)(score, x, penultimate_layer=layer, **raw)
        made[name] = np.asarray(maps, np.float32)
    np.savez_compressed(Path(__file__).with_suffix(".npz"), **made)


if __name__ == "__main__":
    main()
