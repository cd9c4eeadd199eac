import matplotlib as mpl
import numpy as np
import pytest

from reportgen.core.errors import ConfigError
from reportgen.render import colour


def test_unknown_colormap_names_the_nearest():
    with pytest.raises(ConfigError) as caught:
        colour.check_colormap("virdis")
    assert "There is no colormap 'virdis' in Matplotlib" in caught.value.message
    assert caught.value.hint.startswith("Did you mean viridis")


def test_known_colormap_passes():
    colour.check_colormap("seismic")


@pytest.mark.parametrize("name", ["viridis", "seismic", "jet", "tab10", "gray_r"])
def test_paint_is_matplotlibs_mapping(name):
    values = np.linspace(0, 1, 1001)
    expected = mpl.colormaps[name](values, bytes=True)[:, :3]
    np.testing.assert_array_equal(colour.paint(values, name), expected)


def test_normalised_survives_the_whole_range_of_floats():
    largest = np.finfo(np.float64).max
    scaled = colour.normalised(np.array([-largest, 0.0, largest]), -largest, largest)
    np.testing.assert_allclose(scaled, [0, 0.5, 1])


def test_normalised_clips_and_marks_what_is_not_finite():
    values = np.array([-1.0, 0.0, 1.0, 2.0, 5.0, np.nan, np.inf, -np.inf])
    expected = [0, 0, 0.5, 1, 1, np.nan, np.nan, np.nan]
    np.testing.assert_array_equal(colour.normalised(values, 0.0, 2.0), expected)


def test_all_diverging_names_exist():
    for name in colour._DIVERGING:
        colour.check_colormap(name)
        assert colour.is_diverging(f"{name}_r")
    assert not colour.is_diverging("viridis")
    assert not colour.is_diverging(None)
