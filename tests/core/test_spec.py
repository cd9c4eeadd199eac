import numpy as np
import pytest

from reportgen.core.errors import ConfigError
from reportgen.core.settings import parse
from reportgen.core.spec import InputSpec

SPEC = {"height": 2, "width": 3, "channels": 3}


def test_normalise_is_scale_then_mean_then_std_in_the_networks_order() -> None:
    spec = InputSpec(**SPEC, scale=0.5, mean=(1, 2, 3), std=(1, 2, 4), order="bgr")
    pixels = np.arange(18, dtype=np.float32).reshape(2, 3, 3)
    expected = np.empty_like(pixels)
    for channel, (mean, std) in enumerate(((1, 1), (2, 2), (3, 4))):
        expected[..., channel] = (pixels[..., 2 - channel] * 0.5 - mean) / std
    np.testing.assert_allclose(spec.normalise(pixels), expected, rtol=1e-6)
    without = expected + np.array([1, 2, 3], np.float32) / np.array([1, 2, 4], np.float32)
    np.testing.assert_allclose(spec.normalise(pixels, subtract_mean=False), without, rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean": [1, 2]}, r"mean is \[1, 2\]; expected one value, or one a channel \("),
        ({"std": [0.0]}, r"std is \[0\]; expected values above 0"),
        ({"crop_fraction": 1.5}, "crop_fraction is 1.5; expected above 0 and at most 1"),
        ({"crop_fraction": 0.0}, "crop_fraction: expected greater than 0, found 0"),
        ({"interpolation": "cubic"}, "expected 'nearest', 'box', .*, found 'cubic'"),
        ({"order": "grb"}, "expected 'rgb' or 'bgr', found 'grb'"),
    ],
)
def test_a_spec_that_cannot_be_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(InputSpec, {**SPEC, **change}, "model.input")


@pytest.mark.parametrize(
    ("side", "fraction", "covered"),
    [(224, 0.875, 256), (224, 0.9, 248), (224, 1.0, 224), (224, 224 / 232, 232), (299, 0.95, 314)],
)
def test_what_is_resized_to_before_the_crop(side: int, fraction: float, covered: int) -> None:
    """torchvision's 256 and 232; timm's floor(224 / 0.9) and floor(299 / 0.95)."""
    spec = InputSpec(height=side, width=side, channels=3, resize="crop", crop_fraction=fraction)
    assert spec.before_crop == (covered, covered)
    assert spec.resizing == (
        f"shorter side to {covered} (bilinear), then the centre {side} × {side}"
    )


def test_a_stretched_image_is_not_cropped() -> None:
    spec = InputSpec(height=20, width=30, channels=3, crop_fraction=0.5, interpolation="bicubic")
    assert spec.before_crop == (20, 30)
    assert spec.resizing == "stretched to 20 × 30 (bicubic)"
