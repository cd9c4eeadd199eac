"""Keras's files: legacy .h5 as keras.applications publishes it, .weights.h5 and .keras."""

from __future__ import annotations

import importlib
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reportgen.core.errors import WeightsError
from reportgen.models.weights.load import Naming, place_file, read
from tests.at_once import at_once
from tests.models.weights.sample import NAMING, OWN, build, equal, images, logits, shapes_of, values

os.environ.setdefault("KERAS_BACKEND", "jax")
# Keras's own variables do not speak NumPy 2 yet.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy")
h5py: Any = importlib.import_module("h5py")
EXPECTED = values(build())
NEW = {
    "conv.kernel": "block1_conv/kernel:0",
    "conv.bias": "block1_conv/bias:0",
    "bn.scale": "block1_bn/gamma:0",
    "bn.bias": "block1_bn/beta:0",
    "bn.mean": "block1_bn/moving_mean:0",
    "bn.var": "block1_bn/moving_variance:0",
    "dw.kernel": "block1_dw/depthwise_kernel:0",
    "dw.bias": "block1_dw/bias:0",
    "fc.kernel": "predictions/kernel:0",
    "fc.bias": "predictions/bias:0",
}
OLD = {
    "conv.kernel": "block1_conv_W_1:0",
    "conv.bias": "block1_conv_b_1:0",
    "bn.scale": "block1_bn_gamma_1:0",
    "bn.bias": "block1_bn_beta_1:0",
    "bn.mean": "block1_bn_running_mean_1:0",
    "bn.var": "block1_bn_running_std_1:0",
    "dw.kernel": "block1_dw_depthwise_kernel_1:0",
    "dw.bias": "block1_dw_b_1:0",
    "fc.kernel": "predictions_W_1:0",
    "fc.bias": "predictions_b_1:0",
}


def _keras_layout(name: str, value: np.ndarray) -> np.ndarray:
    """A depthwise kernel is (h, w, c, m) in Keras, (h, w, 1, c * m) here."""
    return value.reshape(3, 3, 4, 2) if name == "dw.kernel" else value


def _legacy(path: Path, names: Mapping[str, str], *, under: str = "", split: bool = False) -> Path:
    """A file as Keras 1 and 2 wrote it: groups by layer, names in attributes, padded bytes."""
    with h5py.File(path, "w") as file:
        root = file.create_group(under) if under else file
        layers: dict[str, list[str]] = {"input_1": [], "flatten": []}
        for name in names:
            published = NAMING.published["keras"][name.partition(".")[0]]
            layers.setdefault(published, []).append(name)
        listed = np.array([layer.encode() for layer in layers])
        if split:
            root.attrs["layer_names0"], root.attrs["layer_names1"] = listed[:3], listed[3:]
        else:
            root.attrs["layer_names"] = listed
        root.attrs["keras_version"] = b"2.1.5"
        for layer, own in layers.items():
            group = root.create_group(layer)
            group.attrs["weight_names"] = np.array([names[name].encode() for name in own], "S")
            for name in own:
                group.create_dataset(names[name], data=_keras_layout(name, EXPECTED[name]))
        if under:
            file.create_group("optimizer_weights").create_dataset("iterations", data=3)
    return path


def placed(path: Path, naming: Naming = NAMING, *, strict: bool = True) -> Any:
    return place_file(path, shapes_of(EXPECTED), naming, strict=strict)


@pytest.mark.parametrize("names", [NEW, OLD], ids=["new", "old"])
@pytest.mark.parametrize("under", ["", "model_weights"])
@pytest.mark.parametrize("split", [True, False])
def test_legacy_files_are_read_under_old_and_new_names(
    names: dict[str, str], under: str, split: bool, tmp_path: Path
) -> None:
    found = placed(_legacy(tmp_path / "w.h5", names, under=under, split=split))
    equal(found.parameters, EXPECTED)
    assert found.scheme == "keras"
    assert found.format == f"Keras .h5 (legacy, {'whole model' if under else 'weights'})"


def test_a_file_without_top_says_so_and_loads_the_rest_when_asked(tmp_path: Path) -> None:
    rest = {name: weight for name, weight in NEW.items() if not name.startswith("fc.")}
    path = _legacy(tmp_path / "notop.h5", rest)
    with pytest.raises(WeightsError) as caught:
        placed(path)
    assert "missing: fc.kernel (128, 5), predictions.kernel in the file" in str(caught.value)
    assert "without fc (Keras calls that notop). weights.strict=false" in str(caught.value)
    found = placed(path, strict=False)
    equal(found.parameters, {k: v for k, v in EXPECTED.items() if not k.startswith("fc.")})
    assert found.problems == (
        "missing: fc.bias (5,), predictions.bias in the file",
        "missing: fc.kernel (128, 5), predictions.kernel in the file",
    )


@pytest.fixture(scope="module")
def keras() -> Any:
    import keras

    return keras


@pytest.fixture(scope="module")
def model(keras: Any) -> Any:
    """The sample network in Keras, with its weights."""
    layers = keras.layers
    x = start = keras.Input((6, 6, 3))
    x = layers.Conv2D(4, 3, padding="same", name="block1_conv")(x)
    x = layers.BatchNormalization(epsilon=1e-3, name="block1_bn")(x)
    x = layers.ReLU()(x)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, name="block1_dw")(x)
    x = layers.Dropout(0.5, seed=1)(layers.Flatten()(x))
    made = keras.Model(start, layers.Dense(5, name="predictions")(x))
    for name, value in EXPECTED.items():
        layer, leaf = NEW[name].removesuffix(":0").split("/")
        own = {"depthwise_kernel": "kernel"}.get(leaf, leaf)
        getattr(made.get_layer(layer), own).assign(_keras_layout(name, value))
    return made


