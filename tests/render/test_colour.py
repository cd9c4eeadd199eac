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
    colour.check_colormap("digits_jet")


# At equal distances from 0 to 1.
DIGITS = {
    "digits_jet": (
        (0, 0, 0, 0, 0.5, 1, 1, 1, 0.5),
        (0, 0, 0.5, 1, 1, 1, 0.5, 0, 0),
        (0.5, 1, 1, 1, 0.5, 0, 0, 0, 0),
    ),
    "digits_winter": ((0, 0), (0, 1), (1, 0.5)),
    "digits_simple": ((0, 1, 1, 1), (0, 0, 1, 1), (0, 0, 0, 1)),
    "digits_white": ((0, 1),) * 3,
    "digits_hot": (
        [min(i / 25, 1) for i in range(64)],
        [min(max((i - 25) / 26, 0), 1) for i in range(64)],
        [max((i - 50) / 13, 0) for i in range(64)],
    ),
    "digits_rainbow": (
        [
            1 if i < 25 else max((38 - i) / 13, 0) if i <= 50 else 0.6667 * (i - 50) / 13
            for i in range(64)
        ],
        [min(i / 26, 1) if i <= 37 else max((51 - i) / 14, 0) for i in range(64)],
        [min(max((i - 37) / 14, 0), 1) for i in range(64)],
    ),
}


@pytest.mark.parametrize("name", DIGITS)
def test_colormaps_of_digits_at_their_nodes_and_between(name):
    assert name in colour.colormaps()
    for channel, levels in enumerate(DIGITS[name]):
        steps = len(levels) - 1
        for i, level in enumerate(levels):
            found = int(colour.paint(np.array([i / steps]), name)[0, channel])
            assert found == int(255 * level + 1e-6), (i, channel)
        for i, share in np.ndindex(steps, 4):
            between = levels[i] + (levels[i + 1] - levels[i]) * (share + 0.5) / 4
            value = np.array([(i + (share + 0.5) / 4) / steps])
            assert int(colour.paint(value, name)[0, channel]) == int(255 * between + 1e-6)
    # The colour bar is drawn from entries at equal distances.
    np.testing.assert_array_equal(colour.table(name), colour.paint(np.linspace(0, 1, 256), name))
    np.testing.assert_array_equal(colour.paint(np.array([np.nan]), name), [colour.BAD])


def test_rainbow_and_jet_of_digits_are_not_matplotlibs():
    for name in ("jet", "hot", "rainbow", "winter"):
        assert (colour.table(name) != colour.table(f"digits_{name}")).any()


def test_an_unknown_colormap_of_digits_names_the_nearest():
    with pytest.raises(ConfigError, match="digits_rainbow"):
        colour.check_colormap("digits_rainbo")


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
