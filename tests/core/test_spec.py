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
        ({"mean": [1, 2]}, "mean has 2 values"),
        ({"std": [0.0]}, "std must be above 0"),
        ({"order": "grb"}, "expected 'rgb' or 'bgr', found 'grb'"),
    ],
)
def test_a_spec_that_cannot_be_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(InputSpec, {**SPEC, **change}, "model.input")