def _save_legacy(model: Any, path: Path) -> Path:
    from keras.src.legacy.saving import legacy_h5_format

    with h5py.File(path.with_suffix(".h5"), "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)
    return path.with_suffix(".h5")


def _save_weights(model: Any, path: Path) -> Path:
    model.save_weights(path.with_suffix(".weights.h5"))
    return path.with_suffix(".weights.h5")


def _save_model(model: Any, path: Path) -> Path:
    model.save(path.with_suffix(".keras"))
    return path.with_suffix(".keras")


SAVERS = [_save_legacy, _save_weights, _save_model]


@pytest.mark.parametrize("save", SAVERS)
def test_a_keras_model_and_the_network_with_its_file_give_the_same_logits(
    save: Callable[[Any, Path], Path], model: Any, tmp_path: Path
) -> None:
    found = placed(save(model, tmp_path / "w"))
    equal(found.parameters, EXPECTED)
    assert found.scheme == "keras"
    answer = logits(found.parameters, images())
    expected = at_once(lambda x: model(x, training=False), images())
    np.testing.assert_allclose(answer, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("save", SAVERS)
def test_a_keras_model_gets_its_own_file_back(
    save: Callable[[Any, Path], Path], model: Any, keras: Any, tmp_path: Path
) -> None:
    """Behind the Model interface a Keras model's parameters have its variables' paths, dotted."""
    inner = keras.Sequential([keras.Input((6, 6, 3)), keras.layers.Conv2D(2, 3, name="c")])
    start = keras.Input((6, 6, 3))
    x = keras.layers.Concatenate()([model(start), keras.layers.Flatten()(inner(start))])
    nested = keras.Model(start, keras.layers.Dense(2, name="top")(x))
    nested.compile("adam", "mse")
    weights = {w.path.replace("/", "."): np.asarray(w.value) for w in nested.weights}
    path = save(nested, tmp_path / "w")
    equal(place_file(path, shapes_of(weights), OWN, strict=True).parameters, weights)


def _without_names(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        found: list[Any] = []
        file.visititems(lambda name, node: found.append(node) if name.endswith("vars") else None)
        for group in found:
            group.attrs.pop("name", None)


def test_a_file_without_layers_names_takes_them_from_the_configuration(
    model: Any, tmp_path: Path
) -> None:
    _save_model(model, tmp_path / "w")
    with zipfile.ZipFile(tmp_path / "w.keras") as archive:
        archive.extractall(tmp_path)
    _without_names(tmp_path / "model.weights.h5")
    with zipfile.ZipFile(path := tmp_path / "old.keras", "w") as archive:
        for member in ("config.json", "model.weights.h5"):
            archive.write(tmp_path / member, member)
    equal(placed(path).parameters, EXPECTED)


def test_a_file_without_any_names_says_what_to_do(model: Any, tmp_path: Path) -> None:
    path = _save_weights(model, tmp_path / "w")
    _without_names(path)
    with pytest.raises(WeightsError, match=r"load it in Keras and save it again, as \.keras"):
        placed(path)


def test_a_layer_of_another_number_of_variables_is_not_taken_by_number(
    keras: Any, tmp_path: Path
) -> None:
    """Without its gamma, a norm's first number is beta, and must not become the scale."""
    made = keras.Sequential(
        [keras.Input((6, 6, 4)), keras.layers.BatchNormalization(scale=False, name="bn")]
    )
    path = _save_weights(made, tmp_path / "w")
    norm = {k: v for k, v in EXPECTED.items() if k.startswith("bn.")}
    with pytest.raises(WeightsError, match="another network"):
        place_file(path, shapes_of(norm), OWN, strict=True)
    less = {k: v for k, v in norm.items() if k != "bn.scale"}
    found = place_file(path, shapes_of(less), OWN, strict=True).parameters
    np.testing.assert_array_equal(found["bn.var"], 1)
    np.testing.assert_array_equal(found["bn.bias"], 0)


def test_bfloat16_variables_are_read(keras: Any, tmp_path: Path) -> None:
    made = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="d", dtype="bfloat16")])
    path = _save_weights(made, tmp_path / "w")
    tensor = read(path).tensors["d.0"]
    assert tensor.dtype == "bfloat16"
    np.testing.assert_array_equal(tensor.read(), np.asarray(made.weights[0].value))


def test_links_out_of_the_file_are_not_followed(tmp_path: Path) -> None:
    _legacy(tmp_path / "other.h5", NEW)
    path = _legacy(tmp_path / "w.h5", NEW)
    with h5py.File(path, "r+") as file:
        del file["predictions"]["predictions"]["bias:0"]
        file["predictions"]["predictions"]["bias:0"] = h5py.ExternalLink(
            "other.h5", "predictions/predictions/bias:0"
        )
    with pytest.raises(WeightsError, match="ExternalLink, which is not followed"):
        placed(path)


def test_without_h5py_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _legacy(tmp_path / "w.h5", NEW)
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(WeightsError, match=r"pip install 'reportgen\[keras\]'"):
        placed(path)


def test_an_hdf5_file_of_another_program_is_named(tmp_path: Path) -> None:
    with h5py.File(path := tmp_path / "w.h5", "w") as file:
        file["spectra"] = np.ones(3)
    with pytest.raises(WeightsError, match=r"not one of Keras's: it holds spectra"):
        placed(path)
