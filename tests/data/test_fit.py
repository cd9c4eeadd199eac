"""Size and normalisation against torchvision's rules, stated again here, and against Keras."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image

from reportgen.compose import conf_dir
from reportgen.core.settings import parse
from reportgen.core.spec import InputSpec
from reportgen.data import decode
from reportgen.data.fit import fit, fit_array

SIZES = [(500, 375), (375, 500), (256, 256), (224, 224), (333, 257), (225, 901), (60, 41)]


def photograph(width: int, height: int) -> Image.Image:
    """Waves and noise, so that every pixel tells."""
    rng = np.random.default_rng(width * 1000 + height)
    y, x = np.mgrid[:height, :width][..., None]
    waves = 90 * np.sin(x / [7, 11, 17]) + 70 * np.cos(y / [5, 13, 29])
    noise = rng.normal(0, 20, (height, width, 3))
    return Image.fromarray(np.clip(128 + waves + noise, 0, 255).astype(np.uint8))


@cache
def preset(name: str, size: int = 224) -> InputSpec:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = compose("config", [f"preprocessing={name}"])
    values: Any = OmegaConf.to_container(config.model.input)
    return parse(InputSpec, {**values, "height": size, "width": size, "channels": 3})


def resize_and_centre_crop(image: Image.Image, short: int, crop: int, resample: int) -> Image.Image:
    """torchvision.transforms: Resize(short), then CenterCrop(crop), of a PIL image."""
    width, height = image.size
    if width <= height:
        new = short, int(short * height / width)
    else:
        new = int(short * width / height), short
    if new != image.size:
        image = image.resize(new, resample)
    top, left = round((new[1] - crop) / 2.0), round((new[0] - crop) / 2.0)
    return image.crop((left, top, left + crop, top + crop))


@pytest.mark.parametrize("size", SIZES)
def test_torchvision(size: tuple[int, int], tmp_path: Path) -> None:
    image = photograph(*size)
    expected = np.asarray(resize_and_centre_crop(image, 256, 224, Image.Resampling.BILINEAR))
    expected = expected.astype(np.float64) / 255  # ToTensor
    expected = (expected - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]  # Normalize
    spec = preset("torchvision")
    image.save(tmp_path / "a.png")
    pixels = decode.read(tmp_path / "a.png", 10**6, spec)
    found = spec.normalise(pixels.astype(np.float32))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("size", SIZES)
def test_vit_as_timm(size: tuple[int, int]) -> None:
    image = photograph(*size)
    short = math.floor(224 / 0.9)
    expected = resize_and_centre_crop(image, short, 224, Image.Resampling.BICUBIC)
    spec = preset("vit")
    found = fit(image, spec)
    np.testing.assert_array_equal(found, np.asarray(expected))
    scaled = np.asarray(expected, np.float64) / 127.5 - 1
    np.testing.assert_allclose(spec.normalise(found.astype(np.float32)), scaled, atol=1e-6)


@pytest.mark.parametrize(("name", "mode"), [("keras_caffe", "caffe"), ("vit", "tf")])
def test_normalisation_as_keras(name: str, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    import keras.applications.imagenet_utils as utils

    pixels = np.asarray(photograph(50, 40), np.float32)
    expected = utils.preprocess_input(pixels.copy(), data_format="channels_last", mode=mode)
    np.testing.assert_allclose(preset(name).normalise(pixels), expected, atol=1e-5)


def test_caffes_mean_pixel_and_order() -> None:
    found = preset("caffe").normalise(np.array([[[10.0, 20.0, 30.0]]], np.float32))
    mean = np.array([104.00698793, 116.66876762, 122.67891434])
    np.testing.assert_allclose(found[0, 0], np.array([30, 20, 10]) - mean, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "expected"), [("unit", 51 / 255), ("unit256", 51 / 256), ("keras_caffe", 51 - 116.779)]
)
def test_presets_that_stretch(name: str, expected: float) -> None:
    spec = preset(name, 32)
    image = photograph(80, 40)
    stretched = image.resize((32, 32), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(fit(image, spec), np.asarray(stretched))
    found = spec.normalise(np.full((32, 32, 3), 51, np.float32))
    np.testing.assert_allclose(found[..., 1], expected, rtol=1e-6)


def test_crop_of_a_network_that_is_not_square() -> None:
    """48 × 32 (height × width) with half of it cropped away: 96 × 64 must be covered."""
    spec = InputSpec(height=48, width=32, channels=3, resize="crop", crop_fraction=0.5)
    tall, wide = photograph(100, 400), photograph(400, 100)
    resized = tall.resize((64, 256), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(fit(tall, spec), np.asarray(resized)[104:152, 16:48])
    resized = wide.resize((384, 96), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(fit(wide, spec), np.asarray(resized)[24:72, 176:208])


@pytest.mark.parametrize("name", ["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"])
def test_interpolation(name: Any) -> None:
    spec = InputSpec(height=30, width=20, channels=3, interpolation=name)
    image = photograph(70, 50)
    expected = image.resize((20, 30), getattr(Image.Resampling, name.upper()))
    np.testing.assert_array_equal(fit(image, spec), np.asarray(expected))


def test_an_image_of_the_right_size_is_untouched() -> None:
    image = photograph(32, 32)
    spec = InputSpec(height=32, width=32, channels=3, resize="crop", interpolation="lanczos")
    np.testing.assert_array_equal(fit(image, spec), np.asarray(image))


def test_floats_are_resized_without_rounding() -> None:
    values = np.asarray(photograph(64, 64), np.float32) * np.float32(0.7)
    spec = InputSpec(height=32, width=32, channels=3, interpolation="box")
    expected = values.reshape(32, 2, 32, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(fit_array(values, spec), expected, rtol=1e-5)
    # A step: bicubic overshoots on both sides, and pixels stay within 0..255.
    step = np.zeros((8, 8, 1), np.float32)
    step[:, 4:] = 255
    cubic = InputSpec(height=16, width=16, channels=1, interpolation="bicubic")
    fitted = fit_array(step, cubic)
    assert (fitted.min(), fitted.max()) == (0, 255)


def test_channels_of_arrays() -> None:
    colour, grey = np.array([[[200, 100, 50]]], np.float32), np.array([[[70]]], np.float32)
    one, three, five = (InputSpec(height=1, width=1, channels=c) for c in (1, 3, 5))
    np.testing.assert_allclose(fit_array(colour, one), [[[124.2]]], rtol=1e-5)
    assert fit_array(grey, three).tolist() == [[[70, 70, 70]]]
    assert fit_array(colour.astype(np.uint8), one).tolist() == [[[124]]]
    many = np.array([[[1, 2, 3, 4, 250]]], np.uint8)
    assert fit_array(many, five).tolist() == many.tolist()
    assert fit_array(many, five).dtype == np.uint8
